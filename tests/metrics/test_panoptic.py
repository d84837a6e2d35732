from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.detection import PanopticQuality as Oracle

from detseg.errors import FormatError
from detseg.geometry.label_maps import map_to_array
from detseg.metrics.panoptic import PanopticScore, panoptic_quality
from detseg.metrics.scenes import paint_regions
from detseg.types import Annotation, Region, Size
from tests.metrics.made import annotation, block, boxed, masked
from tests.metrics.scene_maps import KINDS, NUMBERS, SceneMap, as_annotation, pairs_of_scenes


def painted(one: Annotation) -> tuple[npt.NDArray[np.int32], tuple[Region, ...]]:
    """The number of the region that owns each pixel, (H, W), and the regions; 0 where there is none."""
    owners, regions = paint_regions(one)
    return map_to_array(owners), regions


def test_quality_by_hand() -> None:
    truth = [masked("t1", "bolt", block(0, 0, 10, 10)), masked("t2", "bolt", block(20, 0, 30, 10))]
    found = [
        masked("p1", "bolt", block(0, 0, 10, 8), score=0.9),  # IoU 0.8: a match
        masked("p2", "bolt", block(20, 0, 25, 10), score=0.8),  # IoU 0.5: not above it
        masked("p3", "nut", block(0, 20, 10, 30), score=0.7),
    ]
    quality = panoptic_quality([annotation(truth)], [annotation(found)])
    bolt = PanopticScore(pq=pytest.approx(0.4), sq=0.8, rq=0.5, tp=1, fp=1, fn=1)
    assert quality.per_class == {"bolt": bolt, "nut": PanopticScore(0.0, 0.0, 0.0, tp=0, fp=1, fn=0)}
    assert quality.all.pq == pytest.approx(0.2)
    assert quality.things == quality.all
    assert quality.stuff == PanopticScore(None, None, None)


def test_a_perfect_prediction_is_one_and_nothing_is_undefined() -> None:
    scene = annotation([masked("a", "belt", block(0, 0, 40, 30), kind="stuff")])
    quality = panoptic_quality([scene], [scene])
    assert (quality.all.pq, quality.stuff.pq, quality.things.pq) == (1.0, 1.0, None)
    assert panoptic_quality([], []).all.pq is None
    assert panoptic_quality([annotation()], [annotation()]).all.pq is None


def test_what_a_person_deleted_is_a_false_alarm() -> None:
    found = [masked("p", "bolt", block(0, 0, 10, 10), score=0.9)]
    assert panoptic_quality([annotation()], [annotation(found)]).per_class["bolt"].fp == 1
    skipped = annotation(state="skipped")
    assert panoptic_quality([skipped], [annotation(found)]).per_class == {}


def test_every_pixel_has_one_owner() -> None:
    low = masked("low", "nut", block(0, 0, 20, 10), score=0.3)
    high = masked("high", "bolt", block(10, 0, 30, 10), score=0.9)
    hidden = masked("hidden", "nut", block(12, 2, 14, 4), score=0.2)
    owners, regions = painted(annotation([low, hidden, high, boxed("b", "nut", (0, 0, 5, 5), 0.9)]))
    assert [region.id for region in regions] == ["high", "low"]
    assert owners[5, 15] == 1
    assert owners[5, 5] == 2
    assert owners[20, 5] == 0
    assert np.bincount(owners.ravel()).tolist() == [40 * 30 - 300, 200, 100]


def test_a_persons_thing_lies_on_the_stuff_and_the_small_on_the_large() -> None:
    belt = masked("belt", "belt", block(0, 0, 40, 30), kind="stuff")
    gear = masked("gear", "nut", block(0, 0, 20, 20))
    bolt = masked("bolt", "bolt", block(5, 5, 10, 10))
    for order in ([belt, gear, bolt], [bolt, gear, belt]):
        owners, regions = painted(annotation(order))
        at = {region.id: n + 1 for n, region in enumerate(regions)}
        assert (owners[7, 7], owners[1, 1], owners[25, 35]) == (at["bolt"], at["gear"], at["belt"])


def test_a_mask_of_another_size_than_its_image_is_named() -> None:
    wrong = annotation([masked("r7", "bolt", block(0, 0, 5, 5, size=Size(10, 10)))])
    with pytest.raises(FormatError, match=r"sha256:1 is 40x30, the mask of its region r7 is 10x10"):
        panoptic_quality([wrong], [annotation()])


