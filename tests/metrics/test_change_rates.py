"""Means of few are drawn to those of many, as far as the groups do not differ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.metrics.change_rates import credible_means

Floats = npt.NDArray[np.float64]


def shares(n: list[float], k: list[float], *, above: float) -> Floats:
    """The credible shares of groups of one parent."""
    counts, successes = np.array(n), np.array(k)[:, None]
    parent = np.zeros(len(n), dtype=np.intp)
    return credible_means(counts, successes, successes, parent=parent, above=np.array([[above]]))[:, 0]


GROUPS = st.lists(
    st.integers(0, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1, max_size=12
)


@given(GROUPS, st.floats(0.0, 1.0))
def test_it_lies_between_its_own_mean_and_that_above(groups: list[tuple[int, int]], above: float) -> None:
    n, k = [float(a) for a, _ in groups], [float(b) for _, b in groups]
    for own_n, own_k, share in zip(n, k, shares(n, k, above=above), strict=True):
        own = own_k / own_n if own_n else above
        assert min(own, above) - 1e-9 <= share <= max(own, above) + 1e-9


@given(GROUPS, st.randoms())
def test_the_order_of_groups_does_not_matter(groups: list[tuple[int, int]], random: object) -> None:
    order = list(range(len(groups)))
    random.shuffle(order)  # type: ignore[attr-defined]
    n, k = [float(a) for a, _ in groups], [float(b) for _, b in groups]
    there = shares(n, k, above=0.3)
    back = shares([n[i] for i in order], [k[i] for i in order], above=0.3)
    assert back == pytest.approx(there[order], abs=1e-9)


def test_groups_that_chance_alone_tells_apart_have_the_mean_above() -> None:
    assert shares([100.0] * 4, [50.0, 49.0, 51.0, 50.0], above=0.5).tolist() == [0.5] * 4
    assert shares([7.0], [7.0], above=0.5).tolist() == [0.5]  # one group tells nothing of how they differ
    assert shares([1.0, 1.0], [1.0, 0.0], above=0.5).tolist() == [0.5, 0.5]
    assert shares([0.0, 0.0], [0.0, 0.0], above=0.5).tolist() == [0.5, 0.5]
    assert shares([], [], above=0.5).tolist() == []


def test_the_prior_weighs_what_the_groups_were_drawn_with() -> None:
    """Shares from a Beta(4, 12): its 16 trials are found again, within what 4,000 groups tell."""
    rng = np.random.default_rng(0)
    n = rng.integers(5, 40, 4_000).astype(np.float64)
    k = rng.binomial(n.astype(int), rng.beta(4.0, 12.0, len(n))).astype(np.float64)
    lone = shares([*n, 16.0], [*k, 16.0], above=0.25)[-1]
    assert lone == pytest.approx((16.0 + 16.0 * 0.25) / 32.0, abs=0.02)


def test_it_errs_less_than_the_groups_own_means_and_than_the_mean_of_all() -> None:
    rng = np.random.default_rng(1)
    truth = rng.beta(2.0, 8.0, 500)
    n = rng.integers(1, 30, 500).astype(np.float64)
    k = rng.binomial(n.astype(int), truth).astype(np.float64)
    overall = float(k.sum() / n.sum())
    error = ((shares(n.tolist(), k.tolist(), above=overall) - truth) ** 2).mean()
    assert error < 0.8 * min(((k / n - truth) ** 2).mean(), ((overall - truth) ** 2).mean())


def test_groups_are_drawn_to_their_own_parent() -> None:
    n, k = (
        np.array([200.0, 200.0, 0.0, 200.0, 200.0, 0.0]),
        np.array([[20.0, 60.0, 0.0, 140.0, 180.0, 0.0]]).T,
    )
    parent = np.array([0, 0, 0, 1, 1, 1])
    found = credible_means(n, k, k, parent=parent, above=np.array([[0.2], [0.8]]))[:, 0]
    assert found[[2, 5]].tolist() == [0.2, 0.8]
    assert 0.1 < found[0] < 0.2 < found[1] < 0.3 < 0.7 < found[3] < 0.8 < found[4] < 0.9
