"""The predictor that the settings name: loaded once per process, shared by its threads."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from detseg.config import Settings
from detseg.errors import ModelError
from detseg.samples.checkpoints import Role, checkpoint_path
from detseg.types import ModelVersion

if TYPE_CHECKING:
    from detseg.models.around.arrangement import Arrangement
    from detseg.models.predictor import Predictor, PredictorOptions

SAMPLE = "sample"
"""The name that stands for a checkpoint that comes with the package."""

_WHERE_ELSE = {
    "root",
    "source",
    "project",
    "predictions",
    "restore",
    "blind_share",
    "decoy_share",
    "gold",
    "gold_share",
    "overlap",
    "experiment_seed",
    "catalog",
    "state_dir",
    "shard_size",
    "max_quarantined_share",
    "max_image_bytes",
    "allow_private_addresses",
    "serve_images",
    "image_url_prefix",
    "storage_credentials",
}
"""Settings that no predictor depends on (with all of ``label_studio_*``)."""

_loading = threading.Lock()


def load(
    settings: Settings, *, n_images: int | None = None, version: ModelVersion | None = None
) -> Predictor:
    """The predictor of these settings; ``n_images`` are to come, if that is known.

    Raises ModelError when a checkpoint cannot be used, or does not come to be the ``version`` that is asked
    for: other hardware computes otherwise where the settings leave the choice to it.
    """
    with _loading:  # two threads at once would load the weights twice
        predictor = _load(chosen(settings))
    if n_images is not None and hasattr(predictor, "expect"):
        predictor.expect(n_images)
    if version is not None and predictor.version != version:
        raise ModelError(
            f"this machine makes {predictor.version} of the models, the run was begun with {version}: its "
            "files or its hardware differ; give all workers the same files, device and precision"
        )
    return predictor


def chosen(settings: Settings) -> str:
    """The settings that a predictor depends on, as JSON, wherever they are read."""
    elsewhere = {name for name in Settings.model_fields if name.startswith("label_studio_")} | _WHERE_ELSE
    return _located(settings).model_dump_json(exclude=elsewhere)


def _located(settings: Settings) -> Settings:
    """The settings with the folders of models as absolute paths: relative ones start where all others do."""

    def located(name: str | None) -> str | None:
        if not name or name == SAMPLE:
            return name
        folder = settings.path(name)
        return str(folder) if folder.is_dir() else name

    return settings.model_copy(
        update={
            "detector": located(settings.detector),
            "segmenter": located(settings.segmenter),
            "committee": tuple(located(name) for name in settings.committee),
        }
    )


def checkpoint_folders(settings: Settings) -> tuple[Path, ...] | None:
    """The folders of all checkpoints of the settings; None where one is no folder of this machine."""
    settings = _located(settings)
    named: list[tuple[str | None, Role]] = [
        (settings.detector, "detector"),
        (settings.segmenter, "segmenter"),
        *((name, "detector") for name in settings.committee),
    ]
    folders = tuple(Path(_resolve(name, role) or "") for name, role in named if name)
    return folders if all(folder.is_dir() for folder in folders) else None


@lru_cache(maxsize=2)
def _load(chosen: str) -> Predictor:
    from detseg.models.around.arrangement import arrange, inner_options
    from detseg.models.loading import load_predictor

    settings = Settings.model_validate_json(chosen)
    arrangement, options = _arrangement(settings), _options(settings)
    inner = inner_options(options, votes=arrangement.votes or bool(settings.committee))
    members: list[Predictor] = [
        load_predictor(
            _resolve(settings.detector, "detector"),
            _resolve(settings.segmenter, "segmenter"),
            options=inner,
            taxonomy=settings.taxonomy,
        )
    ]
    for name in settings.committee:
        taxonomy = members[0].taxonomy
        members.append(load_predictor(_resolve(name, "detector"), None, options=inner, taxonomy=taxonomy))
    return arrange(members, arrangement, options)


def _options(settings: Settings) -> PredictorOptions:
    from detseg.models.predictor import PredictorOptions

    return PredictorOptions(
        device=settings.device,
        engine=settings.engine,
        precision=settings.precision,
        batch_size=settings.batch_size,
        box_threshold=settings.box_threshold,
        mask_threshold=settings.mask_threshold,
        match_iou=settings.match_iou,
        strict=settings.strict,
        class_box_thresholds=settings.class_box_thresholds,
        class_mask_thresholds=settings.class_mask_thresholds,
    )


def _arrangement(settings: Settings) -> Arrangement:
    from detseg.geometry.cleaning import CleaningOptions
    from detseg.models.around.arrangement import Arrangement
    from detseg.models.around.refined import RefineOptions

    return Arrangement(
        tile_px=settings.tile_px,
        tile_overlap_px=settings.tile_overlap_px,
        flip=settings.augment_flip,
        scales=settings.augment_scales,
        weights=settings.committee_weights,
        fusion_iou=settings.fusion_iou,
        refine=RefineOptions(
            box_thresholds=settings.class_box_thresholds,
            mask_thresholds=settings.class_mask_thresholds,
            suppression=settings.suppression,
            suppression_method=settings.suppression_method,
            suppression_iou=settings.suppression_iou,
            cleaning=CleaningOptions(
                opening_px=settings.clean_opening_px,
                closing_px=settings.clean_closing_px,
                min_hole_px=settings.clean_min_hole_px,
                min_speck_px=settings.clean_min_speck_px,
                min_area_px=settings.clean_min_area_px,
                keep_thin=settings.clean_keep_thin,
            ),
        ),
    )


def _resolve(name: str | None, role: Role) -> str | None:
    return str(checkpoint_path(role)) if name == SAMPLE else name
