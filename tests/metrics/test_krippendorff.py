"""Alpha against the worked examples of its author, and against its definition."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.geometry.boxes import box_iou
from detseg.metrics import krippendorff
from detseg.metrics.agreement import set_distances
from detseg.metrics.krippendorff import Alpha
from detseg.types import Box


def nominal(a: object, b: object) -> dict[str, float]:
    return {} if a == b else {"": 1.0}


def alpha_of(*people: str) -> float | None:
    """Of people's codes, a character a unit; "." for none."""
    alpha: Alpha[str] = Alpha(nominal)
    for unit in zip(*people, strict=True):
        alpha.add([code for code in unit if code != "."])
    return alpha.value("")


@pytest.mark.parametrize(
    ("people", "expected"),
    [  # Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, sections A, B and C
        (("0100000010", "1110010000"), 0.095),
        (("aabbdcccedda", "babbbccceddd"), 0.692),
        (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), 0.743),
    ],
)
def test_the_authors_examples(people: tuple[str, ...], expected: float) -> None:
    assert alpha_of(*people) == pytest.approx(expected, abs=0.0005)


def test_the_edges() -> None:
    assert alpha_of("", "") is None
    assert alpha_of("aaaa", "aaaa") is None  # nothing varies, so nothing can be told
    assert alpha_of("abab", "abab") == 1.0
    assert alpha_of("ab", "ba") == pytest.approx(-0.5)
    assert alpha_of("abab", "....") is None


Set = tuple[tuple[str, tuple[int, int, int, int]], ...]


def brute_distance(a: Set, b: Set) -> float:
    """1 - 2 S / (n + m), with S found by trying every way to pair."""
    if not a and not b:
        return 0.0
    short, long_ = sorted((a, b), key=len)
    best = max(
        sum(
            box_iou(Box(*one), Box(*other))
            for (label, one), (other_label, other) in zip(short, chosen, strict=True)
            if label == other_label
        )
        for chosen in permutations(long_, len(short))
    )
    return 1.0 - 2.0 * best / (len(a) + len(b))


def brute_alpha(units: Sequence[Sequence[Set]]) -> float | None:
    """By the definition, value by value."""
    used = [unit for unit in units if len(unit) > 1]
    values = [value for unit in used for value in unit]
    n = len(values)
    observed = sum(
        brute_distance(unit[i], unit[j]) / (len(unit) - 1)
        for unit in used
        for i in range(len(unit))
        for j in range(len(unit))
        if i != j
    )
    expected = sum(brute_distance(values[i], values[j]) for i in range(n) for j in range(n) if i != j)
    return 1.0 - (observed / n) / (expected / (n * (n - 1))) if expected else None


def as_boxes(values: Set) -> dict[str, np.ndarray]:
    by_label: dict[str, list[tuple[int, int, int, int]]] = {}
    for label, box in values:
        by_label.setdefault(label, []).append(box)
    return {label: np.array(boxes, dtype=np.float64) for label, boxes in by_label.items()}


boxes = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 4), st.integers(1, 4)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
sets = st.lists(st.tuples(st.sampled_from(["bolt", "nut"]), boxes), max_size=3).map(tuple)


@given(a=sets, b=sets)
def test_the_distance_of_sets_is_its_definition(a: Set, b: Set) -> None:
    found = set_distances(as_boxes(a), as_boxes(b))
    assert found.get("", 0.0) == pytest.approx(brute_distance(a, b), abs=1e-9)
    for label in ("bolt", "nut"):
        mine = (tuple(one for one in side if one[0] == label) for side in (a, b))
        assert found.get(label, 0.0) == pytest.approx(brute_distance(*mine), abs=1e-9)
    assert found == pytest.approx(set_distances(as_boxes(b), as_boxes(a)))


@given(units=st.lists(st.lists(sets, max_size=4), max_size=5))
def test_alpha_of_boxes_is_its_definition(units: list[list[Set]]) -> None:
    alpha = Alpha(set_distances)
    for unit in units:
        alpha.add([as_boxes(value) for value in unit])
    expected = brute_alpha(units)
    found = alpha.value("")
    assert (found is None) == (expected is None)
    if expected is not None:
        assert found == pytest.approx(expected, abs=1e-6)


def test_a_drawn_expectation_is_near_the_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    alpha: Alpha[int] = Alpha(nominal)
    for _ in range(400):
        value = int(rng.integers(0, 4))
        alpha.add([value, value if rng.random() < 0.8 else int(rng.integers(0, 4))])
    drawn = alpha.expected(seed=3)[""]
    assert drawn == alpha.expected(seed=3)[""]
    monkeypatch.setattr(krippendorff, "MOST_PAIRS", 10**9)
    assert drawn == pytest.approx(alpha.expected(seed=3)[""], abs=0.01)


def test_the_interval_holds_the_value() -> None:
    rng = np.random.default_rng(6)
    alpha: Alpha[int] = Alpha(nominal)
    for _ in range(300):
        value = int(rng.integers(0, 4))
        alpha.add([value, value if rng.random() < 0.9 else int(rng.integers(0, 4))])
    estimate = alpha.result([""], seed=1)[""]
    assert estimate.value == pytest.approx(alpha.value("", seed=1))
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.value is not None
    assert estimate.low < estimate.value < estimate.high < 1.0
    assert estimate.n == 300
