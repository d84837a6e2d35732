"""The JSON file of ``detseg predict``: written image by image, and read as our own nouns."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from detseg.errors import FormatError
from detseg.escaping import escape_json
from detseg.formats import ImageLabels
from detseg.geometry.extent import covered_pixels
from detseg.geometry.masks import decode_mask, encode_mask
from detseg.types import Box, DecodedImage, Instance, Size


class PredictionsFile:
    """``{"model": ..., "images": [...], "failed": [...]}``, written to an open file."""

    def __init__(self, file: IO[str], *, model: Mapping[str, Any]) -> None:
        self._file = file
        self._n_images = 0
        file.write(f'{{"model": {encode_line(model)},\n "images": [')

    def write(self, image: str) -> None:
        """Adds one image, given as ``encode_line`` made it."""
        self._file.write(f"{',' if self._n_images else ''}\n  {image}")
        self._n_images += 1

    def close(self, failed: Sequence[Mapping[str, Any]]) -> None:
        """Writes the end; the file has to be closed yet."""
        self._file.write(f'\n ],\n "failed": {encode_line(failed)}}}\n')


def encode_line(value: Any) -> str:
    """JSON without line breaks."""
    return escape_json(json.dumps(value, ensure_ascii=False))


def encode_prediction(
    image: DecodedImage, instances: Sequence[Instance], picture: Path | None
) -> dict[str, Any]:
    """The entry of one image; ``counts`` are by label, in its order.

    ``coverage`` is the share of the image's pixels that masks of each class cover, overlaps once, in [0, 1].
    Boxes without a mask do not count, so a class that has only such is not in it.
    """
    covered = covered_pixels(instances, image.size)
    return {
        "path": image.ref.uri,
        "id": image.ref.id,
        "width": image.size.width,
        "height": image.size.height,
        "counts": dict(sorted(Counter(instance.label for instance in instances).items())),
        "coverage": {label: round(n / image.size.area, 6) for label, n in covered.items()},
        "instances": [_encode_instance(instance) for instance in instances],
        "picture": str(picture) if picture else None,
    }


def is_predictions(data: Any) -> bool:
    """Tell whether that is the content of such a file."""
    return isinstance(data, dict) and isinstance(data.get("images"), list) and "failed" in data


def read_predictions(data: Mapping[str, Any], path: Path) -> Iterator[ImageLabels]:
    """Yield the images in their order, called by their paths, with what was predicted on each.

    Raises FormatError, which begins with ``path``, for an image that ``detseg predict`` did not write so.
    """
    for position, entry in enumerate(data["images"]):
        try:
            image = _decode_image(entry)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise FormatError(
                f"{path}, images {position}: not as `detseg predict` writes it ({error!r:.200})"
            ) from error
        except FormatError as error:
            raise FormatError(f"{path}, images {position}: {error}") from error
        yield image


def _encode_instance(instance: Instance) -> dict[str, Any]:
    return {
        "label": instance.label,
        "kind": instance.kind,
        "score": instance.score,
        "seen_by": instance.seen_by,
        "box": list(instance.box.xyxy) if instance.box else None,
        "mask": encode_mask(instance.mask) if instance.mask else None,
    }


def _decode_image(entry: Mapping[str, Any]) -> ImageLabels:
    if not isinstance(entry["path"], str):
        raise TypeError("a path is text")
    size = Size(entry["width"], entry["height"])
    return ImageLabels(entry["path"], size, tuple(_decode_instance(one) for one in entry["instances"]))


def _decode_instance(entry: Mapping[str, Any]) -> Instance:
    if not isinstance(entry["label"], str):
        raise TypeError("a label is text")
    if entry["kind"] not in ("thing", "stuff"):
        raise ValueError("a kind is thing or stuff")
    return Instance(
        entry["label"],
        entry["kind"],
        None if entry["box"] is None else Box(*entry["box"]),
        None if entry["mask"] is None else decode_mask(entry["mask"]),
        entry["score"],
        entry.get("seen_by"),
    )
