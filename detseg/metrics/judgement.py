"""The judgement of a candidate beside the present model: better for certain, worse for certain, or neither.

What both models would cost and score on the same images in (``evidence.py``), the judgement out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.metrics.evidence import CALIBRATION, Evidence, NeededWork
from detseg.metrics.halved import Halved
from detseg.metrics.intervals import MIN_UNITS
from detseg.metrics.paired import (
    RISK,
    Difference,
    difference_of_class,
    difference_of_means,
    mean_difference,
)
from detseg.plurals import format_count

Floats = npt.NDArray[np.float64]

_HOPELESS = 1000.0  # times the images at hand: how many are needed is not known then


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of a judgement.

    ``protected`` classes must not get worse for certain; None protects all. ``look`` is the number of this
    look at the images, from 1; ``max_looks`` is the last that may say that a candidate is better.
    ``unseen_present`` and ``unseen_candidate`` count the images behind each model that nobody could compare
    with those at hand: near duplicates of them may be among these, and make that model look too good.
    """

    protected: Collection[str] | None = None
    look: int = 1
    max_looks: int = 10
    unseen_present: int = 0
    unseen_candidate: int = 0

    @property
    def risk(self) -> float:
        """The chance of promoting by this look what is no better: 2.5 % at the first, 5 % over all looks.

        The k-th has 5 % / (k (k + 1)), for whoever keeps looking until a candidate wins finds one by chance.

        >>> round(Rule().risk, 4), round(Rule(look=2).risk, 4)
        (0.025, 0.0083)
        """
        return 2.0 * RISK / (self.look * (self.look + 1))


@dataclass(frozen=True, slots=True)
class ClassJudgement:
    """One class: how both models do, and the difference. Seconds and edits are per image."""

    n_truth: int
    is_protected: bool
    is_worse: bool
    present: Mapping[str, float | None]
    candidate: Mapping[str, float | None]
    difference: Mapping[str, Difference]
    """candidate minus present; of the expected seconds the intervals of all classes hold together"""


@dataclass(frozen=True, slots=True)
class Judgement:
    """``better`` is True where the candidate saves seconds for certain and nothing speaks against it, False
    where it is worse for certain, else None. ``missing`` says why it is not True, in lines for people."""

    better: bool | None
    missing: tuple[str, ...]
    n_images: int
    n_more: int | None
    """images like these beyond those at hand that would settle it; None where that is not known"""
    level: float
    """of the intervals of expected seconds and edits: 0.95 at the first look, then more"""
    present: Mapping[str, float | None]
    candidate: Mapping[str, float | None]
    difference: Mapping[str, Difference]
    per_class: Mapping[str, ClassJudgement]


def judge(evidence: Evidence, rule: Rule) -> Judgement:
    """Judge a candidate by the images of ``evidence``.

    It is better if the whole interval of the difference in expected seconds per image is below 0, no
    protected class needs more seconds for certain, and the scores are not worse calibrated for certain. From
    ``MIN_UNITS`` images on, and up to ``rule.max_looks``. Nothing is certain in favour of a model that may
    have learned from near duplicates of these images.
    """
    difference = _differences(evidence, rule)
    per_class = _per_class(evidence, rule)
    seconds = difference["expected_seconds"]
    worse = _describe_worse(difference, per_class)
    missing, n_more = _describe_missing(seconds, evidence.n_images, rule)
    unseen = tuple(_describe_unseen(rule, is_worse=bool(worse)))
    is_worse = bool(worse) and not rule.unseen_present
    return Judgement(
        better=False if is_worse else None if worse or missing or unseen else True,
        missing=(*worse, *missing, *unseen),
        n_images=evidence.n_images,
        n_more=None if worse else n_more,
        level=1.0 - 2.0 * rule.risk,
        present=_figures(evidence.present, evidence.present_figures),
        candidate=_figures(evidence.candidate, evidence.candidate_figures),
        difference=difference,
        per_class=per_class,
    )


def _figures(work: NeededWork, halved: Mapping[str, Halved]) -> dict[str, float | None]:
    n = len(work.seconds)
    return {
        "expected_seconds": float(work.seconds.sum()) / n if n else None,
        "expected_edits": float(work.edits.sum()) / n if n else None,
        **{name: one.mean() for name, one in halved.items()},
    }


def _differences(evidence: Evidence, rule: Rule) -> dict[str, Difference]:
    sides = (evidence.present, evidence.candidate, evidence.nothing)
    seconds = mean_difference(*(one.seconds.sum(axis=1) for one in sides), risk=rule.risk)
    edits = mean_difference(*(one.edits.sum(axis=1) for one in sides), risk=rule.risk)
    figures = {
        name: difference_of_means(present, evidence.candidate_figures[name])
        for name, present in evidence.present_figures.items()
    }
    return {"expected_seconds": seconds, "expected_edits": edits, **figures}


