"""The map of a project's images: which have an embedding, what is known of them, and their thumbnails.

The embeddings are laid out on a plane: images that a backbone sees alike lie near each other.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from detseg.datasets.duplicates import find_duplicates, stack_features
from detseg.datasets.sample import image_bytes, image_of
from detseg.datasets.store import DatasetStore
from detseg.errors import DatasetError, ImageError
from detseg.files import keep_arrays, read_arrays
from detseg.images.fingerprints import THUMBNAIL_PX
from detseg.metrics.cases import age
from detseg.pipeline.qa.cases import task_url
from detseg.pipeline.reading import read_from
from detseg.report.data import NO_MAP, TILE_PX, ImageMap, MapFacts, MapPoint
from detseg.report.gallery import image_name
from detseg.types import ImageFeatures, ImageId, Size

if TYPE_CHECKING:
    from pathlib import Path

    from detseg.catalog import Catalog, Project
    from detseg.datasets.version import Version
    from detseg.metrics.suspects.findings import Suspect
    from detseg.sources.registry import Sources

MOST_POINTS, MOST_READ = 1_500, 200
"""Images on a map, and those of them that are read for a thumbnail in colour."""

_MOST_FAILED = 5
"""After so many images that cannot be read, no other one is tried: their source may be out of reach."""


_FactsOf = Callable[[Sequence[ImageId]], Mapping[ImageId, MapFacts]]


def map_of_project(
    opened: Callable[[], Sources],
    catalog: Catalog,
    project: Project,
    suspects: Sequence[Suspect],
    *,
    folder: Path,
    datasets: str,
) -> ImageMap:
    """Lay out the images that a project has as tasks, with their splits in its newest version.

    ``folder`` is that of the state, ``datasets`` where versions are kept.
    """
    tasks = catalog.tasks.of_project(project.key)
    ids = [task.image for task in tasks if task.state in ("pushed", "imported")]
    splits = _newest_splits(datasets, project.title)
    rules: dict[ImageId, str] = {}
    for suspect in suspects:
        rules.setdefault(suspect.image, suspect.rule)

    def facts_of(chosen: Sequence[ImageId]) -> dict[ImageId, MapFacts]:
        latest = {
            one.annotation.image: one.annotation
            for one in sorted(
                catalog.reviews.of_images(project.key, chosen), key=lambda one: age(one.annotation)
            )
        }
        found = {}
        for image, task in catalog.tasks.of_images(project.key, chosen).items():
            said = latest.get(image)
            found[image] = MapFacts(
                state=said.state if said else "unlabeled",
                label=_most(region.instance.label for region in said.regions) if said else "",
                split=splits.get(image_bytes(image), ""),
                suspect=rules.get(image, ""),
                link=task_url(project, task.task_id) if task.task_id is not None else None,
            )
        return found

    return _lay_out(opened, catalog, ids, facts_of, folder=folder)


def map_of_version(
    opened: Callable[[], Sources], catalog: Catalog, store: DatasetStore, version: Version, *, folder: Path
) -> ImageMap:
    """Lay out the images of a version whose features the catalog has. ``folder`` is that of the state."""
    rows = {image_of(row.image): row for row in store.index(version)}

    def facts_of(chosen: Sequence[ImageId]) -> dict[ImageId, MapFacts]:
        return {
            image: MapFacts(rows[image].state, _most(iter(rows[image].labels)), rows[image].split)
            for image in chosen
        }

    return _lay_out(opened, catalog, list(rows), facts_of, folder=folder)


def _most(labels: Iterator[str]) -> str:
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label)) if counts else ""


def _newest_splits(datasets: str, project: str) -> dict[bytes, str]:
    """The splits of the project's newest version; none where versions cannot be read."""
    try:
        store = DatasetStore(datasets)
        for version in reversed(store.versions()):
            if version.recipe.project == project:
                return store.splits(version)
    except DatasetError:
        pass
    return {}


