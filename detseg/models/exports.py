"""The meaning of an exported model's input, outputs and metadata: Ultralytics' YOLO, and RF-DETR.

Layouts are those of Ultralytics' ``exporter.py``, of the YOLOv5 repository's ``export.py`` and of rfdetr's
``export/_onnx``. Numbers in the metadata are used only as far as they fit the outputs.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

from detseg.errors import FormatError, ModelError
from detseg.files import parse_json
from detseg.models.onnx_files import OnnxFile, Shape, read_onnx
from detseg.types import Size

Layout = Literal["grid", "anchors", "rows", "queries"]
"""The numbers of an output, with n places, c classes and m coefficients of masks:

- ``grid`` (1, 4 + c + m, n): ``cx cy w h`` and a score for each class (YOLOv8, YOLO11).
- ``anchors`` (1, n, 5 + c + m): the same with an objectness before the classes (YOLOv5).
- ``rows`` (1, n, 6 + m): ``x0 y0 x1 y1 score class``, after suppression (``nms=True``, YOLOv10, YOLO26).
- ``queries``: ``dets`` (1, n, 4), ``cx cy w h`` as shares, and ``labels`` (1, n, c), logits (RF-DETR).

Boxes of the first three are in pixels of the input.
"""

_LARGEST_SIDE = 8_192
_MOST_CLASSES = 100_000
_USUAL_SIDE, _USUAL_STRIDE = 640, 32
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_RF_DETR = "rfdetr_inference"


@dataclass(frozen=True, slots=True)
class Export:
    """An exported model as it is to be run. ``names`` are the classes by label id; "" is no class.

    ``size`` is the only size of its images, None where it takes any; then they are scaled into ``usual`` and,
    ``tight``, padded to multiples of ``stride`` instead of the whole of it. ``batch`` images go in at once,
    None for any number. ``boxes``, ``scores`` and ``masks`` are places among the outputs; YOLO's scores stand
    beside its boxes.
    """

    layout: Layout
    names: Mapping[int, str]
    dtype: str
    batch: int | None
    size: Size | None
    usual: Size
    stride: int = _USUAL_STRIDE
    tight: bool = False
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    n_coefficients: int = 0
    boxes: int = 0
    scores: int = 0
    masks: int | None = None

    @property
    def id2label(self) -> Mapping[int, str]:
        return self.names

    @property
    def architecture(self) -> str:
        """Its name in the registry of families."""
        kind = "RfDetr" if self.layout == "queries" else "Yolo"
        return f"{kind}{'Detect' if self.masks is None else 'Segment'}Onnx"

    @property
    def model_type(self) -> str:
        return "rf_detr_onnx" if self.layout == "queries" else "yolo_onnx"

    def to_dict(self) -> dict[str, Any]:
        """Return what changes an answer beside the file, for the model version; names are in label maps."""
        return {key: value for key, value in asdict(self).items() if key != "names"}


def read_export(name: str, path: Path) -> tuple[Export, OnnxFile]:
    """Read what a file is. ModelError for a model that is none of these, or contradicts its own metadata."""
    file = read_onnx(name, path)
    try:
        named = {one: place for place, one in enumerate(file.outputs)}
        if _RF_DETR in file.metadata or {"dets", "labels"} <= named.keys():
            return _read_rf_detr(file, named), file
        return _read_yolo(file), file
    except ValueError as error:
        raise ModelError(f"{name} cannot be loaded: {error}") from error


def _read_yolo(file: OnnxFile) -> Export:
    task = file.metadata.get("task")
    if task not in (None, "detect", "segment"):
        raise ValueError(f"it is a YOLO for {task!r}: give one for detect or segment")
    shapes = list(file.outputs.values())
    if not shapes or len(shapes[0]) != 3 or (len(shapes) > 1 and len(shapes[1]) != 4):
        told = ", ".join(f"{one} {_text([shape])}" for one, shape in file.outputs.items()) or "none"
        raise ValueError(
            f"its outputs are {shorten(told, 200)}, and those of YOLO (boxes, segments) or RF-DETR are read: "
            "give the weights that it was exported from, or plug it in (see docs/predictors.md)"
        )
    names = _names(_literal(file.metadata, "names"))
    n_coefficients = (shapes[1][1] or 0) if len(shapes) > 1 else 0
    if (task == "segment") != (n_coefficients > 0) and task is not None:
        raise ValueError(f"it is for {task}, and its outputs are {_text(shapes)}")
    stride = _number(file.metadata, "stride", _USUAL_STRIDE, most=256)
    usual = _sides(_literal(file.metadata, "imgsz", [_USUAL_SIDE, _USUAL_SIDE]))
    size = _input_size(file.input_shape)
    return Export(
        layout=_yolo_layout(shapes[0], len(names), n_coefficients, file.metadata),
        names=names,
        dtype=file.dtype,
        batch=file.input_shape[0],
        size=size,
        usual=size or usual,
        stride=stride,
        tight=size is None and task is not None,  # YOLOv5's own program pads to the whole size
        n_coefficients=n_coefficients,
        masks=1 if n_coefficients else None,
    )


def _yolo_layout(shape: Shape, n_classes: int, n_coefficients: int, metadata: Mapping[str, str]) -> Layout:
    """The layout of an output of this shape, by the number of classes that the metadata name."""
    _, middle, last = shape
    grid, anchors, rows = (first + n_coefficients for first in (4 + n_classes, 5 + n_classes, 6))
    by_ultralytics = "task" in metadata  # which has no anchors; of one class, they would look like rows
    if last == rows and (by_ultralytics or last != anchors) and middle != grid:
        return "rows"
    if last == anchors and not by_ultralytics:
        return "anchors"
    if middle == grid:
        return "grid"
    raise ValueError(
        f"its output has the shape {_text([shape])}, and of {n_classes} classes, as its metadata name them, "
        f"expected (1, {grid}, n), (1, n, {anchors}) or (1, n, {rows})"
    )


def _read_rf_detr(file: OnnxFile, places: Mapping[str, int]) -> Export:
    told = _json(file.metadata.get(_RF_DETR))
    task = told.get("task", "detect" if "keypoints" not in places else "keypoints")
    if task not in ("detect", "segment"):
        raise ValueError(f"it is an RF-DETR for {task!r}: give one for boxes or segments")
    if not {"dets", "labels"} <= places.keys():
        raise ValueError(f"its outputs are {', '.join(places)}; expected dets and labels")
    shapes = list(file.outputs.values())
    dets, labels = shapes[places["dets"]], shapes[places["labels"]]
    n_logits = labels[-1] if labels else None
    if len(dets) != 3 or dets[2] != 4 or len(labels) != 3 or n_logits is None:
        raise ValueError(
            f"its outputs are {_text(shapes)}; expected dets (1, n, 4) and labels (1, n, classes)"
        )
    size = _input_size(file.input_shape)
    if size is None:
        raise ValueError("it leaves the size of its images open, which no RF-DETR does")
    names = _rf_detr_names(file.metadata, told, n_logits)
    return Export(
        layout="queries",
        names=names,
        dtype=file.dtype,
        batch=file.input_shape[0],
        size=size,
        usual=size,
        mean=_three(told.get("means", _IMAGENET_MEAN)),
        std=_three(told.get("stds", _IMAGENET_STD), positive=True),
        boxes=places["dets"],
        scores=places["labels"],
        masks=places.get("masks"),
    )


def _rf_detr_names(metadata: Mapping[str, str], told: Mapping[str, Any], n_logits: int) -> Mapping[int, str]:
    """A name for each logit; "" for those that stand for no class, as the last one usually does."""
    by_id = told.get("class_id_to_name") or told.get("class_names")
    if by_id is None and "names" not in metadata:
        raise ValueError(
            "it does not name its classes, as exports of older rfdetr: export it again, or write them into "
            "its metadata as 'names' (see docs/families.md)"
        )
    names = _names(by_id if by_id is not None else _literal(metadata, "names"), whole=False)
    if max(names) >= n_logits:
        raise ValueError(f"its metadata name class {max(names)}, and it has {n_logits} logits, from 0")
    return {number: names.get(number, "") for number in range(n_logits)}


def _names(value: Any, *, whole: bool = True) -> dict[int, str]:
    """Names by number, from a list or an object; ``whole``: of all numbers from 0."""
    named = dict(enumerate(value)) if isinstance(value, list | tuple) else value
    pairs = named.items() if isinstance(named, dict) else ()
    names = {int(number): str(one) for number, one in pairs if isinstance(one, str | int | float)}
    if not 0 < len(names) <= _MOST_CLASSES or min(names) < 0 or (whole and max(names) >= len(names)):
        raise ValueError("its metadata name no classes by number, under 'names'")
    return dict(sorted(names.items()))


def _literal(metadata: Mapping[str, str], key: str, default: Any = None) -> Any:
    """A value that Python wrote with ``str``; never more than numbers, texts, lists and objects."""
    text = metadata.get(key)
    if text is None:
        return default
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{key!r} in its metadata is {text!r:.60}") from error
    if not isinstance(value, list | tuple | dict | int):
        raise ValueError(f"{key!r} in its metadata is {text!r:.60}")
    return value


def _json(text: str | None) -> Mapping[str, Any]:
    try:
        value = parse_json(text or "{}", f"{_RF_DETR!r} in its metadata")
    except FormatError as error:
        raise ValueError(str(error)) from error
    if not isinstance(value, dict):
        raise ValueError(f"{_RF_DETR!r} in its metadata is no JSON object")
    return value


def _number(metadata: Mapping[str, str], key: str, default: int, *, most: int) -> int:
    value = _literal(metadata, key, default)
    if not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{key!r} in its metadata is {value!s:.60}; expected 1 to {most}")
    return value


def _sides(value: Any) -> Size:
    """The size in ``[height, width]``, or of a square by its side."""
    sides = [value, value] if isinstance(value, int) else value
    if len(sides) != 2 or not all(isinstance(side, int) and 1 <= side <= _LARGEST_SIDE for side in sides):
        raise ValueError(f"its images are to be {value!s:.60}; expected 1 to {_LARGEST_SIDE} pixels a side")
    return Size(sides[1], sides[0])


def _input_size(shape: Shape) -> Size | None:
    batch, _, height, width = shape
    if batch is not None and not 1 <= batch <= 256:
        raise ValueError(f"it takes {batch} images at once; expected 1 to 256")
    return None if height is None or width is None else _sides([height, width])


def _three(value: Any, *, positive: bool = False) -> tuple[float, ...]:
    fits = isinstance(value, list | tuple) and len(value) == 3
    if not fits or not all(isinstance(one, int | float) and math.isfinite(one) for one in value):
        raise ValueError(f"its metadata have {value!s:.60} for the colours' means or deviations")
    if positive and min(value) <= 0:
        raise ValueError(f"its metadata have {value!s:.60} for the colours' deviations")
    return tuple(float(one) for one in value)


def _text(shapes: Sequence[Shape]) -> str:
    return " and ".join(
        f"({', '.join('?' if side is None else str(side) for side in one)})" for one in shapes
    )
