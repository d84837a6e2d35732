import pytest

from detseg.metrics.overlaps import instance_iou_matrix, mask_iou_matrix
from detseg.metrics.segmentation import MaskFit, score_masks
from detseg.types import Box, Instance, Mask, Size
from tests.metrics.made import SIZE, annotation, block, boxed, masked


def test_iou_and_dice_of_matched_pairs_by_hand() -> None:
    truth = [
        masked("t1", "bolt", block(0, 0, 10, 10)),
        masked("t2", "nut", block(20, 0, 30, 10)),
        masked("t3", "nut", block(20, 15, 30, 25)),
    ]
    found = [
        masked("p1", "bolt", block(0, 0, 10, 8), score=0.9),  # 80 of 100: IoU 0.8
        masked("p2", "nut", block(20, 0, 30, 10), score=0.8),  # exact
        masked("p3", "nut", block(26, 15, 36, 25), score=0.7),  # 40 of 160: no pair
    ]
    score = score_masks([annotation(truth)], [annotation(found)])
    assert score.per_class["bolt"] == MaskFit(iou=0.8, dice=pytest.approx(160 / 180), n_pairs=1)
    assert score.per_class["nut"] == MaskFit(iou=1.0, dice=1.0, n_pairs=1)
    assert score.all.iou == pytest.approx(0.9)
    assert score.all.dice == pytest.approx((160 / 180 + 1) / 2)
    assert score.all.n_pairs == 2


def test_labels_must_agree_and_boxes_have_no_masks() -> None:
    truth = [annotation([masked("t", "bolt", block(0, 0, 10, 10))])]
    for found in (
        masked("p", "nut", block(0, 0, 10, 10), score=0.9),
        boxed("p", "bolt", (0, 0, 10, 10), 0.9),
    ):
        assert score_masks(truth, [annotation([found])]).all == MaskFit(None, None, 0)
    assert score_masks([], []).all == MaskFit(None, None, 0)


def test_mask_overlaps_at_the_edges() -> None:
    empty = Mask(SIZE, (SIZE.area,))
    full = Mask(SIZE, (0, SIZE.area))
    other_size = Mask(Size(10, 10), (0, 100))
    matrix = mask_iou_matrix([empty, full], [empty, full, other_size])
    assert matrix.tolist() == [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert mask_iou_matrix([], [full]).shape == (0, 1)
    assert mask_iou_matrix([full], []).shape == (1, 0)


def test_instances_overlap_by_their_masks_else_by_their_boxes() -> None:
    mask = Instance("bolt", "thing", mask=block(0, 0, 10, 10))
    both = Instance("bolt", "thing", mask=block(0, 0, 10, 5), box=Box(0, 0, 10, 10))
    box = Instance("bolt", "thing", box=Box(0, 0, 10, 5))
    nothing = Instance("bolt", "thing", mask=Mask(SIZE, (SIZE.area,)))
    matrix = instance_iou_matrix([mask, both, box], [both, box, nothing])
    assert matrix.tolist() == [[0.5, 0.5, 0.0], [1.0, 0.5, 0.0], [0.5, 1.0, 0.0]]
