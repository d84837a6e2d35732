"""The predictor that the settings name: loaded once per process, shared by its threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from detseg.samples.checkpoints import Role, checkpoint_path
from detseg.taxonomy import Taxonomy

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.models.predictor import Predictor, PredictorOptions

SAMPLE = "sample"
"""The name that stands for a checkpoint that comes with the package."""

_loading = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Request:
    detector: str | None
    segmenter: str | None
    options: PredictorOptions
    taxonomy: Taxonomy | None


def load(settings: Settings) -> Predictor:
    """The predictor of these settings. Raises ModelError when a checkpoint cannot be used."""
    from detseg.models.predictor import PredictorOptions

    options = PredictorOptions(
        device=settings.device,
        batch_size=settings.batch_size,
        box_threshold=settings.box_threshold,
        mask_threshold=settings.mask_threshold,
        match_iou=settings.match_iou,
        strict=settings.strict,
    )
    request = _Request(
        _resolve(settings.detector, "detector"),
        _resolve(settings.segmenter, "segmenter"),
        options,
        settings.taxonomy,
    )
    with _loading:  # two threads at once would load the weights twice
        return _load(request)


@lru_cache(maxsize=2)
def _load(request: _Request) -> Predictor:
    from detseg.models.loading import load_predictor

    return load_predictor(
        request.detector, request.segmenter, options=request.options, taxonomy=request.taxonomy
    )


def _resolve(name: str | None, role: Role) -> str | None:
    return str(checkpoint_path(role)) if name == SAMPLE else name
