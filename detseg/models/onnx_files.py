"""Files of exported models (ONNX): found, looked through before anything of them runs, and opened.

A file is data, but its graph is a program: it may name operators of libraries, files anywhere on the machine,
loops that never end, and tensors that fill any memory. ``read_onnx`` refuses all of these.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePath
from textwrap import shorten
from typing import Any

from detseg.errors import ModelError, short_reason
from detseg.files import is_pointer, open_regular

SUFFIX = ".onnx"

_MOST_BYTES = 2 << 30  # protobuf's own limit; larger models keep their weights in files beside them
_MOST_NODES = 200_000
_MOST_NUMBERS = 1 << 28  # of one tensor: 1 GiB of float32
_LONGEST_METADATA = 1 << 20
_STANDARD = frozenset({"", "ai.onnx"})
_UNBOUNDED = frozenset({"Loop", "Scan", "SequenceMap"})
"""Operators that can run for ever. No export of a detector needs one."""

_FLOATS = {1: "float32", 10: "float16"}  # TensorProto.DataType
_EXTERNAL = 1  # TensorProto.DataLocation

Shape = tuple[int | None, ...]
"""The sides of a tensor; None for one that the file leaves open."""


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A file that was looked through. ``digest`` is the SHA-256 of it and of the ``external`` files.

    Those hold weights. ``dtype`` is the type of the only input, images; ``outputs`` are in the file's order.
    """

    path: Path
    digest: str
    external: tuple[Path, ...]
    metadata: Mapping[str, str]
    input_name: str
    input_shape: Shape
    dtype: str
    outputs: Mapping[str, Shape]


def is_onnx(path: Path) -> bool:
    """Tell whether a path leads to an ONNX file, by its name."""
    return path.suffix.lower() == SUFFIX and path.is_file()


def find_onnx(name: str | Path) -> Path | None:
    """The ONNX file that a name means: itself, or the only one in a folder that holds no other checkpoint."""
    path = Path(name).expanduser()
    if is_onnx(path):
        return path
    if not path.is_dir() or (path / "config.json").exists():
        return None
    found = sorted(filter(is_onnx, path.iterdir()))
    if len(found) > 1:
        raise ModelError(f"{name} has {len(found)} ONNX files ({found[0].name}, ...): name one of them")
    return found[0] if found else None


def read_onnx(name: str, path: Path) -> OnnxFile:
    """Look through a file. ModelError for one that is damaged, or asks for what no export needs."""
    onnx = import_runtime(name, "onnx")
    digest = hashlib.sha256()
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _refused(name, "it is larger than 2 GiB")
        if is_pointer(path):
            raise _refused(name, "it is a pointer of Git LFS: run `git lfs pull` there")
        with open_regular(path) as file:
            data = file.read()
        if not data:
            raise _refused(name, "it is empty (0 bytes)")
        digest.update(data)
        model = onnx.load_model_from_string(data)
    except (OSError, ValueError, MemoryError, onnx_errors(name)) as error:
        raise _refused(name, short_reason(error)) from error
    external = tuple(sorted(_check_graph(name, path, model)))
    for one in external:
        with open_regular(one) as file:
            while data := file.read(1 << 20):
                digest.update(data)
    _check_shapes(name, onnx, model)
    input_name, input_shape, dtype = _only_input(name, model.graph)
    outputs = {one.name: _shape(one.type.tensor_type) for one in model.graph.output}
    metadata = {one.key: one.value for one in model.metadata_props}
    return OnnxFile(path, digest.hexdigest(), external, metadata, input_name, input_shape, dtype, outputs)


