"""How good the model is, by what it is compared with: people who did not see its regions, known truth, or
people who saw them.

Reviewers leave what is nearly right, so that a model agrees better with people who saw its regions than with
the truth. Its quality is taken from control images (arm "control": nothing was shown) or from gold ones; the
agreement with reviewers who saw the regions stands beside it, and the difference is how much the regions
anchored them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from detseg.metrics.anchoring import Anchoring, SameImages, difference_of
from detseg.metrics.cases import Case
from detseg.metrics.detection import DetectionQuality, DetectionTally
from detseg.metrics.intervals import MIN_UNITS, Estimate
from detseg.metrics.mask_tallies import (
    Panoptic,
    PanopticTally,
    ScenePainter,
    Segmentation,
    SegmentationTally,
)
from detseg.types import Annotation

Source = Literal["control", "gold", "assisted"]
"""``control``: reviews by people who saw nothing of the model's; ``gold``: known truth; ``assisted``: reviews
by people who saw its regions."""


@dataclass(frozen=True, slots=True)
class QualityBySource:
    """The model's figures against one source of truth."""

    source: Source
    n_images: int
    """images that the source says something of"""
    boxes: DetectionQuality
    masks: DetectionQuality
    segmentation: Segmentation
    panoptic: Panoptic


@dataclass(frozen=True, slots=True)
class ModelQuality:
    """The model's figures against each source, and how much reviewers were anchored.

    Images with decoys do not count: one that a person missed would be an object that the model missed.
    """

    control: QualityBySource
    gold: QualityBySource
    """against the known truth, not the reviews; images whose truth lacks masks count for boxes alone"""
    assisted: QualityBySource
    """agreement with reviewers who saw the model's regions (arms assisted and gold): no measure of quality"""
    headline: Source | None
    """the source of the figures of quality; None where nobody worked without the model"""
    anchoring: Anchoring | None
    """None without a headline, or without assisted reviews"""

    @property
    def by_source(self) -> Mapping[Source, QualityBySource]:
        """The figures against each source."""
        return {"control": self.control, "gold": self.gold, "assisted": self.assisted}

    @property
    def best(self) -> QualityBySource | None:
        """The figures of quality: those of the headline."""
        return None if self.headline is None else self.by_source[self.headline]

    @property
    def detailed(self) -> QualityBySource:
        """The figures to look at closely: the headline's from 10 images on, else those against assisted
        reviews, of which there are more."""
        best = self.best
        return best if best is not None and best.n_images >= MIN_UNITS else self.assisted


def choose_headline(n_control: int, n_gold: int) -> Source | None:
    """Choose the source of the model's figures, by how many images there are, never by what came out.

    Control images, unless there are fewer than 10 of them and more gold ones.

    >>> choose_headline(12, 400), choose_headline(3, 8), choose_headline(3, 3), choose_headline(0, 0)
    ('control', 'gold', 'control', None)
    """
    if n_control and (n_control >= MIN_UNITS or n_control >= n_gold):
        return "control"
    return "gold" if n_gold else None


class ModelTally:
    """Takes cases one by one, and compares the model with each source of truth. ``seed`` is that of
    resampling."""

    def __init__(self, *, seed: int = 0) -> None:
        self._control = _SourceTally("control", seed=seed)
        self._gold = _SourceTally("gold", seed=seed)
        self._assisted = _SourceTally("assisted", seed=seed)
        self._assisted_gold = _SourceTally("assisted", seed=seed)
        """of assisted reviews, those of gold images: for the difference on the same images"""
        self._same_images = SameImages(seed=seed)

    def add(self, case: Case) -> None:
        """One more case; those with decoys do not count."""
        if case.arm == "decoy":
            return
        if case.arm == "control":
            self._control.add(case)
            return
        self._assisted.add(case)
        if case.arm == "gold" and case.gold is not None and case.truth is not None:
            has_masks = _has_masks(case.gold)
            self._gold.add(replace(case, reviews=(case.gold,)), with_masks=has_masks)
            self._assisted_gold.add(case, with_masks=has_masks)
            self._same_images.add(case.prediction, alone=case.gold, assisted=case.truth, with_masks=has_masks)

    def result(self) -> ModelQuality:
        """The figures of all cases so far."""
        control, gold, assisted = (one.result() for one in (self._control, self._gold, self._assisted))
        headline = choose_headline(control.n_images, gold.n_images)
        anchoring = None
        if headline == "control" and assisted.n_images:
            anchoring = _anchoring(assisted, control)
        elif headline == "gold":
            anchoring = _anchoring(self._assisted_gold.result(), gold, same_images=self._same_images)
        return ModelQuality(control, gold, assisted, headline, anchoring)


class _SourceTally:
    """The figures against one source, of the cases that have it for their truth."""

    def __init__(self, source: Source, *, seed: int) -> None:
        self._source: Source = source
        self._boxes, self._masks = DetectionTally("bbox", seed=seed), DetectionTally("segm", seed=seed)
        self._scenes = self._new_scenes()
        self._n_stuff = Counter[str]()

    def add(self, case: Case, *, with_masks: bool = True) -> None:
        """One more case. Without masks, its truth says nothing about those of the model."""
        self._boxes.add(case)
        if not with_masks:
            return
        self._masks.add(case)
        for one in self._scenes:
            one.add(case)
        if case.truth is not None:
            self._n_stuff["truth"] += _count_stuff(case.truth)
            self._n_stuff["model"] += _count_stuff(case.prediction)

    def result(self) -> QualityBySource:
        if self._source == "gold" and self._n_stuff["model"] and not self._n_stuff["truth"]:
            self._scenes = self._new_scenes()  # a truth of things alone does not say where surfaces are
        boxes, (segmentation, panoptic) = self._boxes.result(), self._scenes
        return QualityBySource(
            source=self._source,
            n_images=boxes.n_images,
            boxes=boxes,
            masks=self._masks.result(),
            segmentation=segmentation.result(),
            panoptic=panoptic.result(),
        )

    def _new_scenes(self) -> tuple[SegmentationTally, PanopticTally]:
        painter = ScenePainter()  # paints each image once for both
        return SegmentationTally(painter), PanopticTally(painter)


def _anchoring(
    assisted: QualityBySource, alone: QualityBySource, *, same_images: SameImages | None = None
) -> Anchoring:
    """Compare two sources: of other images, unless they are the ``same_images``."""
    bounds = {} if same_images is None else same_images.bounds()

    def differ(name: str, first: Estimate, second: Estimate) -> Estimate:
        return difference_of(first, second, bounds=bounds.get(name))

    return Anchoring(
        same_images=same_images is not None,
        n_assisted=assisted.n_images,
        n_alone=alone.n_images,
        box_ap=differ("ap", assisted.boxes.ap, alone.boxes.ap),
        mask_ap=differ("mask_ap", assisted.masks.ap, alone.masks.ap),
        precision=differ("precision", assisted.boxes.precision, alone.boxes.precision),
        recall=differ("recall", assisted.boxes.recall, alone.boxes.recall),
        miou=differ("miou", assisted.segmentation.miou, alone.segmentation.miou),
        pq=differ("pq", assisted.panoptic.pq, alone.panoptic.pq),
    )


def _has_masks(annotation: Annotation) -> bool:
    return all(region.instance.mask is not None for region in annotation.regions)


def _count_stuff(annotation: Annotation) -> int:
    return sum(region.instance.kind == "stuff" for region in annotation.regions)
