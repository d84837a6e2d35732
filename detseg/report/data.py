"""What the page of QA shows: results that were measured elsewhere, and how to get at the images to look at.

The pipeline fills a ``QaReport`` from its ``QaResult``, field by field, and gives it to
``detseg.report.page.write_report``. A result that rests on nothing (no image with two people, no blind arm)
is shown as one line that says what to set to get it. ``examples`` come from an ``ExampleTally``, which sees
every case beside the metrics' tallies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from detseg.metrics.cases import Case
from detseg.report.examples import Example
from detseg.taxonomy import Taxonomy
from detseg.types import Arm, DecodedImage, ImageId, State

if TYPE_CHECKING:
    from detseg.metrics.agreement import Agreement
    from detseg.metrics.detection import DetectionQuality
    from detseg.metrics.experiments import Decoys, Golds
    from detseg.metrics.mask_tallies import Panoptic, Segmentation
    from detseg.metrics.suspects.findings import Suspects
    from detseg.metrics.work import Work


@dataclass(frozen=True, slots=True)
class Images:
    """The images behind the figures: nothing is read that is not shown."""

    cases: Callable[[tuple[ImageId, ...]], Mapping[ImageId, Case]]
    """the cases of a few images; one that is gone is left out"""
    read: Callable[[str], DecodedImage]
    """the upright image at a uri; raises ImageError"""


@dataclass(frozen=True, slots=True)
class QaReport:
    """Everything on the page.

    ``simulated`` says that a program made the reviews: the page then says so on top. ``notes`` are sentences
    about what was left out and why. ``boxes`` and ``masks`` are one measure at two kinds of overlap.
    """

    title: str
    created_at: datetime
    taxonomy: Taxonomy
    simulated: bool
    states: Mapping[State, int]
    """tasks by the state of their latest review"""
    arms: Mapping[Arm, int]
    """tasks by how they were put before people"""
    model_versions: Mapping[str, int]
    """cases by the model version that answered them"""
    boxes: DetectionQuality
    masks: DetectionQuality
    segmentation: Segmentation
    panoptic: Panoptic
    work: Work
    agreement: Agreement
    gold: Golds
    decoys: Decoys
    suspects: Suspects
    examples: tuple[Example, ...]
    images: Images
    notes: tuple[str, ...] = ()
    currency: str = "$"

    @property
    def n_reviewed(self) -> int:
        """Tasks that somebody judged."""
        return self.states.get("labeled", 0) + self.states.get("empty", 0)