def _lay_out(
    opened: Callable[[], Sources],
    catalog: Catalog,
    ids: Sequence[ImageId],
    facts_of: _FactsOf,
    *,
    folder: Path,
) -> ImageMap:
    """The map of the first images, in the order of their hashes, that have an embedding of one model."""
    found = [one for one in islice(catalog.features.read(ids), 2 * MOST_POINTS) if one.embedding is not None]
    models = Counter(one.embedding.model for one in found if one.embedding is not None)
    if not models:
        return NO_MAP
    ((model, _),) = models.most_common(1)
    chosen = [one for one in found if one.embedding and one.embedding.model == model][:MOST_POINTS]
    embeddings = np.stack([one.embedding.values for one in chosen if one.embedding is not None])
    places = _kept_places(folder / "map.npz", embeddings)
    images = [one.image for one in chosen]
    refs, sizes = catalog.images.refs(images), catalog.images.sizes(images)
    facts, uris = facts_of(images), {image: ref.uri for image, ref in refs.items()}
    clusters = {
        image: f"cluster {n}"
        for n, cluster in enumerate(find_duplicates(stack_features(chosen)).clusters, 1)
        for image in cluster
    }
    thumbnails = _thumbnails(opened, [(image, uris[image]) for image in images if image in uris])
    points = tuple(
        MapPoint(
            x=float(x),
            y=float(y),
            name=image_name(uris.get(one.image, "")) or one.image,
            thumbnail=thumbnails.get(one.image) or _grey(one, sizes.get(one.image)),
            facts=replace(facts.get(one.image, MapFacts()), cluster=clusters.get(one.image, "")),
        )
        for one, (x, y) in zip(chosen, places, strict=True)
    )
    name = model.rpartition("@")[0]
    note = (
        f"{len(points):,} of {len(ids):,} images, by the backbone of {name}: those that it sees alike lie "
        "near each other; how far apart distant groups lie says nothing."
    )
    if len(points) < min(len(ids), MOST_POINTS):
        note += " The others were last predicted with another backbone, or with none."
    if len(thumbnails) < len(points):
        note += f" {len(thumbnails):,} have a thumbnail in colour, the others a small grey one."
    return ImageMap(points, note)


def _thumbnails(
    opened: Callable[[], Sources], places: Sequence[tuple[ImageId, str]]
) -> dict[ImageId, Image.Image]:
    """Thumbnails in colour of the first images; those that cannot be read, or are others now, have none."""
    found: dict[ImageId, Image.Image] = {}
    n_failed = 0
    with opened() as sources:
        for image, uri in places[:MOST_READ]:
            if n_failed == _MOST_FAILED:
                break
            try:
                decoded = read_from(sources, uri)
            except ImageError:
                n_failed += 1
                continue
            if decoded.ref.id == image:
                found[image] = Image.fromarray(decoded.rgb)
                found[image].thumbnail((TILE_PX, TILE_PX), reducing_gap=2.0)
    return found


def _grey(one: ImageFeatures, size: Size | None) -> Image.Image:
    """The thumbnail that is kept beside the prediction, in the shape of the image."""
    square = Image.frombytes("L", (THUMBNAIL_PX, THUMBNAIL_PX), one.fingerprint.thumbnail)
    wide, high = (size.width, size.height) if size is not None else (1, 1)
    scale = TILE_PX / max(wide, high)
    return square.resize((max(1, round(wide * scale)), max(1, round(high * scale))))


_REVISION = 1
"""Part of what is kept: with another number, images are laid out anew."""


def _kept_places(path: Path, embeddings: npt.NDArray[np.floating]) -> Floats:
    """The places of embeddings: the last map's, if it was of the same ones; else new ones, which are kept."""
    form = f"{_REVISION} {embeddings.dtype} {embeddings.shape} "
    key = hashlib.sha256(form.encode() + embeddings.tobytes()).hexdigest()
    kept = read_arrays(path)
    try:
        if kept["key"] == key and kept["places"].shape == (len(embeddings), 2):
            return np.asarray(kept["places"], dtype=np.float64)
    except (KeyError, ValueError):
        pass  # it is only there to save time
    places = lay_out(embeddings)
    keep_arrays(path, key=key, places=places)
    return places


_COMPONENTS, _PERPLEXITY, _SEED = 50, 30.0, 0
_FEWEST = 8
"""Of fewer images the two main components say as much as t-SNE would."""

Floats = npt.NDArray[np.float64]


def lay_out(embeddings: npt.NDArray[np.floating]) -> Floats:
    """Return places (N, 2), each coordinate in [0, 1], of embeddings (N, D) of one model.

    t-SNE (van der Maaten and Hinton, "Visualizing Data using t-SNE", 2008) of the principal components, with
    a fixed seed; a few thousand rows at most. Distances between far groups say nothing.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n, width = embeddings.shape
    values = np.asarray(embeddings, dtype=np.float64)
    if n < 2 or width < 2 or not np.ptp(values, axis=0).any():
        return np.full((n, 2), 0.5)
    with threadpool_limits(
        1
    ):  # more threads wait for each other thousands of times, and sum in another order
        placed = PCA(min(_COMPONENTS, n, width), random_state=_SEED).fit_transform(values)
        if n >= _FEWEST:
            perplexity = min(_PERPLEXITY, (n - 1) / 3)
            placed = TSNE(2, perplexity=perplexity, init="pca", random_state=_SEED).fit_transform(placed)
    placed = placed[:, :2]
    low, extent = placed.min(axis=0), np.ptp(placed, axis=0)
    return np.asarray((placed - low) / np.where(extent > 0, extent, 1.0), dtype=np.float64)
