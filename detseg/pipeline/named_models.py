"""Models by the names that commands take: the settings that use one, and the images that it was made by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from detseg.datasets.sample import image_of
from detseg.datasets.splits import CHOSEN_BY, LEARNED
from detseg.datasets.store import DatasetStore
from detseg.errors import DatasetError, FormatError, TrainingError
from detseg.files import read_json
from detseg.models.onnx_files import is_onnx
from detseg.models.plugins import is_plugin
from detseg.models.recorded import is_recorded
from detseg.models.reviewed import is_reviews
from detseg.pipeline.choosing import choose_models, require_unchanged, use_model
from detseg.pipeline.predictors import SAMPLE
from detseg.pipeline.registry import PRESENT
from detseg.pipeline.training import SAMPLES
from detseg.pipeline.workspace import opened_catalog
from detseg.training.plan import RESULT

if TYPE_CHECKING:
    from detseg.catalog import RegisteredModel
    from detseg.config import Settings
    from detseg.datasets.version import Version
    from detseg.types import ImageId


def model_settings(settings: Settings, name: str, *, with_masks: bool) -> Settings:
    """Return the settings by which that model predicts.

    ``name`` is ``present``, a registered name, "sample", a folder, or what else ``model.detector`` takes.
    Where no masks are asked for, nothing is segmented beside a detector. Raises ModelError for a checkpoint
    that is not there, or whose files are not those that were registered.
    """
    if name == PRESENT:
        return choose_models(settings).settings
    settings = settings.updated(model__score_maps={})  # which are those of another model
    with opened_catalog(settings) as catalog:
        model = catalog.models.get(name)
        if model is not None:
            require_unchanged(catalog, model, mend="train it anew")
    if model is not None:
        chosen = use_model(settings, model.path, model.answers)
    elif _answers_masks_alone(name, settings.path(name)):
        chosen = settings.updated(model__detector=None, model__segmenter=name, model__committee=())
    else:
        chosen = settings.updated(model__detector=name, model__committee=())
    has_boxes = chosen.model.detector is not None and chosen.model.detector != chosen.model.segmenter
    return chosen.updated(model__segmenter=None) if has_boxes and not with_masks else chosen


def _answers_masks_alone(name: str, there: Path) -> bool:
    if name == SAMPLE or is_reviews(name) or is_recorded(name) or is_plugin(name) or is_onnx(there):
        return False
    from detseg.models.checkpoints import read_architecture
    from detseg.models.families import FAMILIES

    family = FAMILIES.get(read_architecture(str(there) if there.is_dir() else name))
    return family is not None and family.masks and not family.boxes and family.prompt == "none"


def images_behind(settings: Settings, name: str, *, note: Callable[[str], None]) -> dict[ImageId, Version]:
    """The images that a model learned from or was chosen by, and those that its base was made by, and so on.

    Each with a version that has it. ``note`` gets a line where nothing says what a model learned from. Raises
    DatasetError where a training names a version that is not there any more.
    """
    store = DatasetStore(settings.datasets_location)
    with opened_catalog(settings) as catalog:
        known = catalog.models.all(removed=True)
    images: dict[ImageId, Version] = {}
    for training in _trainings(settings, name, known, note):
        try:
            version = store.version(training.dataset_id)
        except DatasetError as error:
            raise DatasetError(
                f"{training.checkpoint} learned from the dataset version {training.dataset}, which is not "
                "there any more: nobody can tell which images it has not seen; put the version back, or "
                "train on one that is there"
            ) from error
        sides = store.splits(version).items()
        images |= {image_of(image): version for image, side in sides if side in (LEARNED, CHOSEN_BY)}
    return images


@dataclass(frozen=True, slots=True)
class _Training:
    """The training that made a checkpoint; ``parent`` is the registered name of its base, if that has one."""

    checkpoint: str
    base: str
    dataset: str
    dataset_id: str
    parent: str | None = None


def _trainings(
    settings: Settings, name: str, known: Sequence[RegisteredModel], note: Callable[[str], None]
) -> Iterator[_Training]:
    """The trainings that made a model, the latest first.

    Of registered models the catalog tells, also where they were removed with their files.
    """
    if name == PRESENT:
        model = choose_models(settings).settings.model
        for one in (model.detector, model.segmenter, *model.committee):
            if one:
                yield from _trainings(settings, one, known, note)
        return
    by_name = {model.name: model for model in known}
    registered = by_name.get(name)
    seen: set[_Training] = set()
    while True:
        folder = settings.path(registered.path if registered else name)
        training = _read_training(folder, registered or _find_registered(folder, known))
        if training is None or training in seen:
            break
        seen.add(training)
        yield training
        name, registered = training.base, by_name.get(training.parent or "")
    if name not in SAMPLES:
        note(f"nothing says which images {name} learned from: if some are among these, it is judged too well")


def _find_registered(folder: Path, known: Sequence[RegisteredModel]) -> RegisteredModel | None:
    """The registered model whose training ended in that folder; the latest one where its files are gone."""
    here = [model for model in known if model.path == str(folder)]
    if here and (folder / RESULT).is_file():
        entry = read_json(folder / RESULT)
        trained = entry.get("trained") if isinstance(entry, dict) else None
        here = [model for model in here if model.figures == trained]
    return here[-1] if here else None


def _read_training(folder: Path, model: RegisteredModel | None) -> _Training | None:
    """Return the training that made the checkpoint of a folder; None where nothing tells of one."""
    if model is not None:
        return _Training(model.path, model.base, model.dataset, model.dataset_id, model.parent)
    path = folder / RESULT
    if not path.is_file():
        return None
    try:
        plan = read_json(path)["plan"]
        return _Training(str(folder), *(str(plan[name]) for name in ("base", "dataset", "dataset_id")))
    except (FormatError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is not what this detseg writes: train it anew") from error
