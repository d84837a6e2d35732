"""The checkpoints that a training can begin from."""

from __future__ import annotations

import zipfile
from pathlib import Path

from detseg.config.training import Head
from detseg.errors import TrainingError
from detseg.models.checkpoints import Checkpoint, read_architecture
from detseg.models.families import FAMILIES
from detseg.models.onnx_files import SUFFIX, find_onnx
from detseg.models.plugins import is_plugin
from detseg.models.recorded import is_recorded
from detseg.models.reviewed import is_reviews
from detseg.training.adapt import show_whole
from detseg.training.heads import UPERNET, with_upernet
from detseg.training.tasks import TASKS, Task
from detseg.training.torchvision_models import show_inputs


def load_pretrained(name: str, *, head: Head = "own", seed: int = 0) -> Checkpoint:
    """The checkpoint to begin from, with its own head or a new one (``training.head``), which is the seed's.

    TrainingError for what cannot be trained, ModelError for what cannot be loaded.
    """
    architecture = _architecture(name)
    checkpoint = FAMILIES[architecture].load(name, architecture)
    if head == "upernet":
        checkpoint, architecture = with_upernet(checkpoint, seed=seed), UPERNET
    if FAMILIES[architecture].kind == "torchvision":
        return show_inputs(checkpoint)
    if getattr(checkpoint.processor, "do_split_image", False):
        raise TrainingError(
            f"{name} cannot be trained: it looks at an image in square pieces, each of which it gives one "
            "class a pixel; give a panoptic or instance checkpoint of its family"
        )
    if TASKS[architecture].every_pixel:
        show_whole(checkpoint.processor)
    return checkpoint


def task_of(name: str, *, head: Head = "own") -> Task:
    """Return what a checkpoint learns with that head; TrainingError for one that cannot learn."""
    own = TASKS[_architecture(name)]
    return TASKS[UPERNET] if head == "upernet" else own


def _architecture(name: str) -> str:
    _require_weights(name)
    architecture = read_architecture(name)
    if architecture not in TASKS:
        known = f"one of the families {', '.join(sorted({FAMILIES[one].kind for one in TASKS}))}"
        kind = FAMILIES[architecture].kind if architecture in FAMILIES else None
        if kin := sorted(one for one in TASKS if FAMILIES[one].kind == kind):
            known = f"its family that learns ({', '.join(kin)}), or of another one (see docs/training.md)"
        raise TrainingError(
            f"{name} cannot be trained: it is a {architecture or 'model without an architecture'}; give a "
            f"checkpoint of {known}"
        )
    return architecture


def _require_weights(name: str) -> None:
    reason = None
    if is_recorded(name):
        reason = "it is a file of predictions"
    elif is_reviews(name):
        reason = "it stands for the boxes of people"
    elif is_plugin(name):
        reason = "it is a plug-in, whose weights detseg does not know"
    elif name.lower().endswith(SUFFIX) or find_onnx(name):
        reason = "it is an exported model (ONNX), which answers and does not learn"
    elif _is_script(Path(name).expanduser()):
        reason = "it is a compiled model (TorchScript), which answers and does not learn"
    if reason is not None:
        raise TrainingError(
            f"{name} cannot be trained: {reason}; give the checkpoint that it was made of, a folder of "
            "save_pretrained or a hub's model name"
        )


def _is_script(path: Path) -> bool:
    """Tell whether a file is what ``torch.jit.save`` writes: a ZIP with code in it."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except zipfile.BadZipFile:
        return False
