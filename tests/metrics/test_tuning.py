"""Thresholds and maps of scores, chosen by labeled images and taken only where they help others."""

from __future__ import annotations

import numpy as np
import pytest

from detseg.metrics.costs import CostModel
from detseg.metrics.tuning import RegionTally, ShownRegions, fit_maps, tune
from tests.metrics.made import annotation, boxed

COSTS = CostModel()


def regions(
    rng: np.random.Generator,
    *,
    n_images: int = 60,
    per_image: int = 12,
    power: float = 1.0,
    n_labels: int = 2,
) -> ShownRegions:
    """Regions that people leave as often as their score to that power says; the others are no objects."""
    n = n_images * per_image
    score = np.round(rng.beta(1.5, 1.5, n) * 0.94 + 0.05, 3)
    left = rng.random(n) < score**power
    return ShownRegions(
        labels=tuple("ab"[:n_labels]),
        n_images=n_images,
        label=rng.integers(0, n_labels, n),
        image=np.repeat(np.arange(n_images), per_image),
        score=score,
        left=left,
        gain_s=np.where(left, COSTS.check_s - COSTS.box_by_hand_s, COSTS.check_s),
    )


def in_use(threshold: float) -> dict[str, float]:
    return {"a": threshold, "b": threshold}


def test_scores_become_how_often_regions_are_left() -> None:
    maps = fit_maps(regions(np.random.default_rng(0), n_images=300, power=3.0))
    for label in "ab":
        for score in (0.3, 0.5, 0.8):
            assert maps[label].probability(score) == pytest.approx(score**3, abs=0.06)


def test_what_is_right_as_often_as_it_says_is_left_alone() -> None:
    found = tune(regions(np.random.default_rng(1)), in_use(0.2))
    assert (found.maps, found.thresholds) == ({}, {})
    assert found.seconds.low is not None


def test_a_threshold_is_taken_where_it_saves_on_images_that_had_no_say() -> None:
    found = tune(regions(np.random.default_rng(2)), in_use(0.9))
    assert found.seconds.has_fallen
    for label in "ab":  # a look costs a fifth of a drawing
        assert found.thresholds[label] == pytest.approx(0.2, abs=0.2)


def test_maps_move_the_thresholds_to_their_own_scale() -> None:
    made = regions(np.random.default_rng(3), n_images=200, power=3.0)
    found = tune(made, in_use(0.58))  # 0.58 cubed is a fifth: nothing to save
    assert found.score_error.has_fallen
    kept = {label: made.score[made.label == k] >= 0.58 for k, label in enumerate("ab")}
    for label, was in kept.items():
        scores = made.score[made.label == "ab".index(label)]
        now = np.array([found.maps[label].probability(score) for score in scores]) >= found.thresholds[label]
        assert np.mean(was == now) > 0.9


def test_few_images_change_nothing() -> None:
    found = tune(regions(np.random.default_rng(4), n_images=9, power=3.0), in_use(0.9))
    assert (found.maps, found.thresholds, found.seconds.value) == ({}, {}, None)


def test_a_rare_class_shares_the_threshold_of_all() -> None:
    made = regions(np.random.default_rng(5))
    rare = np.arange(len(made.label)) % 100 == 0
    label = np.where(rare, 1, 0)
    found = tune(
        ShownRegions(made.labels, made.n_images, label, made.image, made.score, made.left, made.gain_s),
        in_use(0.9),
    )
    assert found.thresholds["b"] == pytest.approx(0.2, abs=0.2)


def test_what_is_not_shown_has_to_be_drawn() -> None:
    tally = RegionTally(COSTS)
    truth = [boxed("t", "bolt", (0, 0, 20, 20)), boxed("u", "bolt", (22, 0, 40, 20))]
    found = [
        boxed("a", "bolt", (0, 0, 20, 20), 0.9),
        boxed("b", "bolt", (22, 0, 40, 14), 0.7),
        boxed("c", "bolt", (0, 22, 9, 30), 0.6),
    ]
    tally.add(annotation(truth), annotation(found, author="m@1"))
    made = tally.regions()
    assert made.left.tolist() == [True, False, False]
    assert made.gain_s.tolist() == [7.0 - 35.0, 42.0 - 35.0, 7.0]
