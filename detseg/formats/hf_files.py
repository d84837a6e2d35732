"""Hugging Face datasets of objects, ours and others': Parquet with images inside, and image folders.

A row has ``image`` (in ``metadata.jsonl`` ``file_name``) and ``objects``: parallel lists, or a list of
objects, of ``bbox`` as [x, y, width, height] in pixels, ``category``, and where there are such
``segmentation`` as COCO has it and ``kind``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from detseg.errors import FormatError, ImageError
from detseg.files import open_regular, parse_json
from detseg.formats import ImageLabels
from detseg.formats.coco import decode_shape
from detseg.formats.coco_entries import Record, box_problem, is_id, mask_problem
from detseg.formats.dataset import Opened
from detseg.formats.folders import find_below, named_size, parse_yaml, read_text, size_of
from detseg.images import image_format, read_bytes, upright_size
from detseg.taxonomy import LabelClass, classes_of
from detseg.types import Instance, Kind, Size

_SIDES = {"validation": "val", "valid": "val", "dev": "val", "train": "train", "val": "val", "test": "test"}
_SHARD = re.compile(r"(\w+)-\d+(-of-\d+)?")
_METADATA = "metadata.jsonl"
_ROWS = 1000
_HEAD = re.compile(r"---\n(.*?\n)---\n", re.DOTALL)

CARD, CARD_CLASSES = "README.md", "detseg_classes"
"""The card of a dataset, whose head is YAML, and what has its classes there."""

STUFF = "detseg.stuff"
"""The key in a Parquet schema of the classes that are stuff, which says it of those without objects, too."""


def read_parquet(path: Path) -> Opened:
    """Open a Parquet file, or a folder with such, whose names or folders say the split.

    Raises FormatError for what is none, and while images are read for a row that is wrong, and why.
    """
    files = _find_files(path, "*.parquet", "data/train-00000-of-00001.parquet")
    inside = _ImagesInside(lru_cache(maxsize=1)(_read_images))
    kinds = _read_kinds(files[0])
    rows = _Rows(path, files, lambda file: _parquet_rows(file, inside), kinds, Counter())
    return Opened(rows.classes(), rows.images, rows.left_out, inside.read)


def read_image_folder(path: Path) -> Opened:
    """Open a ``metadata.jsonl``, or a folder with such, each in the folder of its split.

    Raises FormatError for what is none, and while images are read for a line that is wrong, and why.
    """
    files = _find_files(path, _METADATA, f"train/{_METADATA} beside the images")
    rows = _Rows(path, files, _json_rows, _read_card(path / CARD), Counter())
    return Opened(rows.classes(), rows.images, rows.left_out)


@dataclass(frozen=True, slots=True)
class _Row:
    """``name`` and ``size`` may have to read the image, and then raise ImageError."""

    where: str
    uri: str
    name: Callable[[], str]
    size: Callable[[], Size]
    objects: Any


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of files. ``kinds`` are those of the classes that have numbers, in their order, if known."""

    root: Path
    files: Sequence[Path]
    rows: Callable[[Path], Iterator[_Row]]
    kinds: Mapping[str, Kind | None]
    left_out: Counter[str]

    def classes(self) -> tuple[LabelClass, ...]:
        """Those with numbers in their order, then the others; what is never a thing is stuff."""
        kinds = dict(self.kinds)
        for file in self.files:
            for row in self.rows(file):
                for entry in _entries(row):
                    label = self._label(entry, row)
                    kinds[label] = "thing" if kinds.get(label) == "thing" else _kind(entry)
        return classes_of({name: kind or "thing" for name, kind in kinds.items()})

    def images(self) -> Iterator[ImageLabels]:
        self.left_out.clear()
        for file in self.files:
            split = _split_of(file, self.root)
            for row in self.rows(file):
                if row.objects is None:
                    self.left_out["images without objects"] += 1
                    continue
                try:
                    name, size = row.name(), row.size()
                except ImageError as error:
                    raise FormatError(f"{row.where}: the image {error}") from error
                yield ImageLabels(name, size, tuple(self._instances(row, size)), split, row.uri)

    def _instances(self, row: _Row, size: Size) -> Iterator[Instance]:
        for entry in _entries(row):
            label, mask = self._label(entry, row), entry.get("segmentation")
            if isinstance(mask, dict) and not mask.get("counts"):  # how parallel lists say that there is none
                mask = None
            problem = box_problem(entry.get("bbox"))
            if mask and not problem:
                problem = mask_problem(mask, (size.height, size.width))
            if problem:
                raise FormatError(f"{row.where}: {problem}")
            box, decoded = decode_shape({**entry, "segmentation": mask}, size, self.left_out)
            kind = _kind(entry)
            if box is None and decoded is None:
                self.left_out["regions without area"] += 1
            else:
                yield Instance(label, kind, None if kind == "stuff" and decoded else box, decoded)

    def _label(self, entry: Record, row: _Row) -> str:
        category = entry.get("category", entry.get("label"))
        if isinstance(category, str) and category:
            return category
        if not is_id(category):
            raise FormatError(f"{row.where}: expected a name or a number as category, not {category!r:.60}")
        if not self.kinds:
            return str(category)
        if category >= len(self.kinds):
            raise FormatError(
                f"{row.where}: category {category} is out of range: there are {len(self.kinds)}, from 0"
            )
        return list(self.kinds)[category]


