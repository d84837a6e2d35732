"""One checkpoint: found, checked, loaded. Safetensors only, and never code that comes with the weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from transformers import AutoConfig, AutoImageProcessor, AutoProcessor
from transformers.utils import logging as transformers_logging

from detseg.errors import ModelError

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
    """A model in evaluation mode, float32, on the CPU, and what makes its inputs. ``name`` is as given."""

    name: str
    model: Any
    processor: Any

    @property
    def config(self) -> Any:
        return self.model.config

    @property
    def labels(self) -> dict[int, str]:
        """The names by label id, in the order of the ids."""
        return {int(i): str(name) for i, name in sorted(self.config.id2label.items())}

    @property
    def short_name(self) -> str:
        """The last part of the name: ``detr-resnet-50`` of ``facebook/detr-resnet-50@main``."""
        folder = Path(self.name).expanduser()
        return (folder.name or folder.resolve().name).partition("@")[0]


def find_checkpoint(name: str) -> str:
    """The folder or hub name to load from; ModelError for a folder that cannot hold a checkpoint."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        _require_files(name, folder)
        return str(folder)
    if folder.exists():
        raise ModelError(f"{name} is a file, not a checkpoint: give the folder it lies in")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or not name.strip():
        raise ModelError(f"the folder {folder} is not there: give a folder or a hub's model name")
    return name


def split_revision(source: str) -> tuple[str, str | None]:
    """A hub name and the revision behind its ``@``, if there is one; a folder's name stays whole.

    >>> split_revision("facebook/detr-resnet-50@no_timm")
    ('facebook/detr-resnet-50', 'no_timm')
    """
    name, at, revision = source.rpartition("@")
    return (name, revision) if at and not Path(source).is_dir() else (source, None)


def read_architecture(name: str) -> str:
    """The architecture that a checkpoint names; "" if it names none."""
    source = find_checkpoint(name)
    if Path(source).is_dir():  # read as it lies there: not every family is one that AutoConfig knows
        config = read_json(name, Path(source) / "config.json")
        return str((config.get("architectures") or [""])[0])
    with loading(name):
        name_there, revision = split_revision(source)
        config = AutoConfig.from_pretrained(name_there, revision=revision, trust_remote_code=False)
    return str((config.architectures or [""])[0])


def load_transformers(name: str, architecture: str) -> Checkpoint:
    """A model of transformers with its image processor.

    ModelError, in one line, if it is not there, damaged, of another kind, or not in safetensors form.
    """
    return load_with_processor(name, architecture, AutoImageProcessor.from_pretrained)


def load_with_text(name: str, architecture: str) -> Checkpoint:
    """The same, with a processor that takes texts beside images."""
    return load_with_processor(name, architecture, AutoProcessor.from_pretrained)


def load_with_processor(name: str, architecture: str, load_processor: Callable[..., Any]) -> Checkpoint:
    """The same, with what ``load_processor`` makes of the folder or hub name."""
    source, revision = split_revision(find_checkpoint(name))
    with loading(name):
        processor = load_processor(source, revision=revision, trust_remote_code=False)
        model, info = getattr(transformers, architecture).from_pretrained(
            source,
            revision=revision,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    require_whole(name, model, info["missing_keys"])
    return Checkpoint(name, model.eval().requires_grad_(False), processor)


def _require_files(name: str, folder: Path) -> None:
    required_files = ["config.json"]
    with_text = (folder / "processor_config.json").is_file()  # it holds what prepares images, too
    if not with_text and not _prepares_by_itself(name, folder):
        required_files.append("preprocessor_config.json")
    for required in required_files:
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


def _prepares_by_itself(name: str, folder: Path) -> bool:
    """Whether it is a model of torchvision: what those do to images stands in their ``config.json``."""
    config = folder / "config.json"
    return config.is_file() and read_json(name, config).get("model_type") == "torchvision"


def require_whole(name: str, model: Any, missing: Any) -> None:
    """ModelError for a model that lacks weights, or has some that are not numbers."""
    parameters = dict(model.named_parameters())
    absent = sorted(key for key in missing if key in parameters)
    if absent:
        raise ModelError(
            f"{name} lacks {len(absent)} weights of a {type(model).__name__} ({absent[0]}, ...): "
            "it is damaged, or of another kind"
        )
    broken = [key for key, value in parameters.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ModelError(f"{name} has weights that are not numbers ({broken[0]}): the checkpoint is damaged")


@contextmanager
def loading(name: str) -> Iterator[None]:
    """In here the libraries are quiet, and what they raise becomes a ModelError in one line."""
    try:
        with _quiet_library():
            yield
    except _LOADING_ERRORS as error:
        reason = shorten(str(error), 200, placeholder=" ...") or type(error).__name__
        if Path(name).expanduser().is_dir():
            raise ModelError(f"{name} cannot be loaded: {reason}") from error
        raise ModelError(
            f"{name} is no folder, and the model hub did not give it ({reason}): "
            "check the name and the network, or give a folder made by save_pretrained"
        ) from error


def read_json(name: str, file: Path) -> dict[str, Any]:
    """The JSON object in a file of a checkpoint's folder; ModelError if there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{name} cannot be loaded: {file.name} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{name} cannot be loaded: {file.name} is no JSON object")
    return content


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
