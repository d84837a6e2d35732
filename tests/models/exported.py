"""Exported models whose answer is known: graphs of a few operators, with the outputs that real exports have.

The answer of each is a constant tensor, plus nothing times the image, which goes through the graph so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Shape = Sequence[int | str]

NAMES = {0: "bolt", 1: "nut", 2: "gear"}


def ultralytics(task: str = "detect", **more: Any) -> dict[str, str]:
    """The metadata of an export of Ultralytics, each value as ``str`` writes it."""
    facts = {
        "author": "Ultralytics",
        "stride": 32,
        "task": task,
        "batch": 1,
        "imgsz": [64, 64],
        "names": NAMES,
    }
    return {key: str(value) for key, value in (facts | more).items()}


def rf_detr(task: str = "detect", **more: Any) -> dict[str, str]:
    """The metadata of an export of rfdetr."""
    facts = {
        "schema_version": 1,
        "task": task,
        "means": [0.485, 0.456, 0.406],
        "stds": [0.229, 0.224, 0.225],
        "class_names": list(NAMES.values()),
        "class_id_to_name": NAMES,
    }
    return {"rfdetr_inference": json.dumps(facts | more)}


def save(
    path: Path,
    outputs: Mapping[str, Array],
    metadata: Mapping[str, str],
    *,
    shape: Shape = (1, 3, 64, 64),
    open_axes: Mapping[str, Mapping[int, str]] | None = None,
    half: bool = False,
    nodes: Sequence[Any] = (),
) -> Path:
    """Write a model that answers ``outputs``; ``open_axes`` are those whose lengths it does not tell."""
    dtype, element = (np.float16, TensorProto.FLOAT16) if half else (np.float32, TensorProto.FLOAT)
    made, weights, told = [], [], []
    zero = numpy_helper.from_array(np.zeros((), dtype), "zero")
    made.append(helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0))
    made.append(helper.make_node("Mul", ["mean", "zero"], ["nothing"]))
    for name, values in outputs.items():
        weights.append(numpy_helper.from_array(values.astype(dtype), f"{name}_values"))
        made.append(helper.make_node("Add", [f"{name}_values", "nothing"], [name]))
        sides: list[int | str] = list(values.shape)
        for axis, word in ((open_axes or {}).get(name) or {}).items():
            sides[axis] = word
        told.append(helper.make_tensor_value_info(name, element, sides))
    graph = helper.make_graph(
        [*made, *nodes], "export", [helper.make_tensor_value_info("images", element, list(shape))], told,
        [zero, *weights],
    )  # fmt: skip
    return save_graph(path, graph, metadata)


def save_graph(path: Path, graph: Any, metadata: Mapping[str, str], **more: Any) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **more)
    helper.set_model_props(model, dict(metadata))
    onnx.save(model, str(path))
    return path


def grid(boxes: Array, scores: Array, coefficients: Array | None = None, *, n_places: int = 84) -> Array:
    """YOLOv8's output (1, 4 + c + m, n) of boxes ``cx cy w h`` and scores (k, c); other places are empty."""
    columns = [boxes, scores, *([] if coefficients is None else [coefficients])]
    values = np.concatenate(columns, axis=1)
    empty = np.zeros((n_places - len(values), values.shape[1]))
    return np.concatenate((values, empty)).T[None]


def anchors(boxes: Array, scores: Array, objectness: Array, coefficients: Array | None = None) -> Array:
    """YOLOv5's output (1, n, 5 + c + m)."""
    columns = [boxes, objectness[:, None], scores, *([] if coefficients is None else [coefficients])]
    values = np.concatenate(columns, axis=1)
    return np.concatenate((values, np.zeros((252 - len(values), values.shape[1]))))[None]


def rows(boxes: Array, scores: Array, labels: Array, coefficients: Array | None = None) -> Array:
    """YOLO26's output (1, 300, 6 + m) of boxes ``x0 y0 x1 y1``, padded with zeros."""
    columns = [boxes, scores[:, None], labels[:, None], *([] if coefficients is None else [coefficients])]
    values = np.concatenate(columns, axis=1)
    return np.concatenate((values, np.zeros((300 - len(values), values.shape[1]))))[None]
