"""Semantic segmentation of two folders of label maps: PNG files with one value per pixel, a class each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError, ImageError
from detseg.files import read_json
from detseg.geometry.label_maps import LabelMap, array_to_map, renumber
from detseg.images import open_png, read_bytes
from detseg.metrics.semantic import ClassPixels, PixelCounts, SemanticScore, count_pixels

IGNORE = 255
"""The value that marks pixels of the truth that do not count, by the habit of Cityscapes and others."""

MOST_VALUES = 1000
"""No taxonomy has more classes; a map with more values shows segments, not classes."""

MOST_CHANGES = 8_000_000
"""From one pixel to the one below it: each takes some 50 bytes in the map, however small the file is."""

_ONE_VALUE = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})
"""Pillow's modes with one whole number per pixel: bits, bytes, places in a palette, 16 bits."""

_N_VALUES = 1 << 16

_NUMBER = re.compile(r"[0-9]{1,9}")
_NOTHING = ""
"""What stands for pixels of the results that were given no class."""
_UNSEEN = ClassPixels(None, None, None, None, 0, 0, 0)


def score_label_maps(
    truth: Path, results: Path, *, names_path: Path | None = None, ignore: int | None = IGNORE
) -> SemanticScore:
    """Accuracy, IoU, Dice and boundary IoU of the label maps in ``results`` against those in ``truth``.

    Maps belong together by their paths below the folders. Where the truth has the value ``ignore``, pixels
    do not count; where the results have it, nothing was predicted. ``names_path`` is JSON that names the
    values, an object ``{"1": "bolt"}`` or a list by value; without it a class is called by its value. Raises
    FormatError for files that are not label maps or do not belong together, and for values without a name.
    """
    names = None if names_path is None else _read_names(names_path)
    counts, seen = PixelCounts(), set(names or ())
    for name in _common_names(truth, results):
        sides = read_label_map(truth / name), read_label_map(results / name)
        if sides[0].size != sides[1].size:
            raise FormatError(f"{results / name} is {sides[1].size}, {truth / name} is {sides[0].size}")
        values = sorted(
            {
                value
                for folder, side in zip((truth, results), sides, strict=True)
                for value in _classes(side, folder / name, names=names, ignore=ignore)
            }
        )
        seen.update(values)
        called = [*(_name(value, names) for value in values), _NOTHING]
        true, found = (
            renumber(side, _places(values, other=other))
            for side, other in zip(sides, (len(called), len(values)), strict=True)
        )
        counts.add(count_pixels(true, found, len(called)), called)
    score = counts.score(without=(_NOTHING,))
    classes = [_name(value, names) for value in sorted(seen)]
    return replace(score, per_class={name: score.per_class.get(name, _UNSEEN) for name in classes})


def read_label_map(path: Path) -> LabelMap:
    """The values of a PNG with one whole number per pixel: a palette's places, 1 to 16 bits of grey."""
    try:
        with open_png(read_bytes(str(path))) as image:
            if image.mode not in _ONE_VALUE:
                raise FormatError(
                    f"{path} is {image.mode}: a label map has one value per pixel, in grey or by a palette"
                )
            values = np.asarray(image)
    except ImageError as error:
        raise FormatError(f"{path} {error}") from error
    if np.count_nonzero(values[1:] != values[:-1]) > MOST_CHANGES:
        raise FormatError(f"{path} has more than {MOST_CHANGES:,} changes of value: cut it into tiles")
    return array_to_map(values)


def _common_names(truth: Path, results: Path) -> tuple[Path, ...]:
    """The files that both folders have, sorted. FormatError for files that only one has."""
    theirs, ours = _names_in(truth), _names_in(results)
    for folder, missing, other in ((results, theirs - ours, truth), (truth, ours - theirs, results)):
        if missing:
            first, more = min(missing), f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise FormatError(f"{folder / first}{more} is missing: {other} has it")
    return tuple(sorted(theirs))


def _names_in(folder: Path) -> set[Path]:
    if not folder.is_dir():
        raise FormatError(f"the folder of label maps {folder} does not exist: name the right one")
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() == ".png")
    names = {path for path in found if not path.name.startswith(".")}
    if not names:
        raise FormatError(f"the folder {folder} has no PNG files")
    return names


def _classes(
    labels: LabelMap, path: Path, *, names: Mapping[int, str] | None, ignore: int | None
) -> set[int]:
    """The values of a map but the ignored one, each of which has a name."""
    values = set(np.unique(labels.numbers).tolist()) - {ignore}
    if len(values) > MOST_VALUES:
        raise FormatError(
            f"{path} has {len(values)} values: a label map has a value for each class, not for each segment"
        )
    unknown = sorted(values - names.keys()) if names is not None else []
    if unknown:
        raise FormatError(f"{path} has the value {unknown[0]}, for which there is no name")
    return values


def _places(values: Sequence[int], *, other: int) -> npt.NDArray[np.int32]:
    """What ``renumber`` needs: the place of each of those values, and ``other`` for all others."""
    places = np.full(_N_VALUES, other, dtype=np.int32)
    places[list(values)] = np.arange(len(values))
    return places


def _name(value: int, names: Mapping[int, str] | None) -> str:
    return str(value) if names is None else names[value]


def _read_names(path: Path) -> dict[int, str]:
    data: Any = read_json(path)
    entries = list(enumerate(data)) if isinstance(data, list) else data
    if isinstance(data, dict):
        entries = [(int(key) if _NUMBER.fullmatch(key) else key, name) for key, name in data.items()]
    if not isinstance(entries, list) or not all(_is_entry(*entry) for entry in entries):
        raise FormatError(
            f'{path} does not name values: expected an object {{"1": "bolt", ...}} or a list of names'
        )
    names = dict(entries)
    if len(names) < len(entries) or len(set(names.values())) < len(names):
        raise FormatError(f"{path} gives one name, or one value, twice")
    return names


def _is_entry(value: Any, name: Any) -> bool:
    return isinstance(value, int) and value < _N_VALUES and isinstance(name, str) and bool(name)
