"""The predictor that the settings name: loaded once per process, shared by its threads."""

from __future__ import annotations

import re
import threading
from collections.abc import Set
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detseg.config.classes import ClassSettings, TaxonomySettings
from detseg.config.sections import EngineSettings, ModelSettings, Section
from detseg.config.settings import Settings, to_taxonomy
from detseg.errors import FormatError, ModelError
from detseg.files import file_stamps, read_json
from detseg.models.onnx_files import is_onnx
from detseg.models.plugins import is_plugin, load_plugin
from detseg.models.recorded import PREFIX, is_recorded, load_recorded, recorded_files
from detseg.models.reviewed import REVIEWS, ReviewedBoxes, is_reviews
from detseg.models.score_maps import ScoreMap
from detseg.samples.checkpoints import Role, checkpoint_path
from detseg.types import ModelVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detseg.models.predictor import AblePredictor, PredictorOptions
    from detseg.models.wrappers.ensemble import EnsembleOptions
    from detseg.taxonomy import Taxonomy

SAMPLE = "sample"
"""The name that stands for a checkpoint that comes with the package."""

_MOST_LABELS = 6
"""As many labels of a model are named in a line."""

_NO_NAME = re.compile(r"label_\d+")
"""transformers' names for what nobody named, as in models that look for what they are told to."""

_loading = threading.Lock()


def load(
    settings: PredictorSettings,
    *,
    n_images: int | None = None,
    version: ModelVersion | None = None,
    reviewed: ReviewedBoxes | None = None,
) -> AblePredictor:
    """Return the predictor of these settings, loaded once in a process and shared by its threads.

    It is loaded again where a file of its models has changed.

    Its ``predict(batch)`` takes decoded images and returns one tuple of instances for each, by descending
    score. ``n_images`` are to come, if that is known: from some hundred on, it is compiled. ``reviewed`` are
    the boxes of people where the settings name ``reviews``. Raises ModelError when a checkpoint cannot be
    used, or does not come to be the ``version`` that is asked for: other hardware computes otherwise where
    the settings leave the choice to it.
    """
    with _loading:  # two threads at once would load the weights twice
        stamps = file_stamps(file for name in named_models(settings) for file in model_files(name))
        predictor = _load(settings.model_dump_json(), reviewed, tuple(stamps))
    if n_images is not None:
        predictor.expect(n_images)
    if version is not None and predictor.version != version:
        if reviewed is not None:
            raise ModelError(
                f"people's reviews have changed: they make {predictor.version} now, the run was begun with "
                f"{version}: run it again"
            )
        raise ModelError(
            f"this machine makes {predictor.version} of the models, the run was begun with {version}: its "
            "files or its hardware differ; give all workers the same files, device and precision"
        )
    return predictor


class PredictorSettings(Section):
    """All that a predictor depends on. Paths of models are absolute, wherever they were read."""

    model: ModelSettings
    engine: EngineSettings
    classes: tuple[ClassSettings, ...] = ()
    taxonomy: TaxonomySettings = TaxonomySettings()


def predictor_settings(settings: Settings) -> PredictorSettings:
    """Return what a predictor depends on, out of all settings. Paths of models become absolute."""

    def located(name: str | None) -> str | None:
        if not name or name == SAMPLE or is_reviews(name):
            return name
        if is_recorded(name):
            return PREFIX + "@".join(str(settings.path(path)) for path in recorded_files(name))
        there = settings.path(name)
        return str(there) if there.is_dir() or is_onnx(there) else name

    model = settings.model
    names = {
        "detector": located(model.detector),
        "segmenter": located(fitting_segmenter(settings)),
        "committee": tuple(located(name) for name in model.committee),
    }
    return PredictorSettings(
        model=model.model_copy(update=names),
        engine=settings.engine,
        classes=settings.classes,
        taxonomy=settings.taxonomy,
    )


def fitting_segmenter(settings: Settings) -> str | None:
    """The segmenter of the settings; None for the sample's where the detector has nothing in common with it.

    That is a file of predictions, or a checkpoint in a folder that knows none of its classes. What a flag, a
    variable or a program names stays. FormatError for a folder whose config.json cannot be
    read.
    """
    model = settings.model
    if model.segmenter != SAMPLE:
        return model.segmenter
    if is_recorded(model.detector):
        return None
    if not model.detector or model.detector == SAMPLE or settings.is_given("model__segmenter"):
        return SAMPLE
    labels = _labels(settings.path(model.detector))
    return SAMPLE if not labels or labels & _labels(checkpoint_path("segmenter")) else None


