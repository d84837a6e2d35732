"""Hugging Face datasets: what ``datasets.load_dataset(folder)`` opens, as Parquet or as a folder of images.

``hf``: ``data/train-00000-of-00003.parquet`` with the images' files inside and the features in the schema.
``hf-imagefolder``: ``train/metadata.jsonl`` beside the images, and ``README.md``, whose head has the classes,
also those without objects. The columns are the image, ``image_id`` (from
1), ``width``, ``height`` and ``objects``, whose lists are parallel: ``id`` (from 1), ``bbox`` as [x, y,
width, height] in pixels, ``category``, ``area``, ``segmentation`` as COCO's compressed run lengths, and
``kind``.
The split val is called validation, as ``datasets`` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from pyarrow import parquet

from detseg.errors import DatasetError
from detseg.files import replacing, write_whole
from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Format
from detseg.formats.hf_files import CARD, CARD_CLASSES, STUFF, read_image_folder, read_parquet
from detseg.geometry.boxes import box_to_xywh
from detseg.geometry.extent import extent
from detseg.geometry.masks import encode_mask
from detseg.taxonomy import LabelClass

_SPLIT = re.compile(r"\w+")
_GROUP_ROWS = 1000

_SCHEMA = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("image_id", pa.int64()),
        ("file_name", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        (
            "objects",
            pa.struct(
                [
                    ("id", pa.list_(pa.int64())),
                    ("bbox", pa.list_(pa.list_(pa.float64(), 4))),
                    ("category", pa.list_(pa.int64())),
                    ("area", pa.list_(pa.float64())),
                    (
                        "segmentation",
                        pa.list_(pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])),
                    ),
                    ("kind", pa.list_(pa.string())),
                ]
            ),
        ),
    ]
)


def image_path(image: ImageLabels) -> str:
    return f"{_side(image.split)}/{image.name}"


def write_parquet(
    contents: Contents, folder: Path, *, shard_bytes: int = 500_000_000, group_bytes: int = 50_000_000
) -> tuple[Path, ...]:
    """Write shards of at most so many bytes of images, in one pass over the images.

    A group of at least ``group_bytes`` is in memory at a time. Images that cannot be read
    are left out. Without the images inside, their places are written.
    """
    (folder / "data").mkdir(exist_ok=True)
    stuff = [cls.name for cls in contents.classes if cls.kind == "stuff"]
    schema = _SCHEMA.with_metadata(
        {"huggingface": json.dumps(_encode_features(contents.classes)), STUFF: json.dumps(stuff)}
    )
    categories = {cls.name: number for number, cls in enumerate(contents.classes)}
    shards: dict[str, _Shards] = {}
    object_ids = count(1)
    with ExitStack() as stack:
        for image in contents.images():
            data = contents.read(image) if contents.images_inside else None
            if data is None and contents.images_inside:
                continue
            side = _side(image.split)
            if side not in shards:
                shards[side] = stack.enter_context(
                    _Shards(folder / "data" / side, schema, shard_bytes, group_bytes)
                )
            objects = _encode_objects(image, object_ids)
            objects["category"] = [categories[one.label] for one in image.instances]
            picture = {"bytes": data, "path": image.name if data else image.uri}
            shards[side].add({"image": picture, **_encode_head(image), "objects": objects})
    return tuple(path for side in sorted(shards) for path in shards[side].number())


def write_image_folder(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Write a line for each image into its split's file, in one pass over the images.

    Categories are names. What has no mask has run lengths without counts, so that all files have one form.
    """
    files: dict[str, IO[str]] = {}
    object_ids, image_ids = count(1), count(1)
    with ExitStack() as stack:
        for image in contents.images():
            side = _side(image.split)
            if side not in files:
                (folder / side).mkdir(exist_ok=True)
                files[side] = stack.enter_context(replacing(folder / side / "metadata.jsonl"))
            objects = _encode_objects(image, object_ids)
            objects["category"] = [one.label for one in image.instances]
            nothing = {"size": [image.size.height, image.size.width], "counts": ""}
            objects["segmentation"] = [one or nothing for one in objects["segmentation"]]
            row = {**_encode_head(image), "image_id": next(image_ids), "objects": objects}
            files[side].write(json.dumps(row, ensure_ascii=False) + "\n")
    card = folder / CARD
    classes = [{"name": cls.name, "kind": cls.kind} for cls in contents.classes]
    write_whole(card, f"---\n{CARD_CLASSES}: {json.dumps(classes, ensure_ascii=False)}\n---\n")
    return (*(folder / side / "metadata.jsonl" for side in sorted(files)), card)


