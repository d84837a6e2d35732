"""The promoted model in the place of those of the settings, for every run that pre-annotates.

A promotion goes over detseg.toml and its defaults: its model, and the thresholds and maps of scores that it
was promoted with. What a flag, a variable or a program names goes over the promotion, so ``detseg
preannotate --detector other`` means what it says. What a promotion says nothing of is that of the settings.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from detseg.errors import ModelError
from detseg.files import file_stamps
from detseg.models.reviewed import is_reviews
from detseg.pipeline.predictors import describe_unfit, fitting_segmenter
from detseg.pipeline.registry import checkpoint_digest
from detseg.pipeline.workspace import opened_catalog

if TYPE_CHECKING:
    from detseg.catalog import Answers, Catalog, Promotion, RegisteredModel
    from detseg.config import Settings
    from detseg.config.sections import ModelSettings
    from detseg.taxonomy import Taxonomy
    from detseg.types import ModelVersion

Value = TypeVar("Value")

_FLAGS = {"model__detector": "--detector or ", "model__segmenter": "--segmenter or "}
_MOST_NAMED = 3
"""As many classes are named in a line."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The settings of a run, with its models.

    ``notes`` are lines for people: which model is taken and why, and what of the settings gives way to it.
    ``promotion`` is the one that the run predicts by, None where it uses the models of the settings.
    ``as_of`` is the number of the last entry of the log when it was chosen, 0 for none: another entry may
    choose another model. It is None where a flag, a variable or a program names the models, whatever is
    promoted.
    """

    settings: Settings
    notes: tuple[str, ...] = ()
    promotion: Promotion | None = None
    as_of: int | None = 0


def choose_models(settings: Settings) -> Chosen:
    """The settings with the promoted model, if one is promoted and nothing beside the file names another.

    Reads no weights; a checkpoint whose files are as they were at the last look is not read at all. Raises
    ModelError where its files are gone, or are not those that were promoted.
    """
    chosen = _choose(settings)
    return replace(chosen, notes=(*chosen.notes, *describe_unfit(chosen.settings)))


def _choose(settings: Settings) -> Chosen:
    if settings.catalog is None and not settings.state_path.is_dir():
        return Chosen(settings)
    with opened_catalog(settings) as catalog:
        promotion, model = _present(catalog)
        as_of = promotion.number if promotion else 0
        if promotion is None or model is None:
            return Chosen(settings, as_of=as_of)
        options = _places(model.answers)
        named = all(_names(settings, option) == model.path for option in options)
        there = named and Path(model.path).exists()
        if there and _with_promoted(settings, model, promotion).model == settings.model:
            return Chosen(settings, promotion=promotion, as_of=as_of)
        if given := find_given(settings, model):
            return Chosen(settings, (_describe_given(given, model),), as_of=None)
        require_unchanged(catalog, model, mend="`detseg models rollback` goes back to the model before it")
        before = catalog.promotions.before()
    chosen = _with_promoted(settings, model, promotion)
    notes = (_describe(promotion, model, before), *_describe_overruled(settings.model, chosen.model, model))
    return Chosen(chosen, notes, promotion, as_of)


def _present(catalog: Catalog) -> tuple[Promotion | None, RegisteredModel | None]:
    """Return the present entry of the log, and its model if it has one that is registered."""
    promotion = catalog.promotions.present()
    model = catalog.models.get(promotion.model) if promotion and promotion.model else None
    return promotion, model


def thresholds_in_use(settings: Settings, catalog: Catalog, classes: Iterable[str]) -> dict[str, float]:
    """The lowest score of each class in the next predictions: of boxes, or of masks without a detector.

    Those of the promoted model go over those of the settings, and what is given over both.
    """
    promotion, model = _present(catalog)
    of_run = (_with_tuning(settings, promotion) if promotion and model else settings).model
    if model.answers != "masks" if model else of_run.detector:
        default, by_class = of_run.box_threshold, of_run.class_box_thresholds
    else:
        default, by_class = of_run.mask_threshold, of_run.class_mask_thresholds
    own = _of_classes(settings.declared_taxonomy, by_class)
    return {label: own.get(label, default) for label in classes}


def record_version(catalog: Catalog, promotion: Promotion, version: ModelVersion) -> None:
    """Record that this model version is what a promotion predicts with, for reviews to be known by."""
    name, number = _version_cursor(version), str(promotion.number)
    if catalog.cursors.get(name) != number:
        catalog.cursors.set(name, number)


def versions_of(catalog: Catalog, promotion: Promotion, versions: Iterable[str]) -> frozenset[str]:
    """Those of the versions that predict with the promoted model and the same maps of scores.

    Their scores mean the same, also where their thresholds differ.
    """
    log = {str(one.number): one for one in catalog.promotions.all()}
    found = set()
    for version in versions:
        of_version = log.get(catalog.cursors.get(_version_cursor(version)) or "")
        if of_version and (of_version.model, of_version.score_maps) == (
            promotion.model,
            promotion.score_maps,
        ):
            found.add(version)
    return frozenset(found)


def _version_cursor(version: str) -> str:
    return f"promoted:{hashlib.sha256(version.encode()).hexdigest()[:32]}"


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
    with_detector = settings.updated(model__detector=path, **alone)
    return with_detector.updated(model__segmenter=fitting_segmenter(with_detector))


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


_COMMITTEE = "model__committee"


def find_given(settings: Settings, model: RegisteredModel) -> str | None:
    """The option by which a flag, a variable or a program keeps a promoted model out: "model__detector"."""
    options = (*_places(model.answers), _COMMITTEE)
    return next((option for option in options if _is_given(settings, option)), None)


def _is_given(settings: Settings, option: str) -> bool:
    """Tell whether a flag, a variable or a program names models in the place of the promoted one."""
    return settings.is_given(option) and (option != _COMMITTEE or bool(settings.model.committee))


def _places(answers: Answers) -> tuple[str, ...]:
    return ("model__detector",) if answers == "boxes" else ("model__detector", "model__segmenter")


def _names(settings: Settings, option: str) -> str | None:
    name: str | None = getattr(settings.model, option.partition("__")[2])
    return str(settings.path(name)) if name and not is_reviews(name) else name


def _with_promoted(settings: Settings, model: RegisteredModel, promotion: Promotion) -> Settings:
    return _with_tuning(use_model(settings, model.path, model.answers), promotion)


def _with_tuning(settings: Settings, promotion: Promotion) -> Settings:
    """The settings with the thresholds and maps of scores of a promotion, but for those that are given."""
    chosen, taxonomy = settings, settings.declared_taxonomy
    for shape, found in (("box", promotion.box_thresholds), ("mask", promotion.mask_thresholds)):
        option = f"class_{shape}_thresholds"
        if not (settings.is_given(f"model__{option}") or settings.is_given(f"model__{shape}_threshold")):
            own: Mapping[str, float] = getattr(settings.model, option)
            chosen = chosen.updated(**{f"model__{option}": {**own, **_of_classes(taxonomy, found)}})
    if settings.is_given("model__score_maps"):
        return chosen
    return chosen.updated(model__score_maps=_of_classes(taxonomy, promotion.score_maps))


def _of_classes(taxonomy: Taxonomy | None, by_class: Mapping[str, Value]) -> dict[str, Value]:
    """What was chosen for classes that are still there, under their names of now."""
    if taxonomy is None:
        return dict(by_class)
    found = ((taxonomy.find(label), value) for label, value in by_class.items())
    return {cls.name: value for cls, value in found if cls is not None}


def describe_thresholds(promotion: Promotion) -> str:
    """The lowest scores that a promotion brings, for people: "bolt 0.25, nut 0.40"; "" for none."""
    return _listed({**promotion.mask_thresholds, **promotion.box_thresholds})


def _listed(by_class: Mapping[str, float]) -> str:
    named = [f"{label} {value:.2f}" for label, value in sorted(by_class.items())]
    more = len(named) - _MOST_NAMED
    return ", ".join(named[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def describe_committee(of_run: ModelSettings) -> str:
    """A line about the committee that a promoted model does without; "" where the settings have none."""
    if not of_run.committee:
        return ""
    others = ", ".join(of_run.committee)
    return (
        f"model.committee ({others}) has no say any more: a model is judged and promoted alone; "
        "DETSEG_MODEL__COMMITTEE names one all the same, in place of the promoted model"
    )


def _describe(promotion: Promotion, model: RegisteredModel, before: Promotion | None) -> str:
    forced = ", by force" if promotion.kind == "forced" else ""
    lowest = describe_thresholds(promotion)
    own = f"; its lowest scores: {lowest}" if lowest else ""
    back = before.model if before and before.model else "the models of the settings"
    return (
        f"predicting with {model.name}, the promoted model (since {promotion.at:%Y-%m-%d %H:%M} UTC"
        f"{forced}{own}); `detseg models rollback` goes back to {back}"
    )


def _describe_overruled(own: ModelSettings, used: ModelSettings, model: RegisteredModel) -> Iterator[str]:
    """Yield a line for each setting about models that gives way to the promotion."""
    if line := describe_committee(own):
        yield line
    for option in ("class_box_thresholds", "class_mask_thresholds"):
        lowest = getattr(used, option)
        differing = {label: one for label, one in getattr(own, option).items() if lowest[label] != one}
        if differing:
            yield (
                f"model.{option} of the settings ({_listed(differing)}) gives way to what {model.name} was "
                f"promoted with ({_listed({label: lowest[label] for label in differing})}): `detseg models "
                f"promote {model.name} --force` promotes it without, and DETSEG_MODEL__{option.upper()} goes "
                "over both"
            )
    if own.score_maps and own.score_maps != used.score_maps:
        yield (
            "model.score_maps of the settings gives way to that of the promotion: scores of one model say "
            "nothing of those of another; DETSEG_MODEL__SCORE_MAPS goes over both"
        )


def _describe_given(option: str, model: RegisteredModel) -> str:
    variable = f"DETSEG_{option.upper()}"
    return f"{_FLAGS.get(option, '')}{variable} is given, so the promoted model, {model.name}, is not used"