def _entries(row: _Row) -> Iterable[Record]:
    """The objects of a row, from parallel lists or one by one."""
    objects = row.objects
    if isinstance(objects, dict):
        lists = {key: value for key, value in objects.items() if isinstance(value, list)}
        if len({len(values) for values in lists.values()}) > 1:
            raise FormatError(f"{row.where}: the lists in objects are not of one length")
        return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    if not isinstance(objects, list | None) or not all(isinstance(one, dict) for one in objects or ()):
        raise FormatError(f"{row.where}: expected objects with bbox and category, not {objects!r:.60}")
    return objects or ()


def _kind(entry: Record) -> Kind:
    return "stuff" if entry.get("kind") == "stuff" else "thing"


def _find_files(path: Path, pattern: str, expected: str) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.rglob(pattern))
    if not files:
        raise FormatError(f"{path} is no Hugging Face dataset: expected {expected}")
    return files


def _split_of(file: Path, root: Path) -> str:
    """The split that a file's name begins with, else its folder's or its own, where that is one.

    >>> names = ("data/fold_1-00000-of-00002.parquet", "dev.parquet", "all/metadata.jsonl", "metadata.jsonl")
    >>> [_split_of(Path("d") / name, Path("d")) for name in names]
    ['fold_1', 'val', 'all', '']
    """
    shard = _SHARD.fullmatch(file.stem)
    if shard:
        return _SIDES.get(shard[1], shard[1])
    if file.stem in _SIDES:
        return _SIDES[file.stem]
    folder = file.parent.name if file.parent != root and file != root else ""
    return "" if folder == "data" else _SIDES.get(folder, folder)


# ---- metadata.jsonl ----


def _read_card(path: Path) -> Mapping[str, Kind | None]:
    """The classes in the head of a dataset's card, where ours has written it."""
    head = _HEAD.match(read_text(path)) if path.is_file() else None
    if head is None:
        return {}
    found = parse_yaml(head[1], path)
    try:
        entries = found.get(CARD_CLASSES, ()) if isinstance(found, dict) else ()
        return {_name(one): "stuff" if one["kind"] == "stuff" else None for one in entries}
    except (TypeError, KeyError) as error:
        problem = " ".join(str(error).split())
        raise FormatError(f"{path}: expected names and kinds under {CARD_CLASSES} ({problem:.80})") from error


def _name(entry: Any) -> str:
    name = entry["name"]
    if not isinstance(name, str):
        raise TypeError("a name is text")
    return name


def _json_rows(file: Path) -> Iterator[_Row]:
    try:
        with open_regular(file) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f"{file}, line {number}"
                    yield _json_row(file.parent, parse_json(line, where), where)
    except OSError as error:
        raise FormatError(f"{file} cannot be read: {error.strerror}") from error


def _json_row(folder: Path, row: Any, where: str) -> _Row:
    name = row.get("file_name") if isinstance(row, dict) else None
    if not isinstance(name, str) or not name or "\0" in name:
        raise FormatError(f"{where}: expected an object with a file_name")
    picture = find_below(folder, name)
    return _Row(
        where,
        picture,
        lambda: name,
        lambda: _stated_size(row, where) or size_of(Path(picture or name)),
        row.get("objects"),
    )


def _stated_size(row: Record, where: str) -> Size | None:
    width, height = row.get("width"), row.get("height")
    if width is None or height is None:
        return None
    if not (is_id(width) and is_id(height) and width and height):
        raise FormatError(f"{where}: width and height are pixels, not {width!r:.20} and {height!r:.20}")
    return named_size(width, height, where)