def describe_unfit(settings: Settings) -> tuple[str, ...]:
    """Say in a line each that the segmenter that comes with detseg is left out, and that no class is known.

    Raises as ``fitting_segmenter``.
    """
    detector, strange = settings.model.detector, describe_strange(settings)
    lines = () if strange is None else (strange,)
    if is_recorded(detector) or fitting_segmenter(settings) == settings.model.segmenter:
        return lines
    return (
        f"{detector} has no class in common with the segmenter that comes with detseg, which is left out: it "
        "answers boxes alone, unless --segmenter names another one",
        *lines,
    )


def describe_strange(settings: Settings) -> str | None:
    """Say that the models know none of the project's classes; None where they do, or where nobody can tell.

    Nobody can for what is no checkpoint in a folder with labels of its own. Raises as ``fitting_segmenter``.
    """
    taxonomy = to_taxonomy(settings.classes, settings.taxonomy)
    chosen: list[tuple[str | None, Role]] = [
        (settings.model.detector, "detector"),
        (fitting_segmenter(settings), "segmenter"),
        *((name, "detector") for name in settings.model.committee),
    ]
    named = {str(_resolve(name, role)): name for name, role in chosen if name}
    known = [_labels(settings.path(place)) for place in named]
    labels = sorted(frozenset().union(*known))
    if taxonomy is None or not all(known) or any(label in taxonomy for label in labels):
        return None
    shown = ", ".join(labels[:_MOST_LABELS]) + (", ..." if len(labels) > _MOST_LABELS else "")
    models = " and ".join(dict.fromkeys(named.values()))
    return (
        f"none of [[classes]] is known to {models} (labels: {shown}), so nothing will be predicted: name "
        "another model, or add its labels as aliases"
    )


def _labels(folder: Path) -> Set[str]:
    """The classes that a checkpoint in a folder lists; none for what is no such folder."""
    config = folder / "config.json"
    labels: Any = read_json(config).get("id2label", {}) if config.is_file() else {}
    if not isinstance(labels, dict):
        raise FormatError(f"{config} has an id2label that is no object: train it anew")
    names = (str(name).casefold() for name in labels.values())
    return frozenset(name for name in names if not _NO_NAME.fullmatch(name))


def named_models(settings: PredictorSettings) -> tuple[str, ...]:
    """All models of the settings: absolute folders, ``plugin:NAME`` and names of the hub."""
    model = settings.model
    named: list[tuple[str | None, Role]] = [
        (model.detector, "detector"),
        (model.segmenter, "segmenter"),
        *((name, "detector") for name in model.committee),
    ]
    return tuple(_resolve(name, role) or "" for name, role in named if name)


def model_files(name: str) -> tuple[Path, ...]:
    """Return the files and folders that a model is read from; none for a hub's, a plug-in or reviews."""
    if is_recorded(name):
        return recorded_files(name)
    path = Path(name)
    return (path,) if path.is_dir() or is_onnx(path) else ()


@lru_cache(maxsize=2)
def _load(
    chosen_json: str,
    reviewed: ReviewedBoxes | None,
    stamps: tuple[Any, ...],  # noqa: ARG001  (another predictor after a change of its files)
) -> AblePredictor:
    from detseg.models.wrappers.ensemble import CalibratedPredictor, build_ensemble, inner_options

    settings = PredictorSettings.model_validate_json(chosen_json)
    maps = {label: ScoreMap(*numbers) for label, numbers in settings.model.score_maps.items()}
    model = _with_own_scores(settings.model, maps)
    ensemble, options = _ensemble(model), _options(model, settings.engine)
    inner = inner_options(options, votes=ensemble.votes or bool(model.committee))
    detector, segmenter = _resolve(model.detector, "detector"), _resolve(model.segmenter, "segmenter")
    if any(map(is_reviews, (detector, segmenter, *model.committee))):
        return _load_reviews(settings, segmenter, options, reviewed)
    members = [_load_member(detector, segmenter, inner, to_taxonomy(settings.classes, settings.taxonomy))]
    for name in model.committee:
        members.append(_load_member(_resolve(name, "detector"), None, inner, members[0].taxonomy))
    predictor = build_ensemble(members, ensemble, options)
    return CalibratedPredictor(predictor, maps) if maps else predictor


