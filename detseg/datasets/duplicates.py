"""Near duplicates: images that differ by size, compression, brightness, or a narrow margin.

    found = find_duplicates(stack_features(catalog.features.read(ids)))

Candidates are pairs whose perceptual hashes differ by few bits, of the images whole and without a margin of
5 or 10 percent. A pair is confirmed where the thumbnails agree, and in doubt by the embeddings. Mirror images
are no duplicates. The answer depends on the set of images alone, not on their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from detseg.images.fingerprints import THUMBNAIL_PX
from detseg.types import ImageFeatures, ImageId

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_WINDOWS = (
    (0.0, 0.0, 1.0),
    *((x, y, 0.95) for x in (0.0, 0.025, 0.05) for y in (0.0, 0.025, 0.05)),
    (0.05, 0.05, 0.9),
)
"""Parts of an image that another one may be: left, top, and the side, as shares of the image's."""

_HASH_BITS, _HASH_ROWS = 64, 8
_CHUNKS, _CHUNK_BITS = 4, 16
_MOST_BITS = 10
"""Hashes of one picture differ by at most so many bits of 64; those of two pictures by 32, give or take 8."""
_NEIGHBOURS = 12
"""The most alike images that are looked at, for each image and window: what bounds memory."""
_BLUR = 2.0  # thumbnail pixels: what is coarser, as the light of a scene, two pictures may share
_SURE, _POSSIBLE = 0.84, 0.80
"""Correlations of thumbnails: from the first on a pair is one of duplicates, from the second on if the
embeddings are as good as equal, too."""
_EQUAL_EMBEDDING = 0.99
_RELATED = 0.6
"""All images of a cluster correlate so far with its first one, in some window of each: a chain of pairs may
lead from one picture to quite another."""
_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """Features of N images by ascending id: hashes (N, 8), thumbnails (N, 32, 32), both uint8.

    ``models`` (N,) has the number of the model that an image's embedding is of, -1 for none; embeddings of
    one model are the rows of a float16 array (M, D), and ``rows`` (N,) says in which an image's is.
    """

    ids: tuple[ImageId, ...]
    hashes: npt.NDArray[np.uint8]
    thumbnails: npt.NDArray[np.uint8]
    models: Ints
    rows: Ints
    embeddings: tuple[npt.NDArray[np.float16], ...]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """``pairs`` are near duplicates, ``clusters`` hold two images or more; ids ascend, and so do both."""

    pairs: tuple[tuple[ImageId, ImageId], ...] = ()
    clusters: tuple[tuple[ImageId, ...], ...] = ()


@dataclass(slots=True)
class _Builder:
    hashes: bytearray = field(default_factory=bytearray)
    thumbnails: bytearray = field(default_factory=bytearray)
    models: dict[tuple[str, int], int] = field(default_factory=dict)
    values: list[bytearray] = field(default_factory=list)


