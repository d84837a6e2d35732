"""Refining after any predictor: thresholds per class, suppression of what is doubled, clean masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from detseg.errors import ModelError
from detseg.geometry.boxes import box_iou, boxes_to_array
from detseg.geometry.cleaning import CleaningOptions, clean_mask
from detseg.geometry.extent import extent
from detseg.geometry.masks import mask_to_box
from detseg.geometry.suppression import soft_suppress, suppress, suppress_masks
from detseg.models.predictor import AblePredictor, check_answer, ordered
from detseg.models.wrappers.wrapping import WrappingPredictor, ask
from detseg.taxonomy import Taxonomy
from detseg.types import DecodedImage, Instance


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """The steps of refining, in this order; what is not named is left as it is.

    ``box_thresholds`` and ``mask_thresholds`` are lowest scores by label: the first for what a detector saw,
    the second for what the segmenter alone saw. ``suppression`` compares things of one class or of all
    (``agnostic``), boxes and then masks, by ``suppression_iou``. The method ``hard`` drops what a better one
    overlaps by more; ``linear`` and ``gaussian`` lower the scores of boxes instead (``soft_suppress``, with
    ``suppression_sigma``) and drop what falls below ``suppression_min_score`` or its threshold. Masks are
    always suppressed hard, and stuff only within its class.
    """

    box_thresholds: Mapping[str, float] = field(default_factory=dict)
    mask_thresholds: Mapping[str, float] = field(default_factory=dict)
    suppression: Literal["none", "class", "agnostic"] = "none"
    suppression_method: Literal["hard", "linear", "gaussian"] = "hard"
    suppression_iou: float = 0.5
    suppression_sigma: float = 0.5
    suppression_min_score: float = 0.05
    cleaning: CleaningOptions = field(default_factory=CleaningOptions)

    def __post_init__(self) -> None:
        shares = {
            "suppression_iou": self.suppression_iou,
            "suppression_min_score": self.suppression_min_score,
            **{f"box_thresholds of {label!r}": value for label, value in self.box_thresholds.items()},
            **{f"mask_thresholds of {label!r}": value for label, value in self.mask_thresholds.items()},
        }
        for name, value in shares.items():
            if not 0.0 <= value <= 1.0:
                raise ModelError(f"{name} is in [0, 1], not {value}: set it to a value in between")
        if not self.suppression_sigma > 0.0:
            raise ModelError(f"suppression_sigma is above 0, not {self.suppression_sigma}: set it to 0.5")

    @property
    def changes_nothing(self) -> bool:
        """Tell whether an answer stays what it is."""
        asked = self.box_thresholds or self.mask_thresholds or self.suppression != "none"
        return not asked and self.cleaning.changes_nothing


class RefinedPredictor(WrappingPredictor):
    """A ``Predictor``: another one whose answers are refined."""

    def __init__(self, inner: AblePredictor, options: RefineOptions) -> None:
        """ConfigError for a threshold of a label that the taxonomy does not know."""
        self._options = replace(
            options,
            box_thresholds=_by_class(options.box_thresholds, inner.taxonomy),
            mask_thresholds=_by_class(options.mask_thresholds, inner.taxonomy),
        )
        super().__init__((inner,), kind="refined", options=asdict(self._options))

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        """See ``Predictor.predict``."""
        answers = ask(self._members[0], batch)
        return check_answer(self, batch, [refine(answer, self._options) for answer in answers])


def refine(instances: Sequence[Instance], options: RefineOptions) -> tuple[Instance, ...]:
    """The instances after all steps, sorted. Thresholds are by the labels as the instances have them."""
    left: Sequence[Instance] = [one for one in instances if _is_over_threshold(one, options)]
    if options.suppression != "none":
        left = _suppress_masks(_suppress_boxes(ordered(left), options), options)
        left = [one for one in left if _is_over_threshold(one, options)]
    return ordered([kept for one in left if (kept := clean_instance(one, options.cleaning)) is not None])


def clean_instance(instance: Instance, options: CleaningOptions) -> Instance | None:
    """The instance with a clean mask. Where nothing is left of the mask: with its box alone, if it has one.

    A box that is the mask's tight box follows the mask: it stays tight, and it does not outlive it. None
    if nothing is left.
    """
    if instance.mask is None or options.changes_nothing:
        return instance
    mask = clean_mask(instance.mask, options)
    box = instance.box
    if box is not None and box == mask_to_box(instance.mask):
        box = mask_to_box(mask)
    if mask.area > 0:
        return replace(instance, mask=mask, box=box)
    return replace(instance, mask=None, box=box) if box is not None else None


def _is_over_threshold(instance: Instance, options: RefineOptions) -> bool:
    by_segmenter = instance.seen_by == "segmenter"
    thresholds = options.mask_thresholds if by_segmenter else options.box_thresholds
    return (instance.score or 0.0) >= thresholds.get(instance.label, 0.0)


def _suppress_boxes(instances: Sequence[Instance], options: RefineOptions) -> list[Instance]:
    boxed = [one for one in instances if one.box is not None]
    boxes = boxes_to_array([one.box for one in boxed if one.box is not None])
    scores = np.array([one.score for one in boxed], dtype=np.float64)
    labels = None if options.suppression == "agnostic" else np.array([one.label for one in boxed])
    if options.suppression_method == "hard":
        kept = suppress(boxes, scores, labels, iou_threshold=options.suppression_iou)
        boxed = _hand_on_masks(boxed, kept, options)
    else:
        kept, scores[kept] = soft_suppress(
            boxes,
            scores,
            labels,
            method=options.suppression_method,
            iou_threshold=options.suppression_iou,
            sigma=options.suppression_sigma,
            min_score=options.suppression_min_score,
        )
    return [
        *(replace(boxed[i], score=float(scores[i])) for i in kept),
        *(one for one in instances if one.box is None),
    ]


def _hand_on_masks(
    boxed: Sequence[Instance], kept: npt.NDArray[np.int64], options: RefineOptions
) -> list[Instance]:
    """The masks of boxes that go, given to those of their label that they overlap most and that have none.

    Of two boxes on one thing, the segmenter's mask may have met the one with the lower score.
    """
    left, staying = list(boxed), kept.tolist()
    for one in (boxed[i] for i in sorted(set(range(len(boxed))) - set(staying))):
        if one.mask is None:
            continue
        heirs = [(box_iou(extent(one), extent(left[k])), k) for k in staying if left[k].label == one.label]
        iou, k = max(heirs, key=lambda heir: heir[0], default=(0.0, -1))
        if iou > options.suppression_iou and left[k].mask is None:
            left[k] = replace(left[k], mask=one.mask, seen_by="both")
    return left


def _suppress_masks(instances: Sequence[Instance], options: RefineOptions) -> list[Instance]:
    masked = [one for one in instances if one.mask is not None]
    agnostic = options.suppression == "agnostic"
    kept = suppress_masks(
        [one.mask for one in masked if one.mask is not None],
        np.array([one.score for one in masked], dtype=np.float64),
        np.array(["" if agnostic and one.kind == "thing" else one.label for one in masked]),
        iou_threshold=options.suppression_iou,
    )
    return [*(masked[i] for i in kept), *(one for one in instances if one.mask is None)]


def _by_class(thresholds: Mapping[str, float], taxonomy: Taxonomy) -> dict[str, float]:
    """The thresholds under the names that instances have; a name may be an alias."""
    return {taxonomy[label].name: float(value) for label, value in thresholds.items()}
