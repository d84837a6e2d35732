"""Which images are chosen to be shown."""

import random
from collections import Counter
from dataclasses import replace
from itertools import groupby

import pytest

from detseg.metrics.cases import Case
from detseg.metrics.edits import find_edits
from detseg.report.examples import Example, ExampleTally
from detseg.types import EDIT_KINDS
from tests.report.made import made_cases

CASES = made_cases(80)


def choose(cases: tuple[Case, ...], limit: int) -> tuple[Example, ...]:
    tally = ExampleTally()
    for case in cases:
        tally.add(case, find_edits(case.prediction, case.truth) if case.truth else ())
    return tally.result(limit=limit)


@pytest.mark.parametrize("limit", [0, 1, 2, 7, 20, 60, 1000])
def test_the_limit_holds_and_no_image_comes_twice(limit: int) -> None:
    chosen = choose(CASES, limit)
    assert len(chosen) <= limit
    assert len({example.image for example in chosen}) == len(chosen)
    countable = {case.image for case in CASES if case.truth and case.arm in ("assisted", "gold")}
    assert {example.image for example in chosen} <= countable
    if limit >= 60:
        assert len(chosen) >= 40


def test_the_choice_does_not_depend_on_the_order() -> None:
    mixed = list(CASES)
    random.Random(1).shuffle(mixed)
    assert choose(CASES, 20) == choose(tuple(mixed), 20)


def test_every_kind_of_edit_is_there_before_one_comes_often() -> None:
    chosen = choose(CASES, 40)
    there = Counter(example.kind for example in chosen)
    assert set(there) == {*EDIT_KINDS[1:], None}
    assert {example.why for example in chosen} == {"worst", "typical", "disagreement", "perfect"}


def test_an_example_has_the_edit_that_it_is_shown_for() -> None:
    by_image = {case.image: case for case in CASES}
    for example in choose(CASES, 60):
        case = by_image[example.image]
        assert case.truth is not None
        edits = find_edits(case.prediction, case.truth)
        found = {(e.kind, (e.before or e.after).instance.label) for e in edits}  # type: ignore[union-attr]
        if example.kind is not None:
            assert (example.kind, example.label) in found
        if example.why == "perfect":
            assert {kind for kind, _ in found} == {"kept"}


def test_the_worst_of_a_stratum_comes_first() -> None:
    """Of all images on which a bolt was moved, one that is shown as the worst was moved farthest."""
    chosen = choose(CASES, 12)
    shown = [e for e in chosen if e.kind == "moved" and e.why == "worst"]
    by_image = {case.image: case for case in CASES}

    def farthest(case: Case, label: str | None) -> float:
        edits = find_edits(case.prediction, case.truth) if case.truth else ()
        ious = [e.iou for e in edits if e.kind == "moved" and e.before and e.before.instance.label == label]
        return min((iou for iou in ious if iou is not None), default=1.0)

    assert shown
    for label, group in groupby(sorted(shown, key=lambda e: e.label or ""), key=lambda e: e.label):
        best = min(farthest(c, label) for c in CASES if c.arm in ("assisted", "gold"))
        assert min(farthest(by_image[e.image], label) for e in group) == pytest.approx(best, abs=1e-4)


def test_control_and_unreviewed_images_and_those_with_decoys_are_no_examples() -> None:
    assisted = next(case for case in CASES if case.arm == "assisted" and case.truth)
    for case in (
        replace(assisted, arm="control"),
        replace(assisted, arm="decoy"),
        replace(assisted, reviews=()),
    ):
        assert choose((case,), 10) == ()
    assert len(choose((assisted,), 10)) == 1
