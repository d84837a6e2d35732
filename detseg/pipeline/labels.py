"""The labels that may be taken out of a project. Every export goes through this door.

People's work is not all labels: decoys that they missed are wrong, gold images were there to measure
them, skipped images say nothing, and reviews of which a part could not be read say half of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from detseg.metrics.cases import age
from detseg.metrics.experiments import passed_decoys
from detseg.paging import pages
from detseg.types import Annotation, Arm, Decoy, ImageId

if TYPE_CHECKING:
    from detseg.catalog import Assignment, Catalog, Project, ReviewRecord
    from detseg.catalog.reviews import StoredReview
    from detseg.config.sections import QueueSettings


Absence = Literal["skipped", "unread", "gold", "below quorum", "disputed", "split"]
"""The reason why an image that has reviews has no label."""


@dataclass(frozen=True, slots=True)
class Label:
    """The label of one image: ``annotation`` is labeled or empty (checked: nothing there).

    It is by one of ``authors``, or the consensus of all of them, from ``reviews`` (annotation ids).
    ``n_disputed`` objects are in it neither as being there nor as missing. ``simulated``: a program was among
    the authors.
    """

    annotation: Annotation
    authors: tuple[str, ...]
    reviews: tuple[int, ...]
    arm: Arm
    n_disputed: int = 0
    simulated: bool = False

    @property
    def image(self) -> ImageId:
        return self.annotation.image


@dataclass(frozen=True, slots=True)
class LabelRules:
    """The rules by which labels are taken. ``consensus``: of all people who judged an image, where several
    are asked about each (``overlap``); otherwise the latest one's word counts, people's before what was
    imported. ``quorum`` as in ``find_consensus``.

    ``gold``: also gold images, as people labeled them. ``disputed``: also images on which people are divided,
    without the objects in dispute.
    """

    consensus: bool = False
    quorum: int | None = None
    gold: bool = False
    disputed: bool = False


def label_rules(queue: QueueSettings) -> LabelRules:
    """Return the rules that fit the queue: a consensus where its ``overlap`` asks several people."""
    return LabelRules(consensus=queue.overlap > 1)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """All that is known of an image that somebody reviewed. ``stored`` has a review of each person."""

    stored: tuple[StoredReview, ...]
    assignment: Assignment | None

    @property
    def image(self) -> ImageId:
        return self.stored[0].image

    def verbatim(self, rules: LabelRules) -> StoredReview | None:
        """The review whose word is the label as it stands; None where that has to be worked out."""
        plain = len(self.stored) == 1 and self.assignment is None and rules.quorum is None
        (first, *_) = self.stored
        return first if plain and first.state in ("labeled", "empty") and not first.unread else None

    def label(self, rules: LabelRules) -> Label | Absence:
        """The label of the image, or why it has none."""
        records = [one.record() for one in self.stored]
        return _label([record for record in records if not record.unread], self.assignment, rules)


def read_reviewed(catalog: Catalog, project: Project) -> Iterator[Reviewed]:
    """Yield all images of a project that have a review, sorted by image id."""
    stored = catalog.reviews.latest_stored(project.key)
    for page in pages(tuple(group) for _, group in groupby(stored, key=lambda one: one.image)):
        arms = catalog.arms.of_images(project.key, [group[0].image for group in page])
        for group in page:
            yield Reviewed(group, arms.get(group[0].image))


def read_labels(catalog: Catalog, project: Project, rules: LabelRules) -> Iterator[Label]:
    """Yield the labels of a project, one for each image that counts, sorted by image id.

    Left out are images that nobody judged (unlabeled, skipped, deleted), those with a label that was split
    since, and what ``rules`` does not want.
    """
    for reviewed in read_reviewed(catalog, project):
        label = reviewed.label(rules)
        if isinstance(label, Label):
            labels = (region.instance.label for region in label.annotation.regions)
            if not awaits_split(catalog, labels):
                yield label


def awaits_split(catalog: Catalog, labels: Iterable[str]) -> bool:
    """Tell whether any of an image's labels became several classes, so that people have to look again."""
    return not catalog.relabeling.split.keys().isdisjoint(labels)


def _label(
    records: Sequence[ReviewRecord], assignment: Assignment | None, rules: LabelRules
) -> Label | Absence:
    arm: Arm = assignment.arm if assignment else "assisted"
    judged = [record for record in records if record.annotation.state in ("labeled", "empty")]
    if not judged:
        return "skipped" if records else "unread"
    if arm == "gold" and not rules.gold:
        return "gold"
    if not rules.consensus:
        judged = [max(judged, key=lambda record: (not record.imported, age(record.annotation)))]
    decoys = assignment.decoys if assignment else ()
    from detseg.metrics.consensus import find_consensus  # and with it scipy.special

    found = find_consensus(
        [_without(decoys, record.annotation) for record in judged],
        quorum=rules.quorum if rules.consensus else None,
    )
    if found is None:
        return "below quorum"
    if found.disputed and not rules.disputed:
        return "disputed"
    return Label(
        found.annotation,
        authors=tuple(sorted(record.annotation.author for record in judged)),
        reviews=tuple(sorted(record.annotation_id for record in judged)),
        arm=arm,
        n_disputed=len(found.disputed),
        simulated=any(record.simulated for record in judged),
    )


def _without(decoys: Iterable[Decoy], review: Annotation) -> Annotation:
    """The review without the decoys that are still in it."""
    passed = {region.id for _, region in passed_decoys(tuple(decoys), review)}
    if not passed:
        return review
    regions = tuple(region for region in review.regions if region.id not in passed)
    return replace(review, regions=regions, state="labeled" if regions else "empty")
