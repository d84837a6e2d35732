"""Exported models (ONNX), run by onnxruntime: YOLO's letterbox, suppression and masks; RF-DETR's queries.

They run on the CPU, in the precision of their file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from detseg.errors import ModelError, short_reason
from detseg.geometry.masks import empty_mask
from detseg.geometry.runs import paste_bitmap
from detseg.geometry.suppression import suppress
from detseg.models.checkpoint_files import find_checkpoint
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.exports import Export, read_export
from detseg.models.network import NetworkRequest, RawDetection, lowest_score, to_logit
from detseg.models.networks.detection import read_box
from detseg.models.networks.rf_detr import Survivors, best_pairs, read_survivors
from detseg.models.onnx_files import OnnxFile, import_runtime
from detseg.types import DecodedImage, Mask, Size

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_ERRORS = (
    "EPFail",
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "NoSuchFile",
    "NotFound",
    "NotImplemented",
    "RuntimeException",
)
_GREY = 114.0  # of YOLO's padding
_MOST_CANDIDATES = 30_000
_LARGEST_IOU = {"grid": 0.7, "anchors": 0.45}
_MOST_BOXES = {"grid": 300, "anchors": 1_000, "rows": 300}
"""What Ultralytics and YOLOv5 predict with: the IoU of two boxes of a class, and their number in an image."""

_MOST_SCORE = 1.001  # float16 rounds


class Runtime:
    """An open file: ``run`` gives its outputs for an image."""

    def __init__(self, name: str, file: OnnxFile, export: Export) -> None:
        library = import_runtime(name, "onnxruntime")
        state = import_runtime(name, "onnxruntime.capi.onnxruntime_pybind11_state")
        self._errors = tuple(getattr(state, error) for error in _ERRORS)
        options = library.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()  # which the settings of threads are for
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        self.config, self._input = export, file.input_name
        try:
            self._session = library.InferenceSession(
                str(file.path), options, providers=["CPUExecutionProvider"]
            )
        except self._errors as error:
            raise ModelError(f"{name} cannot be loaded: {short_reason(error)}") from error

    def to(self, device: Any) -> None:
        """Stay on the CPU, whatever the device of the others."""

    def run(self, pixels: Array) -> list[Array]:
        """The outputs (1, ...) in float32 for one image (1, 3, h, w)."""
        n_images = self.config.batch or 1
        given = np.repeat(pixels, n_images, axis=0).astype(self.config.dtype)
        try:
            outputs = self._session.run(None, {self._input: given})
        except self._errors as error:
            reason = short_reason(error)
            raise (MemoryError if "allocate" in reason else RuntimeError)(reason) from error
        outputs = [np.asarray(one[:1], dtype=np.float32) for one in outputs]
        if any(np.isnan(one).any() for one in outputs):
            raise ArithmeticError("it answers what is no number: the file is damaged")
        return outputs


def load_onnx(name: str, architecture: str) -> Checkpoint:  # noqa: ARG001  (the file says it again)
    """The model in an ONNX file, or in a folder with one. ModelError, in one line, for what is none."""
    export, file = read_export(name, Path(find_checkpoint(name)))
    return Checkpoint(name, Runtime(name, file, export), export, file.digest, tuple(map(str, file.external)))


@dataclass(frozen=True, slots=True)
class Letterbox:
    """An image of ``inner`` pixels at (left, top) of the input's ``outer``, ``scale`` times its own size."""

    scale: float
    inner: Size
    left: int
    top: int
    outer: Size

    def axes(self, size: Size) -> tuple[tuple[int, int, int, int], ...]:
        """Across and down, for an image of that size: its side, the inner one, where it begins, the outer."""
        across = (size.width, self.inner.width, self.left, self.outer.width)
        return across, (size.height, self.inner.height, self.top, self.outer.height)


def fit_letterbox(size: Size, export: Export) -> Letterbox:
    """Where Ultralytics' ``LetterBox`` puts an image of that size: centred, enlarged too."""
    outer = export.usual
    scale = min(outer.width / size.width, outer.height / size.height)
    inner = Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))
    across, down = outer.width - inner.width, outer.height - inner.height
    if export.tight:
        across, down = across % export.stride, down % export.stride
    left, top = (max(0, round(spare / 2 - 0.1)) for spare in (across, down))
    return Letterbox(scale, inner, left, top, Size(inner.width + across, inner.height + down))


