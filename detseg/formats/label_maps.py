"""Folders of label maps: PNG files with one value per pixel, a class each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detseg.errors import FormatError, ImageError
from detseg.files import read_json
from detseg.geometry.label_maps import LabelMap, array_to_map
from detseg.images import open_png, read_bytes

MOST_VALUES = 1000
"""No taxonomy has more classes; a map with more values shows segments, not classes."""

MOST_CHANGES = 8_000_000
"""From one pixel to the one below it: each takes some 50 bytes in the map, however small the file is."""

_ONE_VALUE = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})
"""Pillow's modes with one whole number per pixel: bits, bytes, places in a palette, 16 bits."""

N_VALUES = 1 << 16
"""Values are below it."""

_NUMBER = re.compile(r"[0-9]{1,9}")


def read_label_map_pairs(
    truth: Path, results: Path, *, names: Mapping[int, str] | None, ignore: int | None
) -> Iterator[tuple[LabelMap, LabelMap, list[int]]]:
    """Yield of each image the maps of both folders, and the values in either of them, sorted.

    Maps belong together by their paths below the folders; ``ignore`` is none of the values. Raises
    FormatError for files that are not label maps or do not belong together, and for values without a name.
    """
    for name in _common_names(truth, results):
        true, found = read_label_map(truth / name), read_label_map(results / name)
        if true.size != found.size:
            raise FormatError(f"{results / name} is {found.size}, {truth / name} is {true.size}")
        values = {
            value
            for folder, side in ((truth, true), (results, found))
            for value in _classes(side, folder / name, names=names, ignore=ignore)
        }
        yield true, found, sorted(values)


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


def read_value_names(path: Path) -> dict[int, str]:
    """Read the names of values from JSON: an object ``{"1": "bolt"}``, or a list by value."""
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


def _is_entry(value: Any, name: Any) -> bool:
    return isinstance(value, int) and value < N_VALUES and isinstance(name, str) and bool(name)
