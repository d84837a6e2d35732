"""The judgement of a candidate: what makes it better, what speaks against it, and what is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detseg.metrics.costs import CostModel
from detseg.metrics.evidence import CALIBRATION, Evidence, EvidenceTally, NeededWork
from detseg.metrics.halved import Halved
from detseg.metrics.judgement import Judgement, Rule, judge
from detseg.metrics.paired import Difference, mean_difference
from detseg.types import Annotation, Region
from tests.metrics.made import annotation, block, boxed, masked

RNG = np.random.default_rng(7)
HARD = RNG.normal(0.0, 8.0, (200, 2))


def work(*means: float, n: int = 60, noise: float = 1.0, seed: int = 0) -> NeededWork:
    """The seconds of two classes in images that are hard alike for every model."""
    rng = np.random.default_rng(seed)
    seconds = np.array(means) + HARD[:n] + rng.normal(0.0, noise, (n, 2))
    return NeededWork(seconds, np.ones((n, 2)))


def evidence(
    candidate: NeededWork, *, n: int = 60, calibration: tuple[float, float] = (0.1, 0.1)
) -> Evidence:
    def halved(error: float) -> Halved:
        spread = error + np.random.default_rng(1).normal(0.0, 0.01, (100, 1))
        return Halved(("",), np.array([error]), spread, np.array([n]))

    return Evidence(
        classes=("bolt", "nut"),
        n_truth=(90, 80),
        present=work(50.0, 60.0, n=n),
        candidate=candidate,
        nothing=work(70.0, 80.0, n=n, noise=0.0),
        present_figures={CALIBRATION: halved(calibration[0])},
        candidate_figures={CALIBRATION: halved(calibration[1])},
    )


def judged(candidate: NeededWork, rule: Rule | None = None, **options: object) -> Judgement:
    return judge(evidence(candidate, **options), rule or Rule())  # type: ignore[arg-type]


def test_a_candidate_that_saves_for_certain_is_better() -> None:
    found = judged(work(40.0, 52.0, seed=2))
    assert (found.better, found.missing, found.n_more) == (True, (), 0)
    seconds = found.difference["expected_seconds"]
    assert seconds.value == pytest.approx(-18.0, abs=1.0)
    assert seconds.has_fallen
    assert found.per_class["bolt"].difference["expected_seconds"].value == pytest.approx(-10.0, abs=1.0)


def test_the_same_answers_differ_by_nothing() -> None:
    found = judged(work(50.0, 60.0))
    assert found.better is None
    assert found.difference["expected_seconds"] == Difference(0.0, 0.0, 0.0)
    assert found.missing == ("both need the same work on every image",)


def test_swapped_models_differ_by_as_much_the_other_way() -> None:
    one = evidence(work(44.0, 58.0, seed=2))
    other = replace(one, present=one.candidate, candidate=one.present)
    a, b = (judge(each, Rule()).difference["expected_seconds"] for each in (one, other))
    assert (a.value, a.low, a.high) == pytest.approx((-b.value, -b.high, -b.low))  # type: ignore[operator]


def test_it_is_worse_where_it_costs_more_for_certain() -> None:
    found = judged(work(60.0, 66.0, seed=2))
    assert found.better is False
    assert sum("costs people more" in line for line in found.missing) == 1
    assert not any("saves nothing" in line for line in found.missing)


def test_a_class_that_is_alone_is_said_once() -> None:
    both = evidence(work(60.0, 66.0, seed=2))
    alone = replace(
        both,
        classes=("bolt",),
        n_truth=(90,),
        **{
            side: NeededWork(one.seconds[:, :1], one.edits[:, :1])
            for side in ("present", "candidate", "nothing")
            if (one := getattr(both, side))
        },
    )
    (line,) = judge(alone, Rule()).missing
    assert line.startswith("it costs people more: ")


def test_a_protected_class_must_not_get_worse() -> None:
    saves_on_bolts = work(20.0, 64.0, seed=2)
    found = judged(saves_on_bolts)
    assert found.better is False
    assert found.missing[0].startswith("nut needs more work: +3.7 s (")
    assert judged(saves_on_bolts, Rule(protected=("bolt",))).better is True
    assert judged(saves_on_bolts, Rule(protected=())).better is True


def test_calibration_must_not_get_worse() -> None:
    found = judged(work(40.0, 52.0, seed=2), calibration=(0.1, 0.3))
    assert found.better is False
    assert "scores" in found.missing[0]
    assert judged(work(40.0, 52.0, seed=2), calibration=(0.3, 0.1)).better is True


def test_nothing_is_certain_in_favour_of_a_model_that_may_have_seen_these_images() -> None:
    saves, costs = work(40.0, 52.0, seed=2), work(60.0, 66.0, seed=2)
    better = [judged(saves, Rule(unseen_present=n, unseen_candidate=m)).better for n, m in ((3, 0), (0, 3))]
    worse = [judged(costs, Rule(unseen_present=n, unseen_candidate=m)).better for n, m in ((3, 0), (0, 3))]
    assert (better, worse) == ([True, None], [None, False])
    (line,) = judged(saves, Rule(unseen_candidate=3)).missing
    assert line.startswith("3 images that the candidate learned from cannot be read here, so near duplicates")


def test_what_is_not_certain_says_how_many_more_images_would_tell() -> None:
    found = judged(work(49.0, 60.0, n=20, noise=5.0, seed=3), n=20)
    assert found.better is None
    assert found.n_more is not None
    assert found.n_more > 20
    assert f"about {found.n_more:,} more images would tell" in found.missing[0]


def test_few_images_say_nothing_however_clear_they_are() -> None:
    found = judged(work(1.0, 1.0, n=9, noise=0.0), n=9)
    assert (found.better, found.n_more) == (None, 1)


def test_each_look_raises_the_bar_and_all_together_risk_5_percent() -> None:
    risks = [Rule(look=look).risk for look in range(1, 2000)]
    assert risks[0] == pytest.approx(0.025)
    assert risks == sorted(risks, reverse=True)
    assert 0.0499 < sum(risks) < 0.05
    candidate = work(47.0, 60.0, noise=3.0, seed=2)
    widths = []
    for look in (1, 3, 10):
        one = judged(candidate, Rule(look=look)).difference["expected_seconds"]
        widths.append(one.high - one.low)  # type: ignore[operator]
    assert widths == sorted(widths)
    burnt = judged(work(40.0, 52.0, seed=2), Rule(look=11, max_looks=10))
    assert burnt.better is None
    assert "new images" in burnt.missing[0]


def test_images_of_a_kind_that_was_not_seen_are_allowed_for() -> None:
    """A small saving on every one of 20 images may be paid for by one in twenty in which nothing is found."""
    present = np.full(20, 100.0) + np.linspace(0.0, 5.0, 20)
    nothing = np.full(20, 300.0)
    small, large = (mean_difference(present, present - saved, nothing) for saved in (5.0, 60.0))
    assert not small.has_fallen
    assert large.has_fallen


SHIFTED = (0.0, 0.0, 20.0, 14.0)  # IoU 0.7


def add(tally: EvidenceTally, number: int, *sides: list[Region]) -> None:
    image = f"sha256:{number:03}"
    annotations: list[Annotation] = [annotation(regions, image=image) for regions in sides]
    tally.add(*annotations)


def test_work_is_counted_by_the_true_class_and_its_cost() -> None:
    tally = EvidenceTally(CostModel())
    truth = [boxed("t", "bolt", (0, 0, 20, 20)), boxed("u", "nut", (22, 0, 30, 8))]
    near = [boxed("a", "bolt", (0, 0, 20, 20), 0.9), boxed("b", "bolt", (22, 0, 30, 8), 0.6)]
    far = [boxed("a", "bolt", SHIFTED, 0.9), boxed("b", "screw", (32, 20, 38, 28), 0.4)]
    add(tally, 1, truth, near, far)
    add(tally, 2, [], [], [boxed("a", "nut", (0, 0, 9, 9), 0.5)])
    found = tally.evidence()
    assert (found.classes, found.n_truth) == (("bolt", "nut", "screw"), (1, 1, 0))
    assert found.present.seconds.tolist() == [[7.0, 14.0, 0.0], [0.0, 0.0, 0.0]]
    assert found.candidate.seconds.tolist() == [[42.0, 35.0, 7.0], [0.0, 7.0, 0.0]]
    assert found.nothing.seconds.tolist() == [[35.0, 35.0, 0.0], [0.0, 0.0, 0.0]]
    assert found.present.edits.sum() == 1.0
    assert found.candidate.edits.sum() == 4.0
    assert found.present_figures["ap"].classes == ("bolt", "nut")
    assert found.present_figures["ap50"].whole.tolist() == [1.0, 0.0]
    assert found.candidate_figures["ap"].whole.tolist() == pytest.approx([0.5, 0.0])
    assert float(found.present_figures[CALIBRATION].whole[0]) == pytest.approx((0.1 + 0.6) / 2)


def test_figures_of_masks_where_the_truth_has_masks() -> None:
    tally = EvidenceTally(CostModel(), with_masks=True)
    for number in range(12):
        true = [
            masked("t", "bolt", block(0, 0, 10, 10)),
            masked("u", "belt", block(0, 20, 40, 30), kind="stuff"),
        ]
        half = [masked("a", "bolt", block(0, 0, 10, 6), score=0.9), *true[1:]]
        add(tally, number, true, half, true)
    found = judge(tally.evidence(), Rule())
    assert found.present["pq"] == pytest.approx(0.8)
    assert found.present["miou"] == pytest.approx(0.8)
    assert found.candidate["mask_ap"] == found.candidate["pq"] == 1.0
    assert found.difference["pq"].value == pytest.approx(0.2)
    assert found.per_class["bolt"].difference["pq"].value == pytest.approx(0.4)


def test_no_image_is_judged_by_nothing() -> None:
    found = judge(EvidenceTally(CostModel()).evidence(), Rule())
    assert (found.better, found.n_images) == (None, 0)
    assert found.difference["ap"].value is None