HF = Format("hf", None, None, write_parquet, unsplit="train", read=read_parquet)
HF_IMAGEFOLDER = Format(
    "hf-imagefolder", image_path, None, write_image_folder, unsplit="train", read=read_image_folder
)


class _Shards:
    """The files of one split: a new one is begun where one is full, and they are named at the end."""

    def __init__(self, path: Path, schema: pa.Schema, shard_bytes: int, group_bytes: int) -> None:
        self._path, self._schema = path, schema
        self._most, self._group = shard_bytes, group_bytes
        self._rows: list[dict[str, Any]] = []
        self._row_bytes = self._shard_bytes = self._n_rows = 0
        self._written: list[Path] = []
        self._writer: parquet.ParquetWriter | None = None

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        self._n_rows += 1
        self._rows.append({**row, "image_id": self._n_rows})
        self._row_bytes += len(row["image"]["bytes"] or b"")
        if self._row_bytes >= self._group or len(self._rows) >= _GROUP_ROWS:
            self._flush()

    def number(self) -> Iterator[Path]:
        """Name the files, now that it is known how many there are."""
        for position, path in enumerate(self._written):
            numbers = f"{position:05}-of-{len(self._written):05}"
            yield path.rename(path.with_name(f"{self._path.name}-{numbers}.parquet"))

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is not None and self._shard_bytes + self._row_bytes > self._most:
            self._writer.close()
            self._writer, self._shard_bytes = None, 0
        if self._writer is None:
            self._written.append(self._path.with_name(f"{self._path.name}-{len(self._written)}.partial"))
            self._writer = parquet.ParquetWriter(self._written[-1], self._schema, use_dictionary=False)
        self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._shard_bytes += self._row_bytes
        self._rows, self._row_bytes = [], 0


def _side(split: str) -> str:
    if split and not _SPLIT.fullmatch(split):
        raise DatasetError(
            f"Hugging Face's datasets cannot have a split {split!r}: give it letters, digits and underscores"
        )
    return {"": "train", "val": "validation"}.get(split, split)


def _encode_head(image: ImageLabels) -> dict[str, Any]:
    return {"file_name": image.name, "width": image.size.width, "height": image.size.height}


def _encode_objects(image: ImageLabels, ids: Iterator[int]) -> dict[str, list[Any]]:
    """The lists of an image's objects, but for their categories."""
    boxes = [extent(one) for one in image.instances]
    return {
        "id": [next(ids) for _ in image.instances],
        "bbox": [[float(edge) for edge in box_to_xywh(box)] for box in boxes],
        "area": [
            float(one.mask.area if one.mask is not None else box.area)
            for one, box in zip(image.instances, boxes, strict=True)
        ],
        "segmentation": [encode_mask(one.mask) if one.mask is not None else None for one in image.instances],
        "kind": [one.kind for one in image.instances],
    }


def _encode_features(classes: Sequence[LabelClass]) -> dict[str, Any]:
    """Encode what the columns mean, as ``datasets`` keeps it in a schema."""

    def value(dtype: str) -> dict[str, Any]:
        return {"dtype": dtype, "_type": "Value"}

    def several(feature: dict[str, Any], **more: int) -> dict[str, Any]:
        return {"feature": feature, **more, "_type": "List"}

    objects = {
        "id": several(value("int64")),
        "bbox": several(several(value("float64"), length=4)),
        "category": several({"names": [cls.name for cls in classes], "_type": "ClassLabel"}),
        "area": several(value("float64")),
        "segmentation": several({"size": several(value("int32")), "counts": value("string")}),
        "kind": several(value("string")),
    }
    features = {
        "image": {"_type": "Image"},
        "image_id": value("int64"),
        "file_name": value("string"),
        "width": value("int32"),
        "height": value("int32"),
        "objects": objects,
    }
    return {"info": {"features": features}}
