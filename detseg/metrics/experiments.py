"""Experiments on people's work: planted mistakes that they missed, and their labels of images of known
truth."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from detseg.geometry.extent import instance_iou_matrix
from detseg.metrics.cases import Case
from detseg.metrics.intervals import Estimate, wilson_by_image
from detseg.metrics.matched import MIN_IOU, Matched, MatchedRows, match_regions
from detseg.metrics.weeks import DatedShare, WeekShare, WeekTally
from detseg.types import DECOY_KINDS, Annotation, Decoy, DecoyKind, Instance, Region

STILL_THERE_IOU = 0.5
"""A decoy that was moved less than this is where it was planted; a shifted one's right place is farther."""

_COPY_IOU = 0.99


@dataclass(frozen=True, slots=True)
class DecoyScore:
    """A decoy that a person judged is one trial."""

    n_shown: int
    """decoys on images that were judged"""
    n_missed: int
    """of these, still there: the same label, IoU from 0.5 on with the place where they were planted"""
    missed: Estimate
    """n_missed / n_shown, in [0, 1]; Wilson's interval, by image"""


@dataclass(frozen=True, slots=True)
class Decoys:
    """The rate at which planted mistakes were missed. ``per_kind``: label, shift, nothing."""

    all: DecoyScore
    per_kind: Mapping[str, DecoyScore]
    per_annotator: Mapping[str, DecoyScore]


@dataclass(frozen=True, slots=True)
class GoldScore:
    """People's regions against the known truth, met one to one within a label from ``min_iou`` on."""

    n_images: int
    """images that somebody judged"""
    n_reviews: int
    """their judgements: two people who judged one image are two"""
    tp: int
    """regions that are in the truth"""
    fp: int
    """regions that are not"""
    fn: int
    """the truth's regions that the person lacks"""
    precision: Estimate
    """tp / (tp + fp), in [0, 1]"""
    recall: Estimate
    """tp / (tp + fn), in [0, 1]"""
    f1: Estimate
    """2 tp / (2 tp + fp + fn), in [0, 1]"""
    box_iou: Estimate
    """mean IoU of the boxes of true positives with the truth's, in [0, 1]"""
    mask_iou: Estimate
    """mean IoU of their masks, where both have one, in [0, 1]"""


@dataclass(frozen=True, slots=True)
class Golds:
    """The quality of people's labels on images whose truth is known."""

    min_iou: float
    all: GoldScore
    per_annotator: Mapping[str, GoldScore]
    per_class: Mapping[str, GoldScore]
    weeks: tuple[WeekShare, ...]
    """F1 by week of the review"""


class DecoyTally:
    """Collects what became of the decoys on images that people judged."""

    def __init__(self) -> None:
        self._all = _Trials()
        self._per_kind = {kind: _Trials() for kind in DECOY_KINDS}
        self._per_annotator: defaultdict[str, _Trials] = defaultdict(_Trials)

    def add(self, case: Case) -> None:
        """One image; counts in the arm "decoy"."""
        judged = _judged(case) if case.arm == "decoy" and case.decoys else []
        if not judged:
            return
        passed = {review.author: _kinds_passed(case.decoys, review) for review in judged}
        self._all.add(sum(map(len, passed.values())), len(judged) * len(case.decoys))
        for author, kinds in passed.items():
            self._per_annotator[author].add(len(kinds), len(case.decoys))
        for kind, trials in self._per_kind.items():
            n_shown = len(judged) * sum(decoy.kind == kind for decoy in case.decoys)
            if n_shown:
                trials.add(sum(kinds.count(kind) for kinds in passed.values()), n_shown)

    def result(self) -> Decoys:
        """The decoys so far; kinds that were never planted are left out."""
        return Decoys(
            all=self._all.score(),
            per_kind={kind: trials.score() for kind, trials in self._per_kind.items() if trials},
            per_annotator={name: self._per_annotator[name].score() for name in sorted(self._per_annotator)},
        )


class _Trials:
    """By image: how many decoys passed, of how many."""

    def __init__(self) -> None:
        self._passed, self._shown = array("q"), array("q")

    def __len__(self) -> int:
        return len(self._shown)

    def add(self, n_passed: int, n_shown: int) -> None:
        self._passed.append(n_passed)
        self._shown.append(n_shown)

    def score(self) -> DecoyScore:
        return DecoyScore(sum(self._shown), sum(self._passed), wilson_by_image(self._passed, self._shown))