class YoloExport:
    """A ``Network`` over an exported YOLO, one image at a time."""

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:  # noqa: ARG002
        self._name, self._runtime, self._wanted = checkpoint.name, checkpoint.model, wanted
        self._export: Export = checkpoint.config
        self._threshold, self._pixel_logit = lowest_score(wanted), to_logit(wanted.pixel_threshold)

    def prepare(self, images: Sequence[DecodedImage]) -> list[Array]:
        return [self._pixels(image) for image in images]

    def run(self, inputs: Sequence[Array]) -> list[list[Array]]:
        return [self._runtime.run(one) for one in inputs]

    def read(
        self, output: Sequence[list[Array]], sizes: Sequence[Size]
    ) -> tuple[tuple[RawDetection, ...], ...]:
        return tuple(self._read(one, size) for one, size in zip(output, sizes, strict=True))

    def _pixels(self, image: DecodedImage) -> Array:
        """The input (1, 3, h, w) in [0, 1]."""
        box = fit_letterbox(image.size, self._export)
        pixels = np.full((box.outer.height, box.outer.width, 3), _GREY, dtype=np.float32)
        inner = np.rint(resize(image.rgb, box.inner))
        pixels[box.top : box.top + box.inner.height, box.left : box.left + box.inner.width] = inner
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]) / np.float32(255)

    def _read(self, outputs: list[Array], size: Size) -> tuple[RawDetection, ...]:
        boxes, scores, labels, coefficients = self._chosen(outputs[0][0])
        place = fit_letterbox(size, self._export)
        boxes = (boxes - [place.left, place.top, place.left, place.top]) / place.scale
        detections = []
        for k, (score, label_id) in enumerate(zip(scores.tolist(), labels.tolist(), strict=True)):
            box = read_box(boxes[k].tolist(), model=self._name)
            mask = None
            if self._wanted.masks and score > self._wanted.mask_threshold:
                logits = np.tensordot(coefficients[k], outputs[1][0], axes=1)  # (h, w)
                mask = self._paste(logits, boxes[k], size, place)
            seen = self._wanted.boxes and score > self._wanted.box_threshold
            detections.append(RawDetection(label_id, score, box if seen else None, mask))
        return tuple(detections)

    def _chosen(self, output: Array) -> tuple[Floats, Floats, Array, Array]:
        """Boxes (N, 4) in pixels of the input, scores, label ids, coefficients (N, m): best first."""
        boxes, scores, labels, rest = _columns(output, self._export)
        if rest.shape[1] != self._export.n_coefficients or (scores > _MOST_SCORE).any():
            raise ModelError(f"{self._name} answers what no YOLO does: it is damaged, or of another kind")
        kept = np.flatnonzero(scores > self._threshold)
        kept = kept[np.argsort(-scores[kept], kind="stable")][:_MOST_CANDIDATES]
        if not np.isin(labels[kept], np.arange(len(self._export.names))).all():
            raise ModelError(f"{self._name} answers a class that it does not name: it is damaged")
        if self._export.layout != "rows":
            iou_threshold = _LARGEST_IOU[self._export.layout]
            boxes = _cxcywh_to_xyxy(boxes)
            kept = kept[suppress(boxes[kept], scores[kept], labels[kept], iou_threshold=iou_threshold)]
        kept = kept[: _MOST_BOXES[self._export.layout]]
        return boxes[kept], scores[kept], labels[kept].astype(np.int64), rest[kept]

    def _paste(self, logits: Array, box: Floats, size: Size, place: Letterbox) -> Mask:
        """The mask in the box, at the image's own pixels, as Ultralytics' ``retina_masks`` makes it."""
        places = []
        for axis, (side, inner, offset, outer) in enumerate(place.axes(size)):
            first, last = (min(max(math.ceil(box[k]), 0), side) for k in (axis, axis + 2))
            if first >= last:
                return empty_mask(size)
            ratio = logits.shape[1 - axis] / outer
            centres = (np.arange(first, last) + 0.5) * (inner / side) + offset
            places.append(
                (first, np.clip(centres * ratio - 0.5, offset * ratio, (offset + inner) * ratio - 1))
            )
        (x0, columns), (y0, rows) = places
        return paste_bitmap(sample(logits, rows, columns) > self._pixel_logit, size, x0=x0, y0=y0)