def _with_own_scores(model: ModelSettings, maps: Mapping[str, ScoreMap]) -> ModelSettings:
    """The settings with the thresholds of classes that have a map in the scale of the model's own scores."""

    def own(default: float, by_class: Mapping[str, float]) -> dict[str, float]:
        mapped = {label: one.score(by_class.get(label, default)) for label, one in maps.items()}
        return {**by_class, **mapped}

    boxes = own(model.box_threshold, model.class_box_thresholds)
    masks = own(model.mask_threshold, model.class_mask_thresholds)
    return model.model_copy(update={"class_box_thresholds": boxes, "class_mask_thresholds": masks})


def _load_reviews(
    settings: PredictorSettings,
    segmenter: str | None,
    options: PredictorOptions,
    reviewed: ReviewedBoxes | None,
) -> AblePredictor:
    """The boxes of people, with masks. Nothing is fused, suppressed or cleaned: they stay as drawn."""
    model = settings.model
    if not is_reviews(model.detector) or is_reviews(segmenter) or model.committee:
        raise ModelError(f"{REVIEWS} is a detector, and alone one: leave model.committee empty")
    if reviewed is None:
        raise ModelError(
            f"{REVIEWS} are boxes in the catalog of a project, and only `detseg preannotate` has one: name "
            "another detector"
        )
    from detseg.models.loading import load_predictor

    taxonomy = to_taxonomy(settings.classes, settings.taxonomy)
    return load_predictor(model.detector, segmenter, options=options, taxonomy=taxonomy, reviewed=reviewed)


def _load_member(
    detector: str | None, segmenter: str | None, options: PredictorOptions, taxonomy: Taxonomy | None
) -> AblePredictor:
    if is_recorded(detector) or is_recorded(segmenter):
        return _load_recorded(detector, segmenter, options, taxonomy)
    if is_plugin(detector) or is_plugin(segmenter):
        return load_plugin(detector, segmenter, options=options, taxonomy=taxonomy)
    from detseg.models.loading import load_predictor  # and with it torch, which a plug-in may do without

    return load_predictor(detector, segmenter, options=options, taxonomy=taxonomy)


def _load_recorded(
    detector: str | None, segmenter: str | None, options: PredictorOptions, taxonomy: Taxonomy | None
) -> AblePredictor:
    if detector and segmenter and detector != segmenter:
        raise ModelError(
            f"{detector} and {segmenter} cannot be joined, for a file of predictions answers alone: set the "
            "other to ''"
        )
    from detseg.labelstudio.exported import has_tasks, read_predicted

    return load_recorded(
        detector or segmenter or "",
        options=options,
        taxonomy=taxonomy,
        read_others=lambda path, data: read_predicted(path, data) if has_tasks(data) else None,
    )


def _options(model: ModelSettings, engine: EngineSettings) -> PredictorOptions:
    from detseg.models.predictor import PredictorOptions

    return PredictorOptions(
        device=engine.device,
        engine=engine.mode,
        precision=engine.precision,
        batch_size=engine.batch_size,
        box_threshold=model.box_threshold,
        mask_threshold=model.mask_threshold,
        match_iou=model.match_iou,
        strict=model.strict,
        class_box_thresholds=model.class_box_thresholds,
        class_mask_thresholds=model.class_mask_thresholds,
    )


def _ensemble(model: ModelSettings) -> EnsembleOptions:
    from detseg.geometry.cleaning import CleaningOptions
    from detseg.models.wrappers.ensemble import EnsembleOptions
    from detseg.models.wrappers.refined import RefineOptions

    return EnsembleOptions(
        tile_px=model.tile_px,
        tile_overlap_px=model.tile_overlap_px,
        flip=model.augment_flip,
        scales=model.augment_scales,
        weights=model.committee_weights,
        fusion_iou=model.fusion_iou,
        refine=RefineOptions(
            box_thresholds=model.class_box_thresholds,
            mask_thresholds=model.class_mask_thresholds,
            suppression=model.suppression,
            suppression_method=model.suppression_method,
            suppression_iou=model.suppression_iou,
            cleaning=CleaningOptions(
                opening_px=model.clean_opening_px,
                closing_px=model.clean_closing_px,
                min_hole_px=model.clean_min_hole_px,
                min_speck_px=model.clean_min_speck_px,
                min_area_px=model.clean_min_area_px,
                keep_thin=model.clean_keep_thin,
            ),
        ),
    )


def _resolve(name: str | None, role: Role) -> str | None:
    return str(checkpoint_path(role)) if name == SAMPLE else name
