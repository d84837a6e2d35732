"""What the model and other people say against a review: what triggers, and what nearly does."""

from __future__ import annotations

import pytest

from detseg.metrics.suspects.rules import RULE_OF
from detseg.types import Arm
from tests.metrics.made import block
from tests.metrics.suspects.making import SIZE, case, region, suspects

BOLT = (20.0, 20.0, 80.0, 80.0)
"""3600 px."""


def model(label: str = "bolt", box: tuple[float, float, float, float] = BOLT, score: float = 0.9) -> list:  # type: ignore[type-arg]
    return [region("m", label, box, score=score)]


def test_oversized_and_partial() -> None:
    large, small = region("a", "bolt", (10, 10, 110, 110)), region("a", "bolt", (30, 30, 60, 60))
    (found,) = suspects(case([large], model()), "oversized")
    assert found.reason == "the model draws the same 0.36 times as large"
    (found,) = suspects(case([small], model()), "partial")
    assert found.reason == "the model draws the same 4 times as large"
    assert not suspects(case([region("a", "bolt", (20, 20, 100, 109))], model()), "oversized")  # 0.506
    assert not suspects(case([region("a", "bolt", (20, 20, 80, 51))], model()), "partial")
    assert not suspects(case([large], model(score=0.4)), "oversized")
    assert not suspects(case([region("a", "nut", (10, 10, 110, 110))], model()), "oversized")
    assert not suspects(case([region("a", "bolt", (60, 60, 140, 160))], model()), "oversized")  # beside it


def test_other_people_are_witnesses_of_sizes() -> None:
    other = [region("o", "bolt", (10, 10, 110, 110))]
    (found,) = suspects(case([region("a", "bolt", BOLT)], others=[other]), "partial")
    assert found.reason.startswith("another person draws")


def test_masks_are_compared_where_both_have_one() -> None:
    half, whole = block(20, 20, 80, 45, size=SIZE), block(20, 20, 80, 80, size=SIZE)
    drawn, predicted = region("a", "bolt", BOLT, mask=half), region("m", "bolt", BOLT, mask=whole, score=0.9)
    assert suspects(case([drawn], [predicted]), "partial")
    assert not suspects(case([region("a", "bolt", BOLT)], [predicted]), "partial")


def test_a_better_match_speaks_for_a_region() -> None:
    """A nut on a bolt's head, both bolts to us: each has a match of its own."""
    two = [region("a", "bolt", (10, 10, 110, 110)), region("b", "bolt", BOLT)]
    assert not suspects(case(two, model()), "oversized")


def test_missed() -> None:
    elsewhere = region("a", "bolt", (120, 20, 180, 80))
    (found,) = suspects(case([elsewhere], model()), "missed")
    assert (found.region, found.label, found.score) == ("m", "bolt", pytest.approx(0.9))
    assert found.reason == "the model is 90% sure of it, and it is not drawn"
    assert not suspects(case([elsewhere], model(score=0.79)), "missed")
    assert not suspects(case([elsewhere, region("b", "bolt", BOLT)], model()), "missed")
    assert not suspects(case([region("b", "nut", BOLT)], model()), "missed")  # which is a wrong label
    assert not suspects(case([region("b", "bolt", (10, 10, 110, 110))], model()), "missed")  # oversized
    assert suspects(case([region("b", "nut", (10, 10, 110, 110))], model()), "missed")


@pytest.mark.parametrize("arm", ["assisted", "decoy"])
def test_who_saw_the_region_and_took_it_away_may_be_right(arm: Arm) -> None:
    elsewhere = region("a", "bolt", (120, 20, 180, 80))
    (found,) = suspects(case([elsewhere], model(), arm=arm), "missed")
    assert found.score == pytest.approx(0.45)
    assert found.reason == "the model is 90% sure of it, and it was deleted"


def test_other_people_who_agree_with_the_model_halve_the_doubt() -> None:
    elsewhere, same = region("a", "bolt", (120, 20, 180, 80)), region("o", "bolt", BOLT)
    (one,) = suspects(case([elsewhere], model(), others=[[same]]), "missed")
    (two,) = suspects(case([elsewhere], model(), others=[[same], [same]]), "missed")
    (none,) = suspects(case([elsewhere], model(), others=[[elsewhere]]), "missed")
    assert one.score == pytest.approx(1 - 0.1 / 2)
    assert two.score == pytest.approx(1 - 0.1 / 4)
    assert none.score == pytest.approx(0.9)
    assert two.reason.endswith("2 other people say the same as the model")


def test_empty_though_the_model_is_sure() -> None:
    two = [*model(), region("n", "nut", (120, 20, 180, 80), score=0.95)]
    (found,) = suspects(case([], two), "empty_though_sure")
    assert (found.region, found.score) == ("n", pytest.approx(0.95))
    assert found.reason == "the model is sure of 2 objects, of a 'nut' with 95%"
    assert not suspects(case([], model(score=0.7)), "empty_though_sure")
    assert not suspects(case([], two), "missed")


def test_wrong_label() -> None:
    (found,) = suspects(case([region("a", "nut", BOLT)], model()), "wrong_label")
    assert (found.region, found.label, found.score) == (
        "a",
        "nut",
        pytest.approx(0.9 * RULE_OF["wrong_label"].cost),
    )
    assert found.reason == "the model is 90% sure of a 'bolt' here"
    assert not suspects(case([region("a", "nut", BOLT)], model(score=0.7)), "wrong_label")
    assert not suspects(case([region("a", "nut", (60, 20, 120, 80))], model()), "wrong_label")
    both = [*model(), region("n", "nut", BOLT, score=0.6)]
    assert not suspects(case([region("a", "nut", BOLT)], both), "wrong_label")
