"""The promoted model in the place of those of the settings, for every run that pre-annotates.

A promotion goes over detseg.toml and its defaults. What a flag, a variable or a program names goes over the
promotion, so ``detseg preannotate --detector other`` means what it says.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from detseg.errors import FormatError, ModelError
from detseg.files import read_json
from detseg.models.drawn import is_reviews
from detseg.pipeline.model_cache import file_stamps
from detseg.pipeline.predictors import SAMPLE
from detseg.pipeline.registry import checkpoint_digest
from detseg.pipeline.workspace import opened_catalog
from detseg.samples.checkpoints import checkpoint_path

if TYPE_CHECKING:
    from detseg.catalog import Answers, Catalog, Promotion, RegisteredModel
    from detseg.config import Settings

Value = TypeVar("Value")

_FLAGS = {"model__detector": "--detector", "model__segmenter": "--segmenter"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The settings of a run, with its models. ``reason`` is a line for people, "" for nothing to say."""

    settings: Settings
    reason: str = ""


def choose_models(settings: Settings) -> Chosen:
    """The settings with the promoted model, if one is promoted and nothing beside the file names another.

    Reads no weights; a checkpoint whose files are as they were at the last look is not read at all. Raises
    ModelError where its files are gone, or are not those that were promoted.
    """
    if settings.catalog is None and not settings.state_path.is_dir():
        return Chosen(settings)
    with opened_catalog(settings) as catalog:
        promotion = catalog.promotions.present()
        model = catalog.models.get(promotion.model) if promotion and promotion.model else None
        if promotion is None or model is None:
            return Chosen(settings)
        options = _places(model.answers)
        named = all(_names(settings, option) == model.path for option in options)
        if named and _with_tuning(settings, promotion).model == settings.model:
            return Chosen(settings)
        given = [option for option in options if settings.is_given(option)]
        if given:
            return Chosen(settings, _describe_given(given[0], model))
        require_unchanged(catalog, model, mend="`detseg models rollback` goes back to the model before it")
        before = catalog.promotions.before()
    return Chosen(_with_promoted(settings, model, promotion), _describe(promotion, model, before))


def use_model(settings: Settings, path: str, answers: Answers) -> Settings:
    """The settings with a checkpoint in the place of the models that it replaces.

    A detector leaves the segmenter as it is, unless that is the sample's, which nobody chose, and which knows
    none of the detector's classes. What answers masks takes both places. Committees end: their other members
    belonged to the model before.
    """
    alone = {"model__committee": (), "model__committee_weights": ()}
    if answers != "boxes":
        return settings.updated(
            model__detector=path if answers == "both" else None, model__segmenter=path, **alone
        )
    segmenter = settings.model.segmenter
    if segmenter == SAMPLE and not settings.is_given("model__segmenter") and not _knows_samples(path):
        segmenter = None
    return settings.updated(model__detector=path, model__segmenter=segmenter, **alone)


def require_unchanged(catalog: Catalog, model: RegisteredModel, *, mend: str) -> None:
    """ModelError where the files of a model are gone, or are not those that were registered.

    They are read where their sizes or times are not those of the last look of this machine.
    """
    folder = Path(model.path)
    if not folder.exists():
        raise ModelError(
            f"the files of the model {model.name} are gone from {folder}: put them back, or {mend}"
        )
    name = f"checkpoint:{platform.node()}:{model.name}"
    seen = json.dumps([model.digest, file_stamps([folder])])
    if catalog.cursors.get(name) == seen:
        return
    if checkpoint_digest(folder) != model.digest:
        raise ModelError(
            f"the files of the model {model.name} in {folder} are not those that were registered: put them "
            f"back, or {mend}"
        )
    catalog.cursors.set(name, seen)


def _places(answers: Answers) -> tuple[str, ...]:
    return ("model__detector",) if answers == "boxes" else ("model__detector", "model__segmenter")


def _names(settings: Settings, option: str) -> str | None:
    name: str | None = getattr(settings.model, option.partition("__")[2])
    return str(settings.path(name)) if name and not is_reviews(name) else name


def _with_promoted(settings: Settings, model: RegisteredModel, promotion: Promotion) -> Settings:
    return _with_tuning(use_model(settings, model.path, model.answers), promotion)


def _with_tuning(settings: Settings, promotion: Promotion) -> Settings:
    """The settings with the thresholds and maps of scores of a promotion, but for those that are given."""
    thresholds = {
        "class_box_thresholds": promotion.box_thresholds,
        "class_mask_thresholds": promotion.mask_thresholds,
    }
    chosen = settings
    for option, found in thresholds.items():
        if not settings.is_given(f"model__{option}"):
            own: Mapping[str, float] = getattr(settings.model, option)
            chosen = chosen.updated(**{f"model__{option}": {**own, **_of_classes(settings, found)}})
    if settings.is_given("model__score_maps"):
        return chosen
    return chosen.updated(model__score_maps=_of_classes(settings, promotion.score_maps))


def _of_classes(settings: Settings, by_class: Mapping[str, Value]) -> dict[str, Value]:
    """What was chosen for classes that are still there, under their names of now."""
    taxonomy = settings.declared_taxonomy
    if taxonomy is None:
        return dict(by_class)
    found = ((taxonomy.find(label), value) for label, value in by_class.items())
    return {cls.name: value for cls, value in found if cls is not None}


def _knows_samples(path: str) -> bool:
    """Tell whether a checkpoint has a class in common with the segmenter that comes with the package."""
    return bool(_labels(Path(path)) & _labels(checkpoint_path("segmenter")))


def _labels(folder: Path) -> frozenset[str]:
    labels: Any = read_json(folder / "config.json").get("id2label", {})
    if not isinstance(labels, dict):
        raise FormatError(f"{folder / 'config.json'} has an id2label that is no object: train it anew")
    return frozenset(str(name).casefold() for name in labels.values())


def _describe(promotion: Promotion, model: RegisteredModel, before: Promotion | None) -> str:
    forced = ", by force" if promotion.kind == "forced" else ""
    back = before.model if before and before.model else "the models of the settings"
    return (
        f"predicting with {model.name}, the promoted model (since {promotion.at:%Y-%m-%d %H:%M} UTC"
        f"{forced}); `detseg models rollback` goes back to {back}"
    )


def _describe_given(option: str, model: RegisteredModel) -> str:
    variable = f"DETSEG_{option.upper()}"
    return f"{_FLAGS[option]} or {variable} is given, so the promoted model, {model.name}, is not used"
