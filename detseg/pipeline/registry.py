"""The registry of trained models: what is registered, under which name, and whether it is still that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detseg.catalog import Answers, RegisteredModel, TrainedModel
from detseg.errors import ModelError, TrainingError
from detseg.files import read_json
from detseg.models.reviewed import REVIEWS
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.predictors import SAMPLE
from detseg.pipeline.workspace import opened_catalog
from detseg.training.plan import RESULT, WORK

if TYPE_CHECKING:
    from detseg.catalog import Catalog
    from detseg.config import Settings

PRESENT = "present"
"""The name of the models that `detseg preannotate` uses now, which no trained model gets."""

CARD = "README.md"
"""The model card, on which people may go on writing."""

_NO_MODEL = (CARD, RESULT, WORK)


def register(settings: Settings, checkpoint: Path) -> RegisteredModel:
    """Register what a training left in a folder, under the folder's name or the next one that is free.

    Doing it again changes nothing. Raises TrainingError for a folder that no training has ended in, or whose
    name is no text.
    """
    failpoint("models.before_register")
    folder = checkpoint.absolute()
    if not _is_text(str(folder)):
        raise TrainingError(
            f"the name of the folder {str(folder)!a} is no UTF-8: rename it, and run `detseg train` "
            "with that name"
        )
    with opened_catalog(settings) as catalog:
        model = _read_trained(catalog, folder, settings.path)
        return catalog.models.register(_wished_name(folder), model)


def checkpoint_digest(folder: Path) -> str:
    """A hash of the contents and names of a checkpoint's files; of a file alone, of its content.

    The model card, hidden files and what a training says of itself do not count. Raises TrainingError for
    files that cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for file in checkpoint_files(folder):
            with file.open("rb") as opened:
                content = hashlib.file_digest(opened, "sha256").hexdigest()
            digest.update(json.dumps([file.relative_to(folder).as_posix(), content]).encode())
    except OSError as error:
        raise TrainingError(f"the checkpoint {folder} cannot be read: {error.strerror}") from error
    return f"sha256:{digest.hexdigest()}"


def checkpoint_files(folder: Path) -> list[Path]:
    """The files that make a checkpoint, in an order that is the same everywhere."""
    if folder.is_file():
        return [folder]
    found = []
    for file in folder.rglob("*"):
        parts = file.relative_to(folder).parts
        if file.is_file() and parts[0] not in _NO_MODEL and not any(part[0] == "." for part in parts):
            found.append(file)
    return sorted(found, key=lambda file: file.relative_to(folder).as_posix())


def _wished_name(folder: Path) -> str:
    """The folder's name as people can type it; what means something else already gets an ending."""
    name = "".join(letter if letter.isprintable() else "-" for letter in folder.name).lstrip("-")
    return f"{name}-model" if name in (PRESENT, SAMPLE, REVIEWS) else name


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_trained(catalog: Catalog, folder: Path, locate: Callable[[str], Path]) -> TrainedModel:
    """Read ``training.json`` beside the checkpoint in that folder; ``locate`` leads to that of its base."""
    entry = _read_result(folder)
    try:
        plan, trained = entry["plan"], entry["trained"]
        return TrainedModel(
            digest=checkpoint_digest(folder),
            path=str(folder),
            answers=_answers(folder),
            base=plan["base"],
            parent=_find_parent(catalog, locate(plan["base"])),
            dataset=plan["dataset"],
            dataset_id=plan["dataset_id"],
            seed=plan["seed"],
            steps=trained["steps"],
            seconds=trained["seconds"],
            figures=trained,
        )
    except (KeyError, TypeError) as error:
        raise TrainingError(f"{folder / RESULT} is not what this detseg writes: train it anew") from error


def _answers(folder: Path) -> Answers:
    """What the checkpoint in that folder answers. ModelError for a family that cannot be loaded."""
    from detseg.models.checkpoints import read_architecture  # and with it torch
    from detseg.models.families import FAMILIES

    architecture = read_architecture(str(folder))
    family = FAMILIES.get(architecture)
    if family is None:
        raise ModelError(
            f"{folder} is a {architecture or 'model without an architecture'}, which cannot be used"
        )
    return "both" if family.boxes and family.masks else "masks" if family.masks else "boxes"


def _read_result(folder: Path) -> Any:
    if not (folder / RESULT).is_file():
        raise TrainingError(f"no training has ended in {folder}: `detseg train` writes {RESULT} there")
    return read_json(folder / RESULT)


def _find_parent(catalog: Catalog, folder: Path) -> str | None:
    """The name of the registered model in a folder, if it is still what was registered."""
    if not any(model.path == str(folder) for model in catalog.models.all(removed=True)):
        return None
    parent = catalog.models.at(str(folder), checkpoint_digest(folder))
    return parent.name if parent else None
