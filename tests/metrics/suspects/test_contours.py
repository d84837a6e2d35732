"""Outlines: what triggers, and what nearly does."""

from __future__ import annotations

import numpy as np

from detseg.metrics.suspects.rules import RULE_OF
from detseg.types import Box
from tests.metrics.suspects.making import case, disc, mask, region, suspects


def drawn(bitmap: np.ndarray) -> list:  # type: ignore[type-arg]
    return [region("a", "bolt", mask=mask(bitmap))]


def with_block(bitmap: np.ndarray, x: int, y: int, side: int, *, value: bool) -> np.ndarray:
    changed = bitmap.copy()
    changed[y : y + side, x : x + side] = value
    return changed


def test_specks() -> None:
    object_ = disc(100, 75, 40)  # 2 % of it are 100 px
    (found,) = suspects(case(drawn(with_block(object_, 10, 20, 3, value=True))), "specks")
    assert found.reason == "1 piece of up to 9 px beside it"
    assert found.box == Box(10, 20, 13, 23)
    assert found.score == 0.5 * RULE_OF["specks"].cost
    assert suspects(case(drawn(with_block(object_, 10, 20, 5, value=True))), "specks")
    assert not suspects(
        case(drawn(with_block(object_, 10, 20, 6, value=True))), "specks"
    )  # a part of it behind another
    assert not suspects(case(drawn(object_)), "specks")


def test_what_another_region_cuts_off_is_no_speck() -> None:
    """The tray through the hole of a washer that lies on it, and a corner of it behind that washer."""
    washer = with_block(disc(40, 40, 20), 38, 38, 4, value=False)
    tray = with_block(disc(100, 75, 60), 0, 0, 60, value=False)
    tray = with_block(tray, 38, 38, 4, value=True)
    seen = [*drawn(tray), region("w", "washer", mask=mask(washer))]
    assert suspects(case(drawn(tray)), "specks")
    assert not suspects(case(seen), "specks")
    far = with_block(tray, 3, 140, 4, value=True)  # beside nothing
    (found,) = suspects(case([*drawn(far), seen[1]]), "specks")
    assert found.reason == "1 piece of up to 16 px beside it"
    assert found.box == Box(3, 140, 7, 144)
    on_it = with_block(tray, 28, 38, 4, value=True)  # on the washer itself
    (found,) = suspects(case([*drawn(on_it), seen[1]]), "specks")
    assert found.box == Box(28, 38, 32, 42)


def test_more_specks_are_surer() -> None:
    bitmap = disc(100, 75, 40)
    for x in range(5, 45, 8):
        bitmap = with_block(bitmap, x, 20, 2, value=True)
    (found,) = suspects(case(drawn(bitmap)), "specks")
    assert found.score == RULE_OF["specks"].cost


def test_holes() -> None:
    object_ = disc(100, 75, 50)  # 2 % of it are 157 px
    (found,) = suspects(case(drawn(with_block(object_, 95, 70, 4, value=False))), "holes")
    assert found.reason == "1 hole of up to 16 px in it"
    assert found.box == Box(95, 70, 99, 74)
    assert suspects(case(drawn(with_block(object_, 95, 70, 10, value=False))), "holes")
    assert not suspects(
        case(drawn(with_block(object_, 95, 70, 11, value=False))), "holes"
    )  # the eye of a needle
    open_ = object_.copy()
    open_[75:77, 100:] = False  # a slit, not a hole
    assert not suspects(case(drawn(open_)), "holes")


def test_what_holds_another_region_is_no_hole() -> None:
    bitmap = with_block(disc(100, 75, 50), 95, 70, 8, value=False)
    nut = region("n", "nut", (94, 69, 104, 79))
    assert suspects(case(drawn(bitmap)), "holes")
    assert not suspects(case([*drawn(bitmap), nut]), "holes")


def test_jagged() -> None:
    smooth = disc(100, 75, 40)
    chance = np.random.default_rng(0).random(smooth.shape) < 0.5
    rough = disc(100, 75, 38) | (disc(100, 75, 41) & chance)
    (found,) = suspects(case(drawn(rough)), "jagged")
    assert found.region == "a"
    assert not suspects(case(drawn(smooth)), "jagged")
    coarse = np.kron(smooth[::4, ::4], np.ones((4, 4), dtype=bool))[:150, :200]
    assert not suspects(case(drawn(coarse)), "jagged")  # as wide steps as its model's grid
    line = np.zeros_like(smooth)
    line[20, 10:190] = True
    assert not suspects(case(drawn(line)), "jagged")


def star() -> np.ndarray:
    rows, columns = np.mgrid[:150, :200]
    angle = np.arctan2(rows - 75, columns - 100)
    inside: np.ndarray = np.hypot(rows - 75, columns - 100) < 40 + 20 * np.cos(7 * angle)
    return inside


def test_over_smoothed() -> None:
    blob = disc(100, 75, 50)
    model = [region("m", "bolt", mask=mask(star()), score=0.9)]
    (found,) = suspects(case(drawn(blob), model), "over_smoothed")
    assert "of the model" in found.reason
    assert suspects(case(drawn(blob), others=[drawn(star())]), "over_smoothed")
    assert not suspects(case(drawn(blob)), "over_smoothed")  # nobody says that it is no disc
    assert not suspects(case(drawn(star()), model), "over_smoothed")
    unsure = [region("m", "bolt", mask=mask(star()), score=0.4)]
    assert not suspects(case(drawn(blob), unsure), "over_smoothed")


def test_a_jagged_mask_is_no_witness() -> None:
    chance = np.random.default_rng(0).random((150, 200)) < 0.5
    frayed = disc(100, 75, 46) | (disc(100, 75, 54) & chance)
    model = [region("m", "bolt", mask=mask(frayed), score=0.9)]
    assert not suspects(case(drawn(disc(100, 75, 50)), model), "over_smoothed")
