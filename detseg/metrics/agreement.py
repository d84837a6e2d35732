"""Agreement of people on images that several saw: matched regions, overlap, Krippendorff's alpha."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from detseg.geometry.boxes import box_iou_matrix, boxes_to_array
from detseg.geometry.extent import extent
from detseg.geometry.matching import match_one_to_one
from detseg.metrics.cases import Case, age
from detseg.metrics.intervals import Estimate
from detseg.metrics.krippendorff import Alpha
from detseg.metrics.matched import MIN_IOU, Matched, MatchedRows, match_regions
from detseg.metrics.weeks import DatedShare, WeekShare, WeekTally
from detseg.types import Annotation

Boxes = Mapping[str, npt.NDArray[np.float64]]
"""A person's view of an image, as alpha compares it: boxes (n, 4) by label, in parts of its sides."""

_ALL = ""


@dataclass(frozen=True, slots=True)
class PairScore:
    """The agreement of two people on images that both judged; or of all pairs of people together.

    Regions of two people meet one to one by the largest sum of IoUs, those of one label from ``min_iou`` on.
    """

    n_images: int
    """images that both judged"""
    n_regions: int
    """regions of both, each side counted"""
    f1: Estimate
    """2 matched / n_regions, in [0, 1]: the share of regions that the other person has, too"""
    box_iou: Estimate
    """mean IoU of matched regions' boxes (tight ones of masks), in [0, 1]"""
    mask_iou: Estimate
    """mean IoU of matched regions' masks where both have one, in [0, 1]"""


@dataclass(frozen=True, slots=True)
class AgreementScore:
    """``pairs`` is over all pairs of people; ``alpha`` over all who judged an image."""

    pairs: PairScore
    alpha: Estimate
    """Krippendorff's alpha, at most 1 (all say the same), 0 by chance: see ``set_distances``"""


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two people, in alphabetical order."""

    first: str
    second: str
    score: PairScore


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement on the images that at least two people judged; ``per_class`` looks at regions of one label.

    People who start from the same regions agree more readily than people who start from nothing: ``per_arm``
    has the two apart. Images with decoys do not count. ``per_pair`` is sorted by names.
    """

    min_iou: float
    n_images: int
    """images that at least two people judged"""
    n_people: int
    all: AgreementScore
    per_class: Mapping[str, AgreementScore]
    per_pair: tuple[PairAgreement, ...]
    per_arm: Mapping[str, PairScore]
    weeks: tuple[WeekShare, ...]
    """F1 by the week in which the last of them judged the image"""


class AgreementTally:
    """Collects what people say of the images that several of them judged."""

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._alpha: Alpha[Boxes] = Alpha(set_distances)
        self._n_images = 0
        self._people: set[str] = set()
        self._weeks = WeekTally()
        self._by_class: defaultdict[str, MatchedRows] = defaultdict(MatchedRows)
        self._by_pair: defaultdict[tuple[str, str], MatchedRows] = defaultdict(MatchedRows)
        self._by_arm: defaultdict[str, MatchedRows] = defaultdict(MatchedRows)

    def add(self, case: Case) -> None:
        """One image; counts if two people or more judged it, and nothing was planted on it."""
        judged = [review for review in case.reviews if review.state in ("labeled", "empty")]
        judged.sort(key=lambda review: review.author)  # sums come out the same in any order of the reviews
        if len(judged) < 2 or case.arm == "decoy":
            return
        self._n_images += 1
        self._people.update(review.author for review in judged)
        self._alpha.add([_boxes(review) for review in judged])
        of_image: defaultdict[str, Matched] = defaultdict(Matched)
        for first, second in combinations(judged, 2):
            pair = Matched()
            for label, matched in match_regions(first, second).items():
                of_image[label].add(matched)
                pair.add(matched)
            of_image[_ALL].add(pair)
            self._by_pair[first.author, second.author].add(pair)
        every = of_image[_ALL]
        self._by_arm[case.arm].add(every)
        together = " + ".join(review.author for review in judged)
        latest = max(judged, key=age).updated_at
        self._weeks.add(DatedShare(latest, 2 * every.n_met, every.n_first + every.n_second, together))
        for label, matched in of_image.items():
            self._by_class[label].add(matched)

    def result(self) -> Agreement:
        """The agreement so far."""
        alphas = self._alpha.result([_ALL, *sorted(self._by_class)], seed=self._seed)
        scores = {
            label: AgreementScore(self._score(self._by_class.get(label, MatchedRows())), alpha)
            for label, alpha in alphas.items()
        }
        return Agreement(
            min_iou=MIN_IOU,
            n_images=self._n_images,
            n_people=len(self._people),
            all=scores.pop(_ALL),
            per_class=scores,
            per_pair=tuple(
                PairAgreement(first, second, self._score(rows))
                for (first, second), rows in sorted(self._by_pair.items())
            ),
            per_arm={arm: self._score(rows) for arm, rows in sorted(self._by_arm.items())},
            weeks=self._weeks.result(),
        )

    def _score(self, rows: MatchedRows) -> PairScore:
        return PairScore(
            n_images=len(rows),
            n_regions=int(rows.column("n_first").sum() + rows.column("n_second").sum()),
            f1=rows.share("n_met", "n_first", "n_second"),
            box_iou=rows.mean_iou("box_iou", "n_met"),
            mask_iou=rows.mean_iou("mask_iou", "n_masks"),
        )


def set_distances(a: Boxes, b: Boxes) -> dict[str, float]:
    """Measure how different two sets of boxes are, in [0, 1]: by label, and under "" for all labels together.

    1 - 2 S / (n + m) for n and m boxes, where S is the largest sum of IoUs that boxes of one label which meet
    one to one can have. It is 0 for equal sets (also for two empty ones, which are left out) and 1 for sets
    that do not touch; boxes that nearly agree count for what they share.
    """
    distances: dict[str, float] = {}
    n_all, shared_all = 0, 0.0
    for label in sorted(a.keys() | b.keys()):  # a set's order changes with every process, and the sum with it
        n = len(a.get(label, ())) + len(b.get(label, ()))
        shared = _shared(a[label], b[label]) if label in a and label in b else 0.0
        distances[label] = max(0.0, 1.0 - 2.0 * shared / n)
        n_all, shared_all = n_all + n, shared_all + shared
    if n_all:
        distances[_ALL] = max(0.0, 1.0 - 2.0 * shared_all / n_all)
    return distances


def _shared(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    iou = box_iou_matrix(a, b)
    return float(sum(iou[i, j] for i, j in match_one_to_one(iou, min_iou=0.0)))


def _boxes(review: Annotation) -> Boxes:
    """Parts of the image's sides, so that images of different sizes can be compared."""
    by_label: defaultdict[str, list[int]] = defaultdict(list)
    for i, region in enumerate(review.regions):
        by_label[region.instance.label].append(i)
    width, height = review.size.width, review.size.height
    boxes = boxes_to_array([extent(region.instance) for region in review.regions])
    boxes /= np.array([width, height, width, height])
    return {label: boxes[rows] for label, rows in by_label.items()}
