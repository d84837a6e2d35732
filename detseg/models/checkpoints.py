"""One checkpoint: found, checked, loaded. Safetensors only, and never code that comes with the weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForObjectDetection,
    AutoModelForUniversalSegmentation,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
    MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES,
)
from transformers.utils import logging as transformers_logging

from detseg.errors import ModelError

Role = Literal["detector", "segmenter"]

_AUTO_CLASSES: Mapping[Role, Any] = {
    "detector": AutoModelForObjectDetection,
    "segmenter": AutoModelForUniversalSegmentation,
}
_ARCHITECTURES: Mapping[Role, Mapping[str, str]] = {
    "detector": MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
    "segmenter": MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES,
}
_UNSUPPORTED = {
    "oneformer": "it needs a text task beside the image",
    "videomt": "it reads videos, not images",
}
_LOADING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    TypeError,
    AttributeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers raises for a file that is missing, damaged or of another kind."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A model that is ready to answer: in evaluation mode, float32, on ``device``. ``name`` is as given."""

    name: str
    role: Role
    model: Any
    processor: Any
    device: torch.device

    @property
    def config(self) -> Any:
        return self.model.config

    @property
    def labels(self) -> dict[int, str]:
        """The names by label id, in the order of the ids."""
        return {int(i): str(name) for i, name in sorted(self.config.id2label.items())}

    @property
    def short_name(self) -> str:
        """The last part of the name: ``detr-resnet-50`` of ``facebook/detr-resnet-50``."""
        return Path(self.name).expanduser().name or Path(self.name).resolve().name


def load_checkpoint(name: str, role: Role, *, device: torch.device) -> Checkpoint:
    """The checkpoint of that name: a folder made by ``save_pretrained``, or a model name of the hub.

    ModelError, in one line, if it is not there, damaged, of another kind, or not in safetensors form.
    """
    source = _source(name, role)
    try:
        with _quiet_library():
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            _require_role(name, role, config)
            processor = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                source, trust_remote_code=False
            )
            model, info = _AUTO_CLASSES[role].from_pretrained(
                source,
                config=config,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except _LOADING_ERRORS as error:
        raise ModelError(_explain(name, source, role, error)) from error
    _require_whole(name, role, model, info["missing_keys"])
    return Checkpoint(name, role, model.eval().requires_grad_(False).to(device), processor, device)


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is the first of cuda, mps and cpu that is there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(f"the device {name!r} is not there: use auto, cpu, cuda, cuda:N or mps") from error
    return device


def _source(name: str, role: Role) -> str:
    """The folder or hub name to load from; ModelError for a folder that cannot hold a checkpoint."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        _require_files(name, folder)
        return str(folder)
    if folder.exists():
        raise ModelError(f"{name} is a file, not a checkpoint: give --{role} the folder it lies in")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or not name.strip():
        raise ModelError(f"the folder {folder} is not there: give --{role} a folder or a hub's model name")
    return name


def _require_files(name: str, folder: Path) -> None:
    for required in ("config.json", "preprocessor_config.json"):
        if not (folder / required).is_file():
            raise ModelError(
                f"{name} has no {required}: give a folder made by save_pretrained (of model and processor)"
            )
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    if pickled:
        raise ModelError(
            f"{name} has pickled weights only ({pickled[0]}), which can run code when they are read: "
            "save it again with save_pretrained, which writes safetensors"
        )
    raise ModelError(f"{name} has no weights: model.safetensors was expected in that folder")


def _require_role(name: str, role: Role, config: Any) -> None:
    other: Role = "segmenter" if role == "detector" else "detector"
    kind = config.model_type
    if kind in _UNSUPPORTED:
        raise ModelError(f"{name} is a {kind} model, which is not supported ({_UNSUPPORTED[kind]})")
    saved = (config.architectures or [None])[0]
    wanted, others = _ARCHITECTURES[role].get(kind), _ARCHITECTURES[other].get(kind)
    if others and (wanted is None or saved == others != wanted):
        raise ModelError(f"{name} is a {other} ({saved or kind}): give it as --{other}, not as --{role}")
    if wanted is None:
        raise ModelError(f"{name} is no {role} but a {saved or kind}: give --{role} a {role}'s checkpoint")


def _require_whole(name: str, role: Role, model: Any, missing: Any) -> None:
    parameters = dict(model.named_parameters())
    absent = sorted(key for key in missing if key in parameters)
    if absent:
        raise ModelError(
            f"{name} lacks {len(absent)} weights of a {type(model).__name__} ({absent[0]}, ...): "
            f"it is damaged, or no {role}"
        )
    broken = [key for key, value in parameters.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ModelError(f"{name} has weights that are not numbers ({broken[0]}): the checkpoint is damaged")


def _explain(name: str, source: str, role: Role, error: BaseException) -> str:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if Path(source).is_dir():
        return f"{name} cannot be loaded as a {role}: {reason}"
    return (
        f"{name} is no folder, and the model hub did not give it ({reason}): "
        f"check the name and the network, or give --{role} a folder made by save_pretrained"
    )


@contextmanager
def _quiet_library() -> Iterator[None]:
    """No progress bars and advice from the libraries while loading; their errors are raised, not logged."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    hub_verbosity = hub_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    hub_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