def stack_features(features: Iterable[ImageFeatures]) -> FeatureTable:
    """The features of images as arrays. Each image comes once."""
    made, ids, models, rows = _Builder(), [], [], []
    for one in features:
        ids.append(one.image)
        made.hashes += one.fingerprint.hash
        made.thumbnails += one.fingerprint.thumbnail
        models.append(-1)
        rows.append(-1)
        if one.embedding is not None:
            key = (one.embedding.model, len(one.embedding.values))
            models[-1] = made.models.setdefault(key, len(made.models))
            if models[-1] == len(made.values):
                made.values.append(bytearray())
            values = made.values[models[-1]]
            rows[-1] = len(values) // (2 * key[1])
            values += one.embedding.values.astype(np.float16).tobytes()
    order = np.argsort(np.array(ids, dtype=str), kind="stable") if ids else np.zeros(0, dtype=np.int64)
    shape = (-1, THUMBNAIL_PX, THUMBNAIL_PX)
    return FeatureTable(
        ids=tuple(ids[i] for i in order),
        hashes=np.frombuffer(made.hashes, np.uint8).reshape(-1, _HASH_BITS // 8)[order],
        thumbnails=np.frombuffer(made.thumbnails, np.uint8).reshape(shape)[order],
        models=np.array(models, dtype=np.int64)[order],
        rows=np.array(rows, dtype=np.int64)[order],
        embeddings=tuple(
            np.frombuffer(values, np.float16).reshape(-1, size)
            for values, (_, size) in zip(made.values, made.models, strict=True)
        ),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Images that were compared with each other, and the pairs among them that may be near duplicates.

    ``ids`` (N,) are bytes, ascending, ``hashes`` (N, 8). ``pairs`` (P, 2) are places in ``ids``, the smaller
    first, each pair once; ``alike`` (P,) is how far their thumbnails correlate, at least 0.8.
    """

    ids: npt.NDArray[np.bytes_]
    hashes: npt.NDArray[np.uint8]
    pairs: Ints
    alike: Floats


NOTHING_COMPARED = Compared(
    np.zeros(0, "S1"), np.zeros((0, 8), np.uint8), np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
)


def check_compared(compared: Compared) -> Compared:
    """What was compared, if its parts have the types and sizes of such. Raises ValueError."""
    n, n_pairs = len(np.atleast_1d(compared.ids)), len(np.atleast_1d(compared.pairs))
    shapes = {"ids": (n,), "hashes": (n, 8), "pairs": (n_pairs, 2), "alike": (n_pairs,)}
    for name, shape in shapes.items():
        part, kind = getattr(compared, name), getattr(NOTHING_COMPARED, name).dtype.kind
        if part.shape != shape or part.dtype.kind != kind:
            raise ValueError(f"{name} are {part.dtype} of {part.shape}, not of {shape}")
    places, ids = compared.pairs, compared.ids
    if n_pairs and not (places.min() >= 0 and (places[:, 0] < places[:, 1]).all() and places.max() < n):
        raise ValueError("pairs are two places in ids, the smaller one first")
    if not (ids[:-1] < ids[1:]).all():
        raise ValueError("ids ascend")
    return compared


def find_duplicates(table: FeatureTable) -> Duplicates:
    """The near duplicates among images."""
    return confirm_duplicates(table, compare_images(table))


def compare_images(table: FeatureTable, before: Compared = NOTHING_COMPARED) -> Compared:
    """Compare each image with every other, but for those that were compared with each other before.

    An image that has another hash now is a new one. Of pictures that are alike by the dozen, new ones may
    meet more than they would if all came at once.
    """
    ids = np.array(table.ids, dtype=bytes)
    places = np.full(len(before.ids), -1)  # in the table, of the images of before
    at = np.minimum(np.searchsorted(before.ids, ids), max(len(before.ids) - 1, 0))
    if len(before.ids):
        same = (before.ids[at] == ids) & (before.hashes[at] == table.hashes).all(1)
        places[at[same]] = np.flatnonzero(same)
    is_new = np.ones(len(ids), dtype=bool)
    is_new[places[places >= 0]] = False
    old_pairs = places[before.pairs]  # in order, for ids ascend in both
    still = (old_pairs >= 0).all(1)
    i, j, alike = _possible(table, is_new)
    pairs = np.concatenate((old_pairs[still], np.stack((i, j), axis=1)))
    correlations = np.concatenate((before.alike[still], alike))
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Compared(ids, table.hashes, pairs[order], correlations[order])


def confirm_duplicates(table: FeatureTable, compared: Compared) -> Duplicates:
    """The near duplicates among the images of a table, which were compared."""
    i, j, alike = compared.pairs[:, 0], compared.pairs[:, 1], compared.alike
    kept = (alike >= _SURE) | _embeddings_agree(table, i, j, alike)
    left, right = i[kept], j[kept]
    ids = table.ids
    return Duplicates(
        tuple((ids[a], ids[b]) for a, b in zip(left.tolist(), right.tolist(), strict=True)),
        tuple(tuple(ids[a] for a in one) for one in _clusters(table, left, right, alike[kept])),
    )


def _possible(table: FeatureTable, is_new: npt.NDArray[np.bool_]) -> tuple[Ints, Ints, Floats]:
    """Pairs (i < j) that may be near duplicates, of which one at least is new, each once; how far their
    thumbnails agree."""
    n = len(table.ids)
    found: list[tuple[Ints, Ints, Floats]] = []
    sure = np.zeros(0, np.int64)
    for window, of_window in groupby(_candidates(table, is_new), key=itemgetter(0)):
        n_before = len(found)
        for _, one, other in of_window:
            i, j = _unless_known(one, other, sure, n)
            for start in range(0, len(i), _AT_ONCE):
                some = slice(start, start + _AT_ONCE)
                alike = _correlation(table.thumbnails[i[some]], table.thumbnails[j[some]], window)
                kept = alike >= _POSSIBLE
                found.append((np.minimum(i, j)[some][kept], np.maximum(i, j)[some][kept], alike[kept]))
        surely = (i[alike >= _SURE] * n + j[alike >= _SURE] for i, j, alike in found[n_before:])
        sure = np.unique(np.concatenate((sure, *surely)))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    i, j, alike = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((-alike, j, i))
    i, j, alike = i[order], j[order], alike[order]
    first = np.ones(len(i), dtype=bool)
    first[1:] = (i[1:] != i[:-1]) | (j[1:] != j[:-1])
    return i[first], j[first], alike[first]


def _unless_known(i: Ints, j: Ints, known: Ints, n: int) -> tuple[Ints, Ints]:
    """The pairs that are not among the known ones, which are numbered ``n * smaller + larger``."""
    new = ~np.isin(np.minimum(i, j) * n + np.maximum(i, j), known)
    return i[new], j[new]


def _candidates(table: FeatureTable, is_new: npt.NDArray[np.bool_]) -> Iterator[tuple[int, Ints, Ints]]:
    """Windows and pairs (i, j) such that j may be that window of i, and one of them is new; by window. A pair
    may come several times."""
    everything, new, old = np.arange(len(is_new)), np.flatnonzero(is_new), np.flatnonzero(~is_new)
    searches = [
        (queried, among, _index(table.hashes[among]))
        for queried, among in ((new, everything), (old, new))
        if len(queried) and len(among)
    ]
    for window in range(len(_WINDOWS)):
        for queried, among, index in searches:
            for start in range(0, len(queried), _AT_ONCE):
                some = queried[start : start + _AT_ONCE]
                hashes = _window_hashes(table.thumbnails[some], window) if window else table.hashes[some]
                bits, near = index.search(hashes, min(_NEIGHBOURS, len(among)))
                rows, columns = np.nonzero((near >= 0) & (bits <= _MOST_BITS))
                i, j = some[rows], among[near[rows, columns]]
                yield window, i[i != j], j[i != j]


def _index(hashes: npt.NDArray[np.uint8]) -> Any:
    """An index that finds hashes that share a quarter of their bits, give or take one."""
    import faiss

    index = faiss.IndexBinaryMultiHash(_HASH_BITS, _CHUNKS, _CHUNK_BITS)
    index.nflip = 1
    index.add(hashes)
    return index


def _window_hashes(thumbnails: npt.NDArray[np.uint8], window: int) -> npt.NDArray[np.uint8]:
    """The pHash of a window of each thumbnail, (N, 8): ImageHash's, of a smaller picture."""
    rows, columns = _window(window)
    cosine = _cosine()
    low = _on_both_sides(cosine @ rows, thumbnails.astype(np.float32), cosine @ columns)  # (N, 8, 8)
    flat = low.reshape(len(low), -1)
    bits = flat > np.median(flat, axis=1, keepdims=True)
    return np.packbits(bits, axis=1)


def _correlation(thumbnails: npt.NDArray[np.uint8], others: npt.NDArray[np.uint8], window: int) -> Floats:
    """The correlation in [-1, 1] of a window of the first with the second, without what is coarse, (N,)."""
    rows, columns = _window(window)
    first = _fine(_on_both_sides(rows, thumbnails.astype(np.float32), columns))
    second = _fine(others.astype(np.float32))
    products: Floats = np.einsum("nij,nij->n", first, second)
    return products


def _on_both_sides(left: Floats, pictures: Floats, right: Floats) -> Floats:
    """``left @ picture @ right.T`` of each picture (N, h, w), as two products of large matrices."""
    n, height, width = pictures.shape
    halfway = (pictures.reshape(-1, width) @ right.T).reshape(n, height, -1)
    turned = halfway.transpose(0, 2, 1).reshape(-1, height) @ left.T
    return np.asarray(turned.reshape(n, -1, len(left)).transpose(0, 2, 1), dtype=np.float32)


def _fine(pictures: Floats) -> Floats:
    """Pictures (N, h, w) without what is coarser than the blur, of length 1; 0 where nothing is left."""
    blur = _gauss()
    fine = pictures - _on_both_sides(blur, pictures, blur)
    fine -= fine.mean((1, 2), keepdims=True)
    length = np.sqrt(np.einsum("nij,nij->n", fine, fine))[:, None, None]
    unit: Floats = np.divide(fine, length, out=np.zeros_like(fine), where=length > 1.0)
    return unit


def _embeddings_agree(table: FeatureTable, i: Ints, j: Ints, alike: Floats) -> npt.NDArray[np.bool_]:
    """Tell for each pair whether embeddings of one model confirm it, where the thumbnails leave doubt."""
    agree = np.zeros(len(i), dtype=bool)
    for number, values in enumerate(table.embeddings):
        both = np.flatnonzero((table.models[i] == number) & (table.models[j] == number) & (alike < _SURE))
        first, second = (values[table.rows[one[both]]].astype(np.float32) for one in (i, j))
        agree[both] = np.einsum("nd,nd->n", first, second) >= _EQUAL_EMBEDDING
    return agree


def _clusters(table: FeatureTable, left: Ints, right: Ints, alike: Floats) -> list[tuple[int, ...]]:
    """Clusters of the pairs, joined from the most alike on.

    The smaller cluster joins the larger if all of its images are related to the larger one's first.
    """
    confirmed = set(zip(left.tolist(), right.tolist(), strict=True))
    members: dict[int, list[int]] = {}
    first_of: dict[int, int] = {}
    for k in np.lexsort((right, left, -alike)).tolist():
        a, b = (first_of.get(int(one[k]), int(one[k])) for one in (left, right))
        if a == b:
            continue
        a, b = sorted((a, b), key=lambda first: (-len(members.get(first, (first,))), first))
        joining = members.get(b, [b])
        others = [one for one in joining if (min(a, one), max(a, one)) not in confirmed]
        if not _related(table.thumbnails, a, others):
            continue
        members[a] = [*members.get(a, [a]), *joining]
        members.pop(b, None)
        first_of |= dict.fromkeys(members[a], a)
    return sorted(tuple(sorted(cluster)) for cluster in members.values())


def _related(thumbnails: npt.NDArray[np.uint8], first: int, others: list[int]) -> bool:
    """Tell whether a window of each of the others correlates with some window of the first."""
    if not others:
        return True
    views = _views(thumbnails[first])
    whole = _fine(thumbnails[others].astype(np.float32)).reshape(len(others), -1)
    unlike = np.flatnonzero((whole @ views.T).max(1) < _RELATED)
    return all((_views(thumbnails[others[k]]) @ views.T).max() >= _RELATED for k in unlike)


def _views(thumbnail: npt.NDArray[np.uint8]) -> Floats:
    """All windows of a thumbnail (32, 32) without what is coarse, each of length 1: (W, 1024)."""
    picture = thumbnail[None].astype(np.float32)
    windows = [rows @ picture @ columns.T for rows, columns in map(_window, range(len(_WINDOWS)))]
    return _fine(np.concatenate(windows)).reshape(len(_WINDOWS), -1)


@cache
def _window(number: int) -> tuple[Floats, Floats]:
    """The matrices (32, 32) that stretch the rows and the columns of a window over a thumbnail."""
    x, y, side = _WINDOWS[number]
    return _stretch(y, side), _stretch(x, side)


def _stretch(start: float, side: float) -> Floats:
    places = (start + (np.arange(THUMBNAIL_PX) + 0.5) * side / THUMBNAIL_PX) * THUMBNAIL_PX - 0.5
    distance = np.abs(np.clip(places, 0, THUMBNAIL_PX - 1)[:, None] - np.arange(THUMBNAIL_PX)[None])
    weights: Floats = np.maximum(0.0, 1.0 - distance).astype(np.float32)
    return weights


@cache
def _cosine() -> Floats:
    """The lowest frequencies of the cosine transform (8, 32)."""
    n, k = np.arange(THUMBNAIL_PX), np.arange(_HASH_ROWS)[:, None]
    cosine: Floats = (2 * np.cos(np.pi * k * (2 * n + 1) / (2 * THUMBNAIL_PX))).astype(np.float32)
    return cosine


@cache
def _gauss() -> Floats:
    places = np.arange(THUMBNAIL_PX)
    weights = np.exp(-((places[:, None] - places[None]) ** 2) / (2 * _BLUR**2))
    normal: Floats = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return normal