class RfDetrExport:
    """A ``Network`` over an exported RF-DETR, one image at a time."""

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:  # noqa: ARG002
        self._name, self._runtime, self._wanted = checkpoint.name, checkpoint.model, wanted
        self._export: Export = checkpoint.config

    def prepare(self, images: Sequence[DecodedImage]) -> list[Array]:
        return [self._pixels(image) for image in images]

    def run(self, inputs: Sequence[Array]) -> list[Survivors]:
        return [self._surviving(self._runtime.run(one)) for one in inputs]

    def read(
        self, output: Sequence[Survivors], sizes: Sequence[Size]
    ) -> tuple[tuple[RawDetection, ...], ...]:
        pairs = zip(output, sizes, strict=True)
        return tuple(read_survivors(one, size, self._wanted, model=self._name) for one, size in pairs)

    def _pixels(self, image: DecodedImage) -> Array:
        """The input (1, 3, h, w): squeezed into its size, without a filter against aliasing."""
        scaled = resize(image.rgb, self._export.usual) / np.float32(255)
        mean, std = (np.array(one, dtype=np.float32) for one in (self._export.mean, self._export.std))
        normal = (scaled - mean) / std
        return np.ascontiguousarray(normal.transpose(2, 0, 1)[None])

    def _surviving(self, outputs: list[Array]) -> Survivors:
        boxes, logits = (torch.from_numpy(outputs[k][0]) for k in (self._export.boxes, self._export.scores))
        scores, queries, label_ids = best_pairs(logits, self._wanted)
        masks = torch.zeros(0, 1, 1)
        if self._wanted.masks and self._export.masks is not None:
            masked = queries[scores > self._wanted.mask_threshold]
            masks = torch.from_numpy(outputs[self._export.masks][0])[masked]
        return Survivors(scores, label_ids, boxes[queries], masks)


def _columns(output: Array, export: Export) -> tuple[Floats, Floats, Array, Array]:
    """The boxes (n, 4) as they stand, scores, labels and coefficients (n, m) of all places."""
    values = output.T if export.layout == "grid" else output
    boxes = values[:, :4].astype(np.float64)
    if export.layout == "rows":
        return boxes, values[:, 4].astype(np.float64), values[:, 5], values[:, 6:]
    first = 5 if export.layout == "anchors" else 4
    of_classes, rest = np.split(values[:, first:], [len(export.names)], axis=1)
    scores = of_classes.max(1) * (values[:, 4] if export.layout == "anchors" else np.float32(1))
    return boxes, scores.astype(np.float64), of_classes.argmax(1), rest


def _cxcywh_to_xyxy(boxes: Floats) -> Floats:
    centres, halves = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate((centres - halves, centres + halves), axis=1)


def resize(rgb: Array, size: Size) -> Array:
    """The pixels (h, w, 3) at that size, float32: bilinear, without a filter, as in OpenCV."""
    rows, columns = (
        (np.arange(new, dtype=np.float64) + 0.5) * (old / new) - 0.5
        for new, old in zip((size.height, size.width), rgb.shape[:2], strict=True)
    )
    return sample(rgb, rows, columns)


def sample(values: Array, rows: Floats, columns: Floats) -> Array:
    """The values (H, W, ...) between their places, bilinear, float32 (len(rows), len(columns), ...)."""
    for axis, places in enumerate((rows, columns)):
        last = values.shape[axis] - 1
        places = np.clip(places, 0, last)
        before = np.floor(places).astype(np.int64)
        share = (places - before).astype(np.float32)
        share = share.reshape(-1, *(1,) * (values.ndim - 1 - axis))
        after = values.take(np.minimum(before + 1, last), axis)
        values = values.take(before, axis) * (np.float32(1) - share) + after * share
    return values
