from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.errors import ConfigError
from detseg.geometry.fusion import Fused, FusionOptions, ScoreRule, fuse_boxes

# Three models look at six objects of two labels: model, label, score, x0, y0, x1, y1.
SEEN = np.array(
    [
        (0, 1, 0.87, 0.24, 0.29, 0.51, 0.46),
        (0, 0, 0.81, 0.28, 0.27, 0.48, 0.49),
        (0, 0, 0.55, 0.27, 0.27, 0.48, 0.48),
        (0, 0, 0.59, 0.36, 0.55, 0.70, 0.87),
        (0, 0, 0.10, 0.35, 0.57, 0.70, 0.85),
        (0, 1, 0.40, 0.28, 0.35, 0.47, 0.65),
        (1, 1, 0.68, 0.47, 0.47, 0.75, 0.72),
        (1, 1, 0.10, 0.23, 0.28, 0.52, 0.44),
        (1, 0, 0.43, 0.30, 0.26, 0.51, 0.46),
        (1, 0, 0.31, 0.29, 0.26, 0.48, 0.50),
        (1, 1, 0.81, 0.47, 0.40, 0.73, 0.65),
        (1, 0, 0.98, 0.37, 0.58, 0.71, 0.84),
        (1, 0, 0.17, 0.36, 0.56, 0.72, 0.85),
        (2, 1, 0.85, 0.46, 0.47, 0.76, 0.69),
        (2, 1, 0.73, 0.44, 0.40, 0.74, 0.65),
        (2, 0, 0.33, 0.36, 0.56, 0.72, 0.85),
        (2, 1, 0.86, 0.30, 0.35, 0.46, 0.66),
        (2, 1, 0.76, 0.28, 0.34, 0.46, 0.64),
    ]
)
WEIGHTS = (2.0, 1.0, 1.5)
OPTIONS = FusionOptions(iou_threshold=0.55, skip_score=0.15)

LONE = (1, 0.24, 0.29, 0.51, 0.46)
TALL = (1, 0.28799, 0.34647, 0.46248, 0.65046)
PAIR = (1, 0.45819, 0.43545, 0.74627, 0.67554)
LEFT = (0, 0.28020, 0.26786, 0.48373, 0.48399)
WIDE = (0, 0.36347, 0.56276, 0.70818, 0.85488)
EXPECTED: dict[ScoreRule, list[tuple[float, tuple[float, ...]]]] = {
    "avg": [(0.71778, TALL), (0.64333, PAIR), (0.57667, LEFT), (0.47083, WIDE), (0.38667, LONE)],
    "max": [(0.87, LONE), (0.81, LEFT), (0.645, TALL), (0.6375, PAIR), (0.59, WIDE)],
    "box_and_model_avg": [
        (0.51364, WIDE),
        (0.50244, TALL),
        (0.42889, PAIR),
        (0.38667, LONE),
        (0.38444, LEFT),
    ],
    "absent_model_aware_avg": [
        (0.55143, PAIR),
        (0.53833, TALL),
        (0.51364, WIDE),
        (0.46133, LEFT),
        (0.38667, LONE),
    ],
}


def fuse(
    seen: np.ndarray, weights: tuple[float, ...] = WEIGHTS, options: FusionOptions = OPTIONS
) -> tuple[Fused, list[int]]:
    """The fused boxes and their labels."""
    models, labels = seen[:, 0].astype(int), seen[:, 1].astype(int)
    fused = fuse_boxes(seen[:, 3:], seen[:, 2], labels, models, weights=weights, options=options)
    return fused, [int(labels[members[0]]) for members in fused.members]


@pytest.mark.parametrize("rule", EXPECTED)
def test_it_is_the_authors(rule: ScoreRule) -> None:
    """The numbers are those of ensemble-boxes 1.0.9, whose dependency numba is not worth installing here.

    ::

        from ensemble_boxes import weighted_boxes_fusion

        of = [SEEN[SEEN[:, 0] == model] for model in range(3)]
        print(weighted_boxes_fusion(
            [rows[:, 3:].tolist() for rows in of], [rows[:, 2].tolist() for rows in of],
            [rows[:, 1].tolist() for rows in of],
            weights=[2, 1, 1.5], iou_thr=0.55, skip_box_thr=0.15, conf_type=rule,
        ))
    """
    fused, labels = fuse(SEEN, options=replace(OPTIONS, score_rule=rule))
    assert fused.scores == pytest.approx([score for score, _ in EXPECTED[rule]], abs=6e-6)
    assert labels == [box[0] for _, box in EXPECTED[rule]]
    assert fused.boxes == pytest.approx(np.array([box[1:] for _, box in EXPECTED[rule]]), abs=6e-6)


