"""What is usual in a project, and what is far from it; whichever label meets which region of the model."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.metrics.suspects.counterparts import find_counterparts
from detseg.metrics.suspects.judging import judge
from detseg.metrics.suspects.options import SuspectOptions
from detseg.metrics.suspects.usual import Measure, Observation, Usual

OPTIONS = SuspectOptions()


def usual(measure: Measure, values: list[float], octave: int | None = None) -> Usual:
    found = Usual()
    for value in values:
        found.add(Observation(measure, "bolt", value, octave))
    return found


def judged(measure: Measure, value: float, known: Usual, octave: int | None = None) -> float | None:
    return judge(Observation(measure, "bolt", value, octave), known, OPTIONS)


def test_an_overlap_is_judged_by_the_others() -> None:
    good, loose = usual("overlap", [0.9] * 90), usual("overlap", [0.5 + n / 200 for n in range(90)])
    assert judged("overlap", 0.6, good)
    assert not judged("overlap", 0.66, good)
    assert not judged("overlap", 0.6, loose)
    assert not judged("overlap", 0.55, usual("overlap", [0.9] * 5))  # too few to say
    assert judged("overlap", 0.45, usual("overlap", [0.9] * 5))


def test_objects_of_one_size_are_compared_with_each_other() -> None:
    known = usual("overlap", [0.9] * 50, octave=6)
    for number in range(50):
        known.add(Observation("overlap", "bolt", 0.4 + number / 200, 2))
    assert judged("overlap", 0.55, known, 6)
    assert not judged("overlap", 0.55, known, 2)


def test_threads_are_rough_and_no_mistake() -> None:
    smooth, threads = usual("roughness", [0.0] * 50), usual("roughness", [0.05 + n / 400 for n in range(50)])
    assert judged("roughness", 0.2, smooth)
    assert not judged("roughness", 0.2, threads)
    assert judged("roughness", 0.4, threads)


@pytest.mark.parametrize(("n_unseen", "is_suspect"), [(1, True), (3, True), (10, False), (100, False)])
def test_nobody_sees_it_says_something_where_the_others_are_seen(n_unseen: int, is_suspect: bool) -> None:
    known = usual("seen", [0.0] * n_unseen + [1.0] * (100 - n_unseen))
    assert (judged("seen", 0.0, known) is not None) is is_suspect


def test_what_people_lack_at_low_scores_alone_is_the_models_mistake() -> None:
    """Of 300 sure regions people lack 3, of 100 unsure ones 34, of which one is their mistake."""
    known = Usual()
    for score, n_drawn, n_undrawn in ((0.95, 297, 3), (0.81, 66, 34)):
        for measure, n in (("drawn", n_drawn), ("undrawn", n_undrawn)):
            for _ in range(n):
                known.add(Observation(measure, "bolt", score))  # type: ignore[arg-type]
    assert judged("undrawn", 0.95, known) == 1.0
    assert judged("undrawn", 0.81, known) is None


def test_a_label_that_the_model_denies_is_named_where_people_are_rather_wrong() -> None:
    """At 0.81 three or four of ten denials are people's, as often as at 0.95: too few for a label that they
    chose, and enough for an object that they may not have seen."""
    known = Usual()
    for score, n_yes, n_no in ((0.95, 285, 15), (0.81, 50, 10)):
        for measure, n in (("drawn", n_yes), ("undrawn", n_no), ("agreed", n_yes), ("denied", n_no)):
            for _ in range(n):
                known.add(Observation(measure, "bolt", score, None))  # type: ignore[arg-type]
    assert judged("denied", 0.95, known) == judged("undrawn", 0.95, known) == 1.0
    assert judged("undrawn", 0.81, known) == pytest.approx((60 * 15 / 300 + 1) / 10)
    assert judged("denied", 0.81, known) is None


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.integers(1, 4).flatmap(
            lambda m: st.lists(
                st.tuples(
                    st.sampled_from([0.0, 0.03, 0.2, 0.4, 0.5, 0.6, 0.9]), st.booleans(), st.booleans()
                ),
                min_size=n * m,
                max_size=n * m,
            ).map(lambda cells: (n, m, cells))
        )
    )
)
def test_counterparts_are_the_best_of_all_ways_to_pair(
    made: tuple[int, int, list[tuple[float, bool, bool]]],
) -> None:
    """Among all pairings: one to one, and no other has more of what counts in one place."""
    n, m, cells = made
    iou = np.array([cell[0] for cell in cells]).reshape(n, m)
    same = np.array([cell[1] for cell in cells]).reshape(n, m)
    inside = np.array([cell[2] for cell in cells]).reshape(n, m)
    found = find_counterparts(iou, same, inside, same_iou=0.5)
    pairs = [(i, j) for i, j in enumerate(found.of_own.tolist()) if j >= 0]
    assert [found.of_other[j] for _, j in pairs] == [i for i, _ in pairs]
    assert sum(found.of_other >= 0) == len(pairs)

    def worth(chosen: list[tuple[int, int]]) -> float:
        return sum(iou[i, j] + same[i, j] for i, j in chosen if iou[i, j] >= 0.5)

    short, long = sorted((n, m))
    ways = ([*zip(order, range(short), strict=True)] for order in permutations(range(long), short))
    best = max(worth([(a, b) if n == long else (b, a) for a, b in way]) for way in ways)
    assert worth(pairs) == pytest.approx(best)
    for i, j in pairs:
        assert iou[i, j] >= 0.5 or (same[i, j] and iou[i, j] > 0 and (iou[i, j] >= 0.05 or inside[i, j]))