# ---- Parquet ----

_INSIDE = ".parquet#"


@dataclass(frozen=True, slots=True)
class _ImagesInside:
    """Images in Parquet files, as ``<file>#<row>``; those of one row group, the last, are in memory."""

    group: Callable[[str, int], pa.ChunkedArray]

    def read(self, image: ImageLabels) -> bytes:
        """The bytes of an image, in its row or beside it. Raises ImageError where there are none."""
        path, inside, row = image.uri.rpartition(_INSIDE)
        return self.at(f"{path}.parquet", int(row)) if inside else read_bytes(image.uri)

    def at(self, path: str, row: int) -> bytes:
        """The bytes in a row."""
        group, first = _find_group(path, row)
        data: bytes | None = self.group(path, group)[row - first].as_py()
        if data is None:
            raise ImageError("has no bytes in its row")
        return data


@lru_cache(maxsize=64)
def _group_starts(path: str) -> Sequence[int]:
    """The rows that the groups of a file begin with, and the number of rows."""
    metadata = parquet.read_metadata(path)
    groups = range(metadata.num_row_groups)
    return tuple(accumulate((metadata.row_group(group).num_rows for group in groups), initial=0))


def _find_group(path: str, row: int) -> tuple[int, int]:
    """The row group that holds a row, and its first row."""
    starts = _group_starts(path)
    group = bisect_right(starts, row) - 1
    return group, starts[group]


def _read_images(path: str, group: int) -> pa.ChunkedArray:
    with parquet.ParquetFile(path) as file:
        return file.read_row_group(group, columns=["image.bytes"])["image"].combine_chunks().field("bytes")


def _has_images(path: Path) -> bool:
    """Tell whether any row of the file has an image's bytes, as far as its statistics say."""
    metadata = parquet.read_metadata(path)
    column = metadata.schema.names.index("bytes")
    groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    counts = ((group.num_rows, group.column(column).statistics) for group in groups)
    return any(known is None or known.null_count < n_rows for n_rows, known in counts)


def _parquet_rows(file: Path, inside: _ImagesInside) -> Iterator[_Row]:
    try:
        with parquet.ParquetFile(file) as opened:
            there = set(opened.schema_arrow.names)
            if not {"image", "objects"} <= there:
                raise FormatError(
                    f"{file} has the columns {', '.join(sorted(there))}: expected image, and objects with "
                    "bbox and category"
                )
            wanted = [name for name in ("file_name", "width", "height", "objects") if name in there]
            has_images, number = _has_images(file), 0
            for batch in opened.iter_batches(_ROWS, columns=[*wanted, "image.path"]):
                for row in batch.to_pylist():
                    path = str((row.pop("image") or {}).get("path") or "")
                    uri = f"{file.absolute()}#{number}" if has_images else find_below(file.parent, path)
                    yield _parquet_row(row, path, uri, inside)
                    number += 1
    except (OSError, pa.ArrowException) as error:
        raise FormatError(f"{file} cannot be read as Parquet: {error}") from error


def _parquet_row(row: Record, path: str, uri: str, inside: _ImagesInside) -> _Row:
    file, _, number = uri.rpartition("#")
    where = f"{file}, row {number}" if file else path

    def read() -> bytes:
        return inside.read(ImageLabels("", Size(1, 1), uri=uri))

    def name() -> str:
        named = row.get("file_name") or PurePosixPath(path).name
        return str(named or f"{Path(file).stem}-{number}.{image_format(read()).lower()}")

    return _Row(
        where, uri, name, lambda: _stated_size(row, where) or upright_size(read()), row.get("objects")
    )


def _read_kinds(file: Path) -> Mapping[str, Kind | None]:
    """The categories by number, as ``datasets`` keeps them in a schema, with kinds where ours say it."""
    try:
        metadata = parquet.read_schema(file).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise FormatError(f"{file} cannot be read as Parquet: {error}") from error
    features = parse_json(metadata.get(b"huggingface", b"{}"), f"{file}, its features")
    names = _find(_find(_find(features, "objects"), "category"), "names")
    stuff = parse_json(metadata.get(STUFF.encode(), b"[]"), f"{file}, its stuff")
    return {str(name): "stuff" if name in stuff else None for name in names or ()}


def _find(value: Any, key: str) -> Any:
    """What stands under a key, at any depth; None for nothing."""
    if isinstance(value, dict):
        if key in value:
            return value[key]
        return next((found for one in value.values() if (found := _find(one, key)) is not None), None)
    return None
