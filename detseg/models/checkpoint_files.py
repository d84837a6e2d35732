"""The files of a checkpoint: where they lie, and what to do where they cannot be loaded. Knows no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from detseg import files
from detseg.errors import FormatError, ModelError
from detseg.models.onnx_files import SUFFIX, find_onnx

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_UNPICKLE = (
    "which can run code when they are read: save the model again with save_pretrained or save_torchvision, "
    "which write safetensors, or one of Ultralytics with `yolo export format=onnx`"
)


def find_checkpoint(name: str) -> str:
    """The folder, ONNX file or hub name to load from; ModelError for a folder without a checkpoint."""
    if exported := find_onnx(name):
        return str(exported)
    path = Path(name).expanduser()
    if path.is_dir():
        _require_files(name, path)
        return str(path)
    if name.lower().endswith(SUFFIX):
        raise ModelError(f"the file {name} is not there: give the path of an exported model")
    if path.exists():
        raise ModelError(f"{name} {_describe_file(path)}")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or not name.strip():
        raise ModelError(f"the folder {path} is not there: give a folder or a hub's model name")
    return name


def read_json(name: str, file: Path) -> dict[str, Any]:
    """The JSON object in a file of a checkpoint's folder; ModelError if there is none."""
    try:
        content = files.read_json(file)
    except FormatError as error:
        raise ModelError(f"{name} cannot be loaded: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{name} cannot be loaded: {file.name} is no JSON object")
    return content


def require_floats(name: str, quantization: Any, named_file: Any) -> None:
    """ModelError for weights that a configuration says are quantized, or in a file of another kind."""
    if named_file is not None and not str(named_file).endswith((".safetensors", ".safetensors.index.json")):
        raise ModelError(f"{name} has pickled weights ({named_file}, in its config.json), {_UNPICKLE}")
    if quantization:
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        raise ModelError(
            f"{name} is quantized ({method or 'quantization_config'}), and detseg loads float weights: "
            "give the model that it was made of, or save it again after dequantize()"
        )


def require_label_ids(name: str, config: dict[str, Any]) -> None:
    """ModelError for an ``id2label`` that is no object of names by number."""
    labels = config.get("id2label")
    if labels is None or (isinstance(labels, dict) and all(str(key).isdecimal() for key in labels)):
        return
    raise ModelError(
        f'{name} has an id2label that does not name classes by number: write {{"0": "bolt", "1": "nut"}}, '
        "say, into its config.json"
    )


def _describe_file(file: Path) -> str:
    suffix = file.suffix.lower()
    if suffix in _PICKLES:
        return f"has pickled weights, {_UNPICKLE}"
    if suffix == ".safetensors":
        return "is a file, not a checkpoint: give the folder it lies in"
    return f"is no file that detseg loads: give a folder made by save_pretrained, or a file in {SUFFIX}"


def _require_files(name: str, folder: Path) -> None:
    """ModelError for the first file that is missing, or that makes another model of the others."""
    present = {file.name for file in folder.iterdir()}
    pickled = sorted(one for one in present if Path(one).suffix.lower() in _PICKLES)
    if pickled and not any(one.endswith(".safetensors") for one in present):
        raise ModelError(f"{name} has pickled weights only ({pickled[0]}), {_UNPICKLE}")
    _require_no_adapter(name, present)
    if "config.json" not in present:
        if "training" in present:
            raise ModelError(
                f"{name} is a training that has not ended: the same `detseg train` goes on with it"
            )
        raise ModelError(
            f"{name} has no config.json: give a folder made by save_pretrained (of model and processor)"
            + _name_inner(folder)
        )
    with_text = "processor_config.json" in present  # it holds what prepares images, too
    if not with_text and "preprocessor_config.json" not in present and not _prepares_by_itself(name, folder):
        raise ModelError(
            f"{name} has no preprocessor_config.json: save the processor there, too (save_pretrained), or "
            "copy that file from the model that this one was trained from"
        )
    _require_weights(name, folder, present)


def _require_weights(name: str, folder: Path, present: set[str]) -> None:
    """ModelError unless weights lie there under the names that are read, and are more than pointers."""
    weights = sorted(one for one in present if one.endswith(".safetensors"))
    if not weights:
        exported = sorted(file.name for file in folder.glob(f"*{SUFFIX}"))
        more = f", or give {folder / exported[0]} if it is an export of YOLO or RF-DETR" if exported else ""
        raise ModelError(
            f"{name} has no weights: model.safetensors was expected in that folder: save it again with "
            f"save_pretrained{more}"
        )
    named = read_json(name, folder / "config.json").get("transformers_weights")
    if named is None and not present.intersection(_WEIGHTS):
        raise ModelError(
            f"{name} has weights in {weights[0]}, and {' or '.join(_WEIGHTS)} was expected: "
            "save it again with save_pretrained"
        )
    for one in weights:
        if files.is_pointer(folder / one):
            raise ModelError(
                f"{name} has a pointer of Git LFS in the place of {one}: run `git lfs pull` there"
            )


def _require_no_adapter(name: str, present: set[str]) -> None:
    if "adapter_config.json" not in present:
        return
    base = "beside the weights of a model" if present.intersection(_WEIGHTS) else "without its model"
    raise ModelError(
        f"{name} has an adapter {base} (adapter_config.json), which detseg does not add to any: "
        "save what peft's merge_and_unload() gives with save_pretrained, in a folder without that file"
    )


def _name_inner(folder: Path) -> str:
    """Name the newest checkpoint further inside, as in the folder of a training; "" for none."""
    inner = [*folder.glob("*/config.json"), *folder.glob("snapshots/*/config.json")]
    if not inner:
        return ""
    newest = max(inner, key=lambda file: (file.stat().st_mtime_ns, file))
    return f", as {newest.parent} is"


def _prepares_by_itself(name: str, folder: Path) -> bool:
    """Tell whether it is a model of torchvision: what those do to images stands in their ``config.json``."""
    return read_json(name, folder / "config.json").get("model_type") == "torchvision"
