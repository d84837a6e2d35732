"""The ranked list: any case at all, complete counts, bounded, the same in any order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.metrics.cases import Case
from detseg.metrics.suspects.rules import RULE_OF, RULES
from detseg.metrics.suspects.tally import SuspectTally
from tests.metrics.suspects.making import TAXONOMY, any_cases, case, find_suspects, region


@given(any_cases())
def test_no_case_is_too_odd(made: Case) -> None:
    found = find_suspects(made)
    assert list(found) == sorted(found, key=lambda suspect: -suspect.score)
    for suspect in found:
        assert 0.0 <= suspect.score <= RULE_OF[suspect.rule].cost
        assert suspect.reason
        assert "\n" not in suspect.reason
    assert len({(one.rule, one.region) for one in found}) == len(found)
    if made.truth is None or made.gold is not None:
        assert not found


@settings(max_examples=30)
@given(st.lists(any_cases(), max_size=6), st.randoms())
def test_the_order_of_the_images_does_not_matter(cases: list[Case], random: object) -> None:
    one_of_each = list({made.image: made for made in cases}.values())
    shuffled = one_of_each[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    results = []
    for order in (one_of_each, shuffled):
        tally = SuspectTally(TAXONOMY, keep=5)
        for made in order:
            tally.add(made)
        results.append(tally.result())
    assert results[0] == results[1]


def test_what_is_kept_is_bounded_and_the_counts_are_complete() -> None:
    tally = SuspectTally(TAXONOMY, keep=3)
    for number in range(20):
        outside = [region("far", "bolt", (0, 0, 30 + number, 40))] if number % 2 else []
        tally.add(case([region("none", "cat", (9, 9, 50, 50)), *outside], image=f"sha256:{number:02}"))
    result = tally.result()
    assert [(one.image, one.rule) for one in result.ranked] == [
        (f"sha256:{number:02}", "outside_taxonomy") for number in range(3)
    ]
    assert result.per_rule["outside_taxonomy"].n_suspects == 20
    assert result.per_rule["outside_taxonomy"].n_images == 20
    assert (result.n_images, result.n_suspects, result.n_suspect_images) == (20, 20, 20)


def test_every_rule_is_counted_and_has_a_cost() -> None:
    result = SuspectTally(TAXONOMY).result()
    assert list(result.per_rule) == [rule.name for rule in RULES]
    assert len(RULE_OF) == len(RULES)
    assert all(0.0 < rule.cost <= 1.0 and rule.words for rule in RULES)
    assert (result.n_images, result.n_suspects, result.ranked) == (0, 0, ())


def test_what_costs_more_comes_first_where_the_rules_are_as_sure() -> None:
    twice = [region("a", "bolt", (10, 10, 60, 60)), region("b", "bolt", (10, 10, 60, 60))]
    found = find_suspects(case([*twice, region("c", "cat", (80, 80, 120, 120))]))
    assert [(one.rule, one.region, one.score) for one in found] == [
        ("outside_taxonomy", "c", 1.0),
        ("duplicate", "b", 0.7),
    ]


def test_a_rule_finds_a_region_once() -> None:
    counted = Counter(
        (one.rule, one.region)
        for one in find_suspects(
            case([region("a", "bolt", (0, 0, 90, 90))], [region("m", "bolt", (0, 0, 20, 20), score=0.9)])
        )
    )
    assert counted == {("oversized", "a"): 1}