@st.composite
def sights(draw: st.DrawFn) -> np.ndarray:
    """Rows as in SEEN: some objects, each seen by some of three models; no two scores are equal."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(0, 24))
    corner = np.repeat(rng.random((n, 2)), 3, axis=0)[:n] * 0.7
    side = np.repeat(rng.random((n, 2)), 3, axis=0)[:n] * 0.2 + 0.1
    boxes = np.concatenate((corner, corner + side), axis=1) + rng.normal(0, 0.01, (n, 4))
    scores = rng.permutation(n) / max(n, 1)
    return np.column_stack((rng.integers(0, 3, n), rng.integers(0, 2, n), scores, boxes))


@given(sights(), st.sampled_from(list(EXPECTED)))
def test_every_box_that_is_not_skipped_is_in_one_cluster_of_its_label(
    seen: np.ndarray, rule: ScoreRule
) -> None:
    fused, _ = fuse(seen, options=replace(OPTIONS, score_rule=rule))
    members = sorted(i for cluster in fused.members for i in cluster)
    assert members == np.flatnonzero(seen[:, 2] >= OPTIONS.skip_score).tolist()
    assert all(len(set(seen[list(cluster), 1])) == 1 for cluster in fused.members)
    for box, cluster in zip(fused.boxes, fused.members, strict=True):  # a mean lies between
        corners = seen[list(cluster), 3:]
        assert np.all((box >= corners.min(axis=0) - 1e-12) & (box <= corners.max(axis=0) + 1e-12))
    assert np.all(np.diff(fused.scores) <= 0)


@given(sights(), st.randoms(use_true_random=False))
def test_order_and_scale_do_not_matter(seen: np.ndarray, random: object) -> None:
    weights = (1.0, 1.37, 0.73)  # no two weighted scores are equal either
    fused, labels = fuse(seen, weights)
    order = np.arange(len(seen))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = seen[order]
    shuffled[:, 3:] *= (640, 480, 640, 480)
    again, labels_again = fuse(shuffled, weights)
    assert again.scores == pytest.approx(fused.scores)
    by_place = np.argsort(fused.boxes[:, 0])  # equal scores come in the order of the input
    by_place_again = np.argsort(again.boxes[:, 0])
    boxes_again = again.boxes[by_place_again] / (640, 480, 640, 480)
    assert boxes_again == pytest.approx(fused.boxes[by_place], abs=1e-9)
    assert [labels_again[i] for i in by_place_again] == [labels[i] for i in by_place]


@pytest.mark.parametrize("rule", EXPECTED)
def test_models_that_agree_change_nothing(rule: ScoreRule) -> None:
    one = np.array([(0, 0, 0.7, 1.0, 2.0, 3.0, 4.0), (0, 1, 0.6, 1.0, 2.0, 3.0, 4.0)])
    other = one.copy()
    other[:, 0] = 1
    fused, labels = fuse(np.concatenate((one, other)), (1.0, 1.0), replace(OPTIONS, score_rule=rule))
    assert fused.boxes == pytest.approx(one[:, 3:])
    assert fused.scores == pytest.approx([0.7, 0.6])
    assert labels == [0, 1]
    assert fused.members == ((0, 2), (1, 3))


def test_what_one_of_two_models_saw_counts_half() -> None:
    fused, _ = fuse(np.array([(1, 0, 0.8, 1.0, 2.0, 3.0, 4.0)]), (1.0, 1.0))
    assert (fused.boxes.tolist(), fused.scores.tolist()) == ([[1.0, 2.0, 3.0, 4.0]], [0.4])


def test_what_scores_too_little_after_fusion_is_left_out() -> None:
    fused, _ = fuse(SEEN, options=replace(OPTIONS, min_score=0.5))
    assert fused.scores == pytest.approx([score for score, _ in EXPECTED["avg"][:3]], abs=6e-6)
    assert len(fused.boxes) == len(fused.members) == 3


def test_edges() -> None:
    nothing, labels = fuse(np.zeros((0, 7)))
    assert (nothing.boxes.shape, nothing.scores.shape, nothing.members, labels) == ((0, 4), (0,), (), [])
    flat, _ = fuse(np.array([(0, 0, 0.8, 1.0, 2.0, 1.0, 4.0)]))
    assert flat.members == ()
    zeros, _ = fuse(
        np.array([(0, 0, 0.0, 0.0, 0.0, 3.0, 4.0), (1, 0, 0.0, 0.0, 0.0, 3.0, 3.0)]),
        options=FusionOptions(),
    )
    assert (zeros.boxes.tolist(), zeros.scores.tolist()) == ([[0.0, 0.0, 3.0, 3.5]], [0.0])


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"iou_threshold is in \[0, 1\], not 55"):
        FusionOptions(iou_threshold=55)
