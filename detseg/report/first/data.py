"""What a report shows: results that were measured elsewhere, and the images to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from detseg.taxonomy import Taxonomy
from detseg.types import Annotation, DecodedImage, Edit, ModelVersion, State

if TYPE_CHECKING:
    from detseg.metrics.detection import Confusion, DetectionScore, PrecisionRecall
    from detseg.metrics.edits import EditSummary
    from detseg.metrics.panoptic import PanopticQuality
    from detseg.metrics.segmentation import MaskScore


@dataclass(frozen=True, slots=True)
class GalleryItem:
    """One reviewed image. ``load`` is called only if the image is shown, and may raise ImageError.

    ``name`` is what people know the image by (its file name); ``task_url`` opens it in Label Studio.
    """

    name: str
    load: Callable[[], DecodedImage]
    prediction: Annotation
    review: Annotation
    edits: tuple[Edit, ...]
    task_url: str | None = None


@dataclass(frozen=True, slots=True)
class QaReport:
    """Everything on the page. ``box``, ``confusion`` and ``curves`` are of boxes (``iou_type="bbox"``).

    ``states`` counts the reviews by their state; ``lead_times_s`` has one entry per image whose time is
    known. ``simulated`` says that a program made the reviews: the page then says so on top.
    """

    title: str
    created_at: datetime
    taxonomy: Taxonomy
    simulated: bool
    states: Mapping[State, int]
    edits: EditSummary
    edits_per_version: Mapping[ModelVersion, EditSummary]
    box: DetectionScore
    mask: MaskScore
    panoptic: PanopticQuality
    confusion: Confusion
    curves: Mapping[str, PrecisionRecall]
    lead_times_s: tuple[float, ...]
    gallery: tuple[GalleryItem, ...]
