from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.segmentation import DiceScore, MeanIoU

from detseg.geometry.label_maps import array_to_map
from detseg.metrics.semantic import ClassPixels, PixelCounts, boundary_distance, count_pixels
from detseg.types import Size

Array = npt.NDArray[np.int64]
Pair = tuple[Array, Array]

N = 4
NAMES = ("air", "belt", "bolt", "nut")
FIGURES = ("accuracy", "iou", "dice", "boundary_iou")


def count(pairs: list[Pair]) -> PixelCounts:
    counts = PixelCounts()
    for true, found in pairs:
        counts.add(count_pixels(array_to_map(true), array_to_map(found), N), NAMES)
    return counts


def pairs_of(shape: tuple[int, int], most: int = N - 1) -> st.SearchStrategy[Pair]:
    maps = arrays(np.int64, shape, elements=st.integers(0, most))
    return st.tuples(maps, maps)


SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


def test_figures_by_hand() -> None:
    true, found = np.zeros((2, 10, 10), dtype=np.int64)
    true[:, :4] = 2
    found[:, :2], found[:2, 4] = 2, 3
    score = count([(true, found)]).score()
    bolt = score.per_class["bolt"]
    assert (bolt.n_truth_px, bolt.n_predicted_px, bolt.n_shared_px) == (40, 20, 20)
    assert (bolt.accuracy, bolt.iou, bolt.dice) == (0.5, 0.5, 2 / 3)
    assert score.per_class["nut"] == ClassPixels(None, 0.0, 0.0, 0.0, 0, 2, 0)
    air = score.per_class["air"]
    assert (air.accuracy, air.iou, air.dice) == (58 / 60, 58 / 80, 116 / 138)
    assert score.pixel_accuracy == 0.78
    assert score.mean_accuracy == pytest.approx((0.5 + 58 / 60) / 2)  # nut has no truth
    assert score.miou == pytest.approx((0.5 + 0 + 58 / 80) / 3)
    assert score.n_images == 1
    without = count([(true, found)]).score(without=("air",))
    assert list(without.per_class) == ["bolt", "nut"]
    assert (without.miou, without.pixel_accuracy) == (0.25, 0.78)


def test_perfect_is_one_and_nothing_is_undefined() -> None:
    array = np.arange(16).reshape(4, 4) % 3
    score = count([(array, array)]).score()
    for of_class in score.per_class.values():
        assert [getattr(of_class, figure) for figure in FIGURES] == [1.0] * 4
    assert list(score.per_class) == ["air", "belt", "bolt"]
    empty = PixelCounts().score()
    assert (empty.pixel_accuracy, empty.miou, empty.boundary_iou, empty.per_class) == (None, None, None, {})


@settings(deadline=None)
@given(SHAPES.flatmap(pairs_of))
def test_figures_are_those_of_torchmetrics(pair: Pair) -> None:
    score = count([pair]).score()
    true, found = (torch.tensor(array)[None] for array in pair)
    per_class = MeanIoU(num_classes=N, per_class=True, input_format="index")(found, true).tolist()
    dice = DiceScore(num_classes=N, average="none", input_format="index")(found, true).tolist()
    accuracy = MulticlassAccuracy(num_classes=N, average="none")(found, true).tolist()
    for n, name in enumerate(NAMES):
        if name in score.per_class:
            ours = score.per_class[name]
            assert (ours.iou, ours.dice) == pytest.approx((per_class[n], dice[n]), abs=1e-6)
            assert ours.accuracy is None or ours.accuracy == pytest.approx(accuracy[n], abs=1e-6)
    if len(score.per_class) == N:
        theirs = MeanIoU(num_classes=N, input_format="index")(found, true).item()
        assert score.miou == pytest.approx(theirs, abs=1e-6)
    micro = MulticlassAccuracy(num_classes=N, average="micro")(found, true).item()
    assert score.pixel_accuracy == pytest.approx(micro, abs=1e-6)


def boundary(bitmap: npt.NDArray[np.bool_], distance: int) -> npt.NDArray[np.bool_]:
    """``mask_to_boundary`` of boundary-iou-api: the mask without its erosion; a border is a contour."""
    eroded = ndimage.binary_erosion(np.pad(bitmap, 1), np.ones((3, 3)), iterations=distance)[1:-1, 1:-1]
    inside: npt.NDArray[np.bool_] = bitmap & ~eroded
    return inside


@st.composite
def pairs_of_blocks(draw: st.DrawFn) -> Pair:
    """Large pieces in images whose boundaries are 1 to 3 pixels wide."""
    height, width = draw(st.integers(2, 120)), draw(st.integers(2, 120))
    arrays = []
    for _ in range(2):
        array = np.full((height, width), draw(st.integers(0, N - 1)))
        for _ in range(draw(st.integers(0, 4))):
            x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
            block = array[y0 : y0 + draw(st.integers(1, 60)), x0 : x0 + draw(st.integers(1, 60))]
            block[:] = draw(st.integers(0, N - 1))
        arrays.append(array)
    return arrays[0], arrays[1]


@settings(deadline=None)
@given(pairs_of_blocks())
def test_boundary_iou_is_that_of_its_definition(pair: Pair) -> None:
    true, found = pair
    height, width = true.shape
    distance = max(1, round(float(0.02 * np.sqrt(height**2 + width**2))))
    assert boundary_distance(Size(width, height)) == distance
    score = count([pair]).score()
    for n, name in enumerate(NAMES):
        edges = boundary(true == n, distance), boundary(found == n, distance)
        union = (edges[0] | edges[1]).sum()
        ours = score.per_class[name].boundary_iou if name in score.per_class else None
        assert ours == (pytest.approx((edges[0] & edges[1]).sum() / union) if union else None)


@settings(deadline=None)
@given(SHAPES.flatmap(lambda shape: st.lists(pairs_of(shape), min_size=2, max_size=4)))
def test_images_add_up_in_any_order(pairs: list[Pair]) -> None:
    counts = count(pairs)
    assert count(pairs[::-1]).score() == counts.score()
    whole = tuple(np.concatenate(side) for side in zip(*pairs, strict=True))
    joined = count([(whole[0], whole[1])]).score()
    for name, pixels in counts.score().per_class.items():
        assert (pixels.iou, pixels.accuracy) == (joined.per_class[name].iou, joined.per_class[name].accuracy)
    assert sum(counts.confused.values()) == sum(true.size for true, _ in pairs)
    for (i, j), n in counts.confused.items():
        assert n == sum(
            int(((true == NAMES.index(i)) & (found == NAMES.index(j))).sum()) for true, found in pairs
        )


@given(SHAPES.flatmap(lambda shape: pairs_of(shape, most=N)))
def test_ignored_pixels_do_not_count(pair: Pair) -> None:
    true, found = pair[0], np.minimum(pair[1], N - 1)
    score = count([(true, found)]).score()
    kept = true < N
    assert sum(count([(true, found)]).confused.values()) == kept.sum()
    for n, name in enumerate(NAMES):
        pixels = score.per_class.get(name)
        expected = [((true == n) & kept).sum(), ((found == n) & kept).sum()]
        assert expected == ([pixels.n_truth_px, pixels.n_predicted_px] if pixels else [0, 0])
