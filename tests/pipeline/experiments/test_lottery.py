from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from detseg.pipeline.experiments.lottery import Lottery
from detseg.types import ImageId

LOTTERY = Lottery("parts", 0, control_share=0.05, decoy_share=0.1)


def image(n: int) -> ImageId:
    return ImageId(f"sha256:{n:064x}")


def within(n_hits: int, n: int, share: float) -> bool:
    """Whether that many hits are likely: by chance alone less than one test in a million would fail."""
    return bool(binomtest(n_hits, n, share).pvalue > 1e-6)


@pytest.mark.parametrize("seed", [0, 1, 7, 1_000_003])
@pytest.mark.parametrize("shares", [(0.05, 0.0), (0.05, 0.1), (0.5, 0.5), (0.0, 0.0), (1.0, 0.0)])
def test_shares_hold(seed: int, shares: tuple[float, float]) -> None:
    lottery = Lottery("parts", seed, *shares)
    counts = Counter(lottery.arm(image(n)) for n in range(5_000))
    assert within(counts["control"], 5_000, shares[0])
    assert within(counts["decoy"], 5_000, shares[1])
    assert counts["gold"] == 0


@given(n=st.integers(0, 2**256 - 1), seed=st.integers(), control=st.floats(0, 0.5), decoy=st.floats(0, 0.5))
def test_an_image_falls_into_the_same_arm_whatever_is_around_it(
    n: int, seed: int, control: float, decoy: float
) -> None:
    arms = {Lottery("parts", seed, control, decoy).arm(image(n)) for _ in range(3)}
    assert len(arms) == 1


@given(n=st.integers(0, 10_000), more=st.floats(0, 0.45))
def test_a_larger_share_takes_from_the_assisted_alone(n: int, more: float) -> None:
    before = LOTTERY.arm(image(n))
    more_control = replace(LOTTERY, control_share=LOTTERY.control_share + more)
    more_decoys = replace(LOTTERY, decoy_share=LOTTERY.decoy_share + more)
    for after in (more_control.arm(image(n)), more_decoys.arm(image(n))):
        assert after == before or before == "assisted"


def test_projects_and_seeds_draw_independently() -> None:
    ids = [image(n) for n in range(5_000)]
    other = replace(LOTTERY, project="others", control_share=0.5)
    seeded = replace(LOTTERY, seed=1, control_share=0.5)
    mine = replace(LOTTERY, control_share=0.5)
    for others in (other, seeded):
        same = sum((mine.arm(one) == "control") == (others.arm(one) == "control") for one in ids)
        assert within(same, 5_000, 0.5)


def test_purposes_draw_independently_and_uniformly() -> None:
    draws = [(LOTTERY.draw(image(n), "a"), LOTTERY.draw(image(n), "b")) for n in range(5_000)]
    assert all(0.0 <= value < 1.0 for pair in draws for value in pair)
    assert within(sum(a < 0.3 for a, _ in draws), 5_000, 0.3)
    assert within(sum(a < 0.5 and b < 0.5 for a, b in draws), 5_000, 0.25)