def _per_class(evidence: Evidence, rule: Rule) -> dict[str, ClassJudgement]:
    risk = RISK / max(len(evidence.classes), 1)
    return {label: _judge_class(evidence, k, rule, risk=risk) for k, label in enumerate(evidence.classes)}


def _judge_class(evidence: Evidence, k: int, rule: Rule, *, risk: float) -> ClassJudgement:
    label, n = evidence.classes[k], max(evidence.n_images, 1)
    works = (evidence.present, evidence.candidate, evidence.nothing)
    difference = {
        "expected_seconds": mean_difference(*(one.seconds[:, k] for one in works), risk=risk),
        "expected_edits": mean_difference(*(one.edits[:, k] for one in works), risk=risk),
    }
    before, after = (
        {
            "expected_seconds": float(one.seconds[:, k].sum()) / n,
            "expected_edits": float(one.edits[:, k].sum()) / n,
        }
        for one in works[:2]
    )
    present: dict[str, float | None] = {**before}
    candidate: dict[str, float | None] = {**after}
    for name, halved in evidence.present_figures.items():
        other = evidence.candidate_figures[name]
        if label in {*halved.classes, *other.classes}:
            present[name], candidate[name] = halved.of_class(label), other.of_class(label)
            difference[name] = difference_of_class(halved, other, label)
    return ClassJudgement(
        n_truth=evidence.n_truth[k],
        is_protected=rule.protected is None or label in rule.protected,
        is_worse=difference["expected_seconds"].has_risen,
        present=present,
        candidate=candidate,
        difference=difference,
    )


def _describe_worse(
    difference: Mapping[str, Difference], per_class: Mapping[str, ClassJudgement]
) -> tuple[str, ...]:
    """Say in what it is worse for certain: no more images would help the candidate."""
    lines = []
    seconds = difference["expected_seconds"]
    if seconds.has_risen:
        lines.append(f"it costs people more: {_span(seconds, ' s')} an image")
    is_said = seconds.has_risen and len(per_class) == 1
    for label, one in per_class.items():
        if one.is_protected and one.is_worse and not is_said:
            lines.append(
                f"{label} needs more work: {_span(one.difference['expected_seconds'], ' s')} an image"
            )
    if CALIBRATION in difference and difference[CALIBRATION].has_risen:
        lines.append(f"its scores say less of what is right: {_span(difference[CALIBRATION])}")
    return tuple(lines)


def _describe_missing(seconds: Difference, n_images: int, rule: Rule) -> tuple[tuple[str, ...], int | None]:
    """Say what is not known well enough, and how many more images would tell."""
    if rule.look > rule.max_looks:
        line = (
            f"these images have been looked at {rule.look:,} times, and whoever looks often enough finds a "
            "winner by chance: judge by a version with new images in the split"
        )
        return (line,), None
    if n_images < MIN_UNITS:
        n_more = MIN_UNITS - n_images
        return (f"{format_count(n_images, 'image')} say too little: {n_more} more at least",), n_more
    if seconds.has_fallen:
        return (), 0
    if seconds.has_risen:  # which is said already
        return (), None
    if seconds.value == seconds.low == seconds.high == 0.0:
        return ("both need the same work on every image",), None
    value, high = seconds.value, seconds.high
    assert value is not None  # there are images
    assert high is not None
    if value >= 0.0:
        return (f"it saves nothing on these images: {_span(seconds, ' s')} an image",), None
    times = ((high - value) / value) ** 2
    if not times < _HOPELESS:
        return (f"what it saves is not certain: {_span(seconds, ' s')} an image",), None
    n_more = max(1, math.ceil(n_images * times) - n_images)
    more = format_count(n_more, "more image")
    return (
        f"what it saves is not certain: {_span(seconds, ' s')} an image; about {more} would tell",
    ), n_more


def _describe_unseen(rule: Rule, *, is_worse: bool) -> Iterator[str]:
    """Say which images nobody could compare, where that speaks against what else is certain."""
    n, model = (rule.unseen_present, "present model") if is_worse else (rule.unseen_candidate, "candidate")
    if n:
        yield (
            f"{format_count(n, 'image')} that the {model} learned from cannot be read here, so near "
            "duplicates of them may be among these and make it look too good: put them back to where their "
            "dataset version has them"
        )


def _span(difference: Difference, unit: str = "") -> str:
    """A difference with its interval.

    >>> _span(Difference(-1.5, -4.0, 1.0), " s")
    '-1.5 s (-4.0 to +1.0)'
    """
    digits = 1 if unit else 3
    value, low, high = (
        "unknown" if one is None or not math.isfinite(one) else f"{one:+.{digits}f}"
        for one in (difference.value, difference.low, difference.high)
    )
    return f"{value}{unit} ({low} to {high})"