def test_regions_of_one_stuff_label_are_one_segment() -> None:
    truth = [
        masked("a", "belt", block(0, 0, 20, 30), kind="stuff"),
        masked("b", "belt", block(20, 0, 40, 30), kind="stuff"),
        masked("c", "bolt", block(0, 0, 10, 10)),
        masked("d", "bolt", block(30, 0, 40, 10)),
    ]
    found = [masked("p", "belt", block(0, 0, 40, 30), kind="stuff", score=0.9)]
    quality = panoptic_quality([annotation(truth)], [annotation(found)])
    assert quality.per_class["belt"] == PanopticScore(1000 / 1200, 1000 / 1200, 1.0, tp=1, fp=0, fn=0)
    assert quality.per_class["bolt"].fn == 2


def test_the_persons_word_on_the_kind_counts() -> None:
    mask = block(0, 0, 10, 10)
    found = annotation([masked("p", "belt", mask, score=0.9), masked("q", "nut", mask, score=0.8)])
    quality = panoptic_quality([annotation([masked("t", "belt", mask, kind="stuff")])], [found])
    assert (quality.stuff.pq, quality.things.pq) == (1.0, None)


# ---- torchmetrics as the oracle, on scenes that cover every pixel ----


def as_tensor(scene: SceneMap) -> torch.Tensor:
    owners, labels = scene
    categories = np.array([NUMBERS[label] for label in labels])[owners]
    things = np.array([KINDS[label] == "thing" for label in labels])[owners]
    return torch.tensor(np.stack([categories, np.where(things, owners, 0)], axis=-1))[None]


def check_against_torchmetrics(pairs: list[tuple[SceneMap, SceneMap]]) -> None:
    oracle = Oracle(things={2, 3}, stuffs={1, 4}, return_sq_and_rq=True)
    per_class = Oracle(things={2, 3}, stuffs={1, 4}, return_per_class=True)
    truth: list[Annotation] = []
    predictions: list[Annotation] = []
    for n, (true, found) in enumerate(pairs):
        truth.append(as_annotation(true, image=f"sha256:{n}", score=None))
        predictions.append(as_annotation(found, image=f"sha256:{n}", score=0.5))
        for each in (oracle, per_class):
            each.update(as_tensor(found), as_tensor(true))
    quality = panoptic_quality(truth, predictions)
    theirs = dict(zip(("bolt", "nut", "belt", "tray"), per_class.compute()[0].tolist(), strict=True))
    for label, pq in theirs.items():  # theirs is 0 for a class that nobody has
        assert (quality.per_class[label].pq if label in quality.per_class else 0.0) == pytest.approx(
            pq, abs=1e-6
        )
    if len(quality.per_class) == len(theirs):
        ours = (quality.all.pq, quality.all.sq, quality.all.rq)
        assert ours == pytest.approx(tuple(oracle.compute().tolist()), abs=1e-6)  # in float32


def test_quality_is_that_of_torchmetrics() -> None:
    pairs = pairs_of_scenes()
    truth = [as_annotation(true, image=f"sha256:{n}", score=None) for n, (true, _) in enumerate(pairs)]
    found = [as_annotation(found, image=f"sha256:{n}", score=0.5) for n, (_, found) in enumerate(pairs)]
    quality = panoptic_quality(truth, found)
    assert quality.all.tp > 20
    assert quality.things.fp > 5
    check_against_torchmetrics(pairs)


@st.composite
def scene_maps(draw: st.DrawFn, height: int, width: int) -> SceneMap:
    """Blocks of any label on a surface; stuff may come in several of them."""
    owners, labels = np.zeros((height, width), dtype=np.int64), ["belt"]
    for _ in range(draw(st.integers(0, 5))):
        x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        owners[y0 : y0 + draw(st.integers(1, height)), x0 : x0 + draw(st.integers(1, width))] = len(labels)
        labels.append(draw(st.sampled_from(sorted(KINDS))))
    return owners, labels


@settings(deadline=None)
@given(
    st.tuples(st.integers(2, 9), st.integers(2, 9)).flatmap(
        lambda shape: st.lists(st.tuples(scene_maps(*shape), scene_maps(*shape)), min_size=1, max_size=3)
    )
)
def test_quality_of_any_scene_is_that_of_torchmetrics(pairs: list[tuple[SceneMap, SceneMap]]) -> None:
    check_against_torchmetrics(pairs)