def passed_decoys(decoys: Sequence[Decoy], review: Annotation) -> tuple[tuple[Decoy, Region], ...]:
    """The decoys that are still in a review, and what they are there.

    A decoy is still there while its label is the same and it is about where it was planted: whoever nudges it
    has not found it out. A copy that somebody made of it counts as well.
    """
    found: list[tuple[Decoy, Region]] = []
    for decoy in decoys:
        for region in review.regions:
            is_it = region.id == decoy.region.id
            least = STILL_THERE_IOU if is_it else _COPY_IOU
            if (is_it or region.origin == "person") and _still_there(decoy, region.instance) >= least:
                found.append((decoy, region))
    return tuple(found)


def _still_there(decoy: Decoy, now: Instance) -> float:
    """IoU with the planted region, in [0, 1]; 0 with another label."""
    planted = decoy.region.instance
    return float(instance_iou_matrix([planted], [now])[0, 0]) if planted.label == now.label else 0.0


def _kinds_passed(decoys: Sequence[Decoy], review: Annotation) -> list[DecoyKind]:
    passed = {decoy.region.id: decoy.kind for decoy, _ in passed_decoys(decoys, review)}
    return list(passed.values())


class GoldTally:
    """Collects people's work on images whose truth is known."""

    def __init__(self) -> None:
        self._all = _Judgements()
        self._weeks = WeekTally()
        self._per_annotator: defaultdict[str, _Judgements] = defaultdict(_Judgements)
        self._per_class: defaultdict[str, _Judgements] = defaultdict(_Judgements)

    def add(self, case: Case) -> None:
        """One image; counts in the arm "gold"."""
        judged = sorted(_judged(case), key=lambda review: review.author)
        if case.arm != "gold" or case.gold is None or not judged:
            return
        by_label: defaultdict[str, list[Matched]] = defaultdict(list)
        totals: list[Matched] = []
        for review in judged:
            found = match_regions(review, case.gold)
            for label, matched in found.items():
                by_label[label].append(matched)
            totals.append(_sum(found.values()))
            self._per_annotator[review.author].add(totals[-1:])
        self._all.add(totals)
        for label, matches in by_label.items():
            self._per_class[label].add(matches)
        self._weeks.add(
            *(
                DatedShare(review.updated_at, 2 * total.n_met, total.n_first + total.n_second, review.author)
                for review, total in zip(judged, totals, strict=True)
            )
        )

    def result(self) -> Golds:
        """The scores so far."""
        return Golds(
            min_iou=MIN_IOU,
            all=self._all.score(),
            per_annotator={name: self._per_annotator[name].score() for name in sorted(self._per_annotator)},
            per_class={label: self._per_class[label].score() for label in sorted(self._per_class)},
            weeks=self._weeks.result(),
        )


class _Judgements:
    """Reviews against the truth, summed by image: those of one image resemble each other."""

    def __init__(self) -> None:
        self._rows, self._n_reviews = MatchedRows(), 0

    def add(self, of_image: Sequence[Matched]) -> None:
        """The reviews of one more image."""
        self._rows.add(_sum(of_image))
        self._n_reviews += len(of_image)

    def score(self) -> GoldScore:
        rows = self._rows
        n_reviewed, n_true, tp = (int(rows.column(name).sum()) for name in ("n_first", "n_second", "n_met"))
        return GoldScore(
            n_images=len(rows),
            n_reviews=self._n_reviews,
            tp=tp,
            fp=n_reviewed - tp,
            fn=n_true - tp,
            precision=rows.share("n_met", "n_first"),
            recall=rows.share("n_met", "n_second"),
            f1=rows.share("n_met", "n_first", "n_second"),
            box_iou=rows.mean_iou("box_iou", "n_met"),
            mask_iou=rows.mean_iou("mask_iou", "n_masks"),
        )


def _judged(case: Case) -> list[Annotation]:
    return [review for review in case.reviews if review.state in ("labeled", "empty")]


def _sum(parts: Iterable[Matched]) -> Matched:
    total = Matched()
    for part in parts:
        total.add(part)
    return total
