"""One checkpoint: found, checked, loaded. Safetensors only, and never code that comes with the weights."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import constants as hub_constants
from huggingface_hub.errors import OfflineModeIsEnabled, StrictDataclassError
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from transformers import AutoConfig, AutoImageProcessor, AutoProcessor
from transformers.utils import logging as transformers_logging

from detseg.errors import ModelError, short_reason
from detseg.models.bounds import bounded_building, check_config, check_preprocessing
from detseg.models.checkpoint_files import (
    find_checkpoint,
    read_json,
    require_floats,
    require_label_ids,
)
from detseg.models.exports import read_export
from detseg.models.onnx_files import SUFFIX
from detseg.plurals import format_count

_LOADING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    TypeError,
    AttributeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)
"""The errors that transformers raises for a file that is missing, damaged or of another kind."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A model in evaluation mode, float32, on the CPU, and what makes its inputs. ``name`` is as given.

    ``digest`` stands for the weights of a model that is no module of torch; they may be in more ``files``.
    """

    name: str
    model: Any
    processor: Any
    digest: str | None = None
    files: tuple[str, ...] = ()

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
        return (folder.name or folder.resolve().name).partition("@")[0].removesuffix(SUFFIX)


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
    if source.lower().endswith(SUFFIX):
        export, _ = read_export(name, Path(source))
        return export.architecture
    if Path(source).is_dir():  # read as it lies there: not every family is one that AutoConfig knows
        config = read_json(name, Path(source) / "config.json")
        named = config.get("architectures") or [""]
        if not isinstance(named, list):
            raise ModelError(f"{name} cannot be loaded: its config.json names architectures that are no list")
        require_floats(name, config.get("quantization_config"), config.get("transformers_weights"))
        return str(named[0])
    with loading(name):
        name_there, revision = split_revision(source)
        config = AutoConfig.from_pretrained(name_there, revision=revision, trust_remote_code=False)
    quantization = getattr(config, "quantization_config", None)
    require_floats(name, quantization, getattr(config, "transformers_weights", None))
    return str((config.architectures or [""])[0])


def architecture_of(model: Any) -> str:
    """The architecture of a loaded model, as ``read_architecture`` reads it of its checkpoint."""
    return str(getattr(model.config, "builder", type(model).__name__))


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
    is_folder = Path(source).is_dir()
    config = _folder_config(name, Path(source), architecture) if is_folder else None
    with loading(name), bounded_building(name, Path(source)) if is_folder else nullcontext():
        processor = load_processor(source, revision=revision, trust_remote_code=False)
        model, info = getattr(transformers, architecture).from_pretrained(
            source,
            revision=revision,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # said below, with both numbers
            **({} if config is None else {"config": config}),
        )
    if getattr(model.config, "use_focal_loss", True) is False:
        raise ModelError(
            f"{name} has use_focal_loss = false, whose scores are not supported: train it with true"
        )
    _require_sizes(name, len(model.config.id2label), info["mismatched_keys"])
    require_whole(name, model, info["missing_keys"])
    return Checkpoint(name, model.eval().requires_grad_(False), processor)


def _folder_config(name: str, folder: Path, architecture: str) -> Any:
    """The configuration of a folder that transformers 4.38 to 4.57 saved; None where today's reads it itself.

    Those wrote a backbone of timm as ``backbone`` with ``backbone_kwargs`` or null; today's would ask the hub
    whether it is one of its models. The weights of the backbone are in the folder. Raises ModelError for
    settings that make no sense.
    """
    content = read_json(name, folder / "config.json")
    check_folder(name, folder, content)
    backbone, kwargs = content.get("backbone"), content.pop("backbone_kwargs", None)
    if not isinstance(backbone, str) or content.get("backbone_config"):
        return None
    content.pop("use_pretrained_backbone", None)
    if content.get("use_timm_backbone", True) and isinstance(kwargs, dict) and kwargs:
        timm = {"out_indices": [1, 2, 3, 4], **kwargs}
        content["backbone_config"] = {
            "model_type": "timm_backbone",
            "backbone": content.pop("backbone"),
            "num_channels": timm.pop("in_chans", content.get("num_channels", 3)),
            "features_only": True,
            "use_pretrained_backbone": False,
            **timm,
        }
    with loading(name):  # some families know what their backbones of timm were like
        return getattr(transformers, architecture).config_class.from_dict(content)


def check_folder(name: str, folder: Path, config: dict[str, Any]) -> None:
    """ModelError for settings that name no classes, or ask for a network or images of no possible size."""
    require_label_ids(name, config)
    with loading(name):
        check_config(name, folder, config)
    for file in ("preprocessor_config.json", "processor_config.json"):
        if (folder / file).is_file():
            check_preprocessing(name, read_json(name, folder / file))


def _require_sizes(name: str, n_labels: int, mismatched: Iterable[tuple[str, Any, Any]]) -> None:
    """ModelError for weights of another size than the configuration says, as those of another label list."""
    for key, there, expected in sorted(mismatched):
        n_extra = expected[0] - n_labels  # DETR and others have an answer for "nothing" beside the labels
        if n_extra in (0, 1):
            raise ModelError(
                f"{name} names {n_labels} labels (id2label), and its weights are of {there[0] - n_extra}: "
                "put the right id2label into its config.json"
            )
        raise ModelError(
            f"{name} has weights of another model: {key} is {tuple(there)}, not {tuple(expected)}"
        )


def require_whole(name: str, model: Any, missing: Any) -> None:
    """ModelError for a model that lacks weights, or has some that are not numbers."""
    parameters = dict(model.named_parameters())
    statistics = {name for name, _ in model.named_buffers() if name.endswith(("running_mean", "running_var"))}
    absent = sorted(key for key in missing if key in parameters or key in statistics)
    if absent:
        raise ModelError(
            f"{name} lacks {format_count(len(absent), 'weight')} of a {type(model).__name__} "
            f"(first {absent[0]}): it is damaged, or of another kind"
        )
    broken = [key for key, value in parameters.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ModelError(f"{name} has weights that are not numbers ({broken[0]}): the checkpoint is damaged")


@contextmanager
def loading(name: str) -> Iterator[None]:
    """In here the libraries are quiet, and what they raise becomes a ModelError in one line."""
    try:
        with quiet_library(), _offline() if Path(name).expanduser().is_dir() else nullcontext():
            yield
    except OfflineModeIsEnabled as error:
        if not Path(name).expanduser().is_dir():
            raise ModelError(f"{name} is on the hub, which is not to be asked (HF_HUB_OFFLINE)") from error
        raise ModelError(
            f"{name} leaves settings on the hub (those of its backbone, for instance), which is not asked "
            "for a folder: load it with transformers 5 and save it again"
        ) from error
    except _LOADING_ERRORS as error:
        reason = short_reason(error)
        if Path(name).expanduser().is_dir():
            raise ModelError(f"{name} cannot be loaded: {reason}") from error
        raise ModelError(
            f"{name} is no folder, and the model hub did not give it ({reason}): "
            "check the name and the network, or give a folder made by save_pretrained"
        ) from error


@contextmanager
def _offline() -> Iterator[None]:
    """In here the hub is never asked: everything that a folder needs is in it."""
    before, hub_constants.HF_HUB_OFFLINE = hub_constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        hub_constants.HF_HUB_OFFLINE = before


@contextmanager
def quiet_library() -> Iterator[None]:
    """In here the libraries show no progress bars and give no advice; their errors are raised, not logged."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    hub_verbosity = hub_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    hub_logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (RuntimeWarning, UserWarning):  # of settings that make no sense
                warnings.simplefilter("ignore", category)
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