def import_runtime(name: str, module: str) -> Any:
    """A library that ONNX files need. ModelError, which says how to install it, where it is not there."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ModelError(
            f"{name} is an ONNX file, which needs {module} ({error}): pip install 'detseg[onnx]' brings it"
        ) from error


def onnx_errors(name: str) -> type[Exception]:
    """The error that protobuf raises for a damaged file."""
    decode_error: type[Exception] = import_runtime(name, "google.protobuf.message").DecodeError
    return decode_error


def _check_graph(name: str, path: Path, model: Any) -> set[Path]:
    """The files of weights beside the model. ModelError for what no export of a detector has."""
    if sum(len(one.key) + len(one.value) for one in model.metadata_props) > _LONGEST_METADATA:
        raise _refused(name, "its metadata are longer than 1 MiB")
    own = {(one.domain, one.name) for one in model.functions}
    external = set()
    for n_nodes, (node, tensors) in enumerate(_nodes_and_tensors(name, model)):
        if n_nodes > _MOST_NODES:
            raise _refused(name, f"it has more than {_MOST_NODES:,} operators")
        if node is not None and node.domain not in _STANDARD and (node.domain, node.op_type) not in own:
            raise _refused(
                name, f"it has the custom operator {node.domain}.{node.op_type}, which is never run"
            )
        if node is not None and node.op_type in _UNBOUNDED:
            raise _refused(name, f"it has a {node.op_type}, which may run for ever")
        for tensor in tensors:
            _check_numbers(name, f"the tensor {tensor.name or '(without a name)'}", tensor.dims)
            if tensor.data_location == _EXTERNAL:
                external.add(_beside(name, path, tensor))
    return external


def _nodes_and_tensors(name: str, model: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Every operator with the tensors in it, and the weights of every graph with None."""
    graphs = [model.graph]
    bodies = [one.node for one in model.functions]
    while graphs or bodies:
        if graphs:
            graph = graphs.pop()
            if graph.sparse_initializer:
                raise _refused(name, "it has sparse weights")
            yield None, list(graph.initializer)
            nodes = graph.node
        else:
            nodes = bodies.pop()
        for node in nodes:
            tensors = []
            for attribute in node.attribute:
                graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
                tensors += [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
                if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                    raise _refused(name, "it has sparse weights")
            yield node, tensors


def _beside(name: str, path: Path, tensor: Any) -> Path:
    """The file of a tensor's numbers, which lies in the model's folder, or below."""
    location = next((one.value for one in tensor.external_data if one.key == "location"), "")
    folder = path.parent.resolve()
    file = (folder / location).resolve()
    if not location or PurePath(location).is_absolute() or not file.is_relative_to(folder):
        raise _refused(name, f"its weights are to come from {location!r}, which is outside of its folder")
    if not file.is_file():
        raise _refused(name, f"its weights are in {location}, which is not beside it")
    return file


def _check_shapes(name: str, onnx: Any, model: Any) -> None:
    """ModelError for a result that would fill the memory, as far as shapes are known before it runs."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (ValueError, RuntimeError, onnx_errors(name)) as error:
        raise _refused(name, short_reason(error)) from error
    graph = inferred.graph
    for value in (*graph.value_info, *graph.input, *graph.output):
        sides = _shape(value.type.tensor_type)
        _check_numbers(name, f"the result {value.name}", [side for side in sides if side is not None])


def _check_numbers(name: str, what: str, sides: Any) -> None:
    if any(side < 0 for side in sides) or math.prod(sides) > _MOST_NUMBERS:
        raise _refused(name, f"{what} is to be {shorten(' x '.join(map(str, sides)), 60)} numbers")


def _only_input(name: str, graph: Any) -> tuple[str, Shape, str]:
    weights = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in weights]
    shapes = [_shape(one.type.tensor_type) for one in inputs]
    if len(inputs) != 1 or len(shapes[0]) != 4 or shapes[0][1] != 3:
        found = ", ".join(f"{one.name} {shape}" for one, shape in zip(inputs, shapes, strict=True))
        raise _refused(name, f"expected one input, RGB images (n, 3, height, width), not {found or 'none'}")
    dtype = _FLOATS.get(inputs[0].type.tensor_type.elem_type)
    if dtype is None:
        raise _refused(name, "its input is neither float32 nor float16: export it so")
    return inputs[0].name, shapes[0], dtype


def _shape(tensor: Any) -> Shape:
    return tuple(side.dim_value if side.HasField("dim_value") else None for side in tensor.shape.dim)


def _refused(name: str, reason: str) -> ModelError:
    return ModelError(f"{name} cannot be loaded: {reason}")
