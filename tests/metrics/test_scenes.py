from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detseg.errors import FormatError
from detseg.geometry.label_maps import map_to_array
from detseg.geometry.masks import bitmap_to_mask
from detseg.metrics.scenes import (
    Kinds,
    Scene,
    Segment,
    label_numbers,
    paint_annotation,
    paint_regions,
    paint_scene,
)
from detseg.types import Annotation, Kind, Region, Size
from tests.metrics.made import annotation, block, masked

SHAPE = (4, 5)
Bitmap = npt.NDArray[np.bool_]

KIND: st.SearchStrategy[Kind] = st.sampled_from(("thing", "stuff"))
SCORES = st.none() | st.sampled_from((0.25, 0.5, 1.0))
LABELS = {"thing": st.sampled_from(("bolt", "nut")), "stuff": st.sampled_from(("belt", "tray"))}


@st.composite
def annotations(draw: st.DrawFn) -> tuple[Annotation, list[Bitmap]]:
    regions: list[Region] = []
    bitmaps: list[Bitmap] = []
    for n in range(draw(st.integers(0, 5))):
        bitmaps.append(draw(arrays(np.bool_, SHAPE)))
        kind = draw(KIND)
        mask = bitmap_to_mask(bitmaps[-1])
        regions.append(masked(str(n), draw(LABELS[kind]), mask, score=draw(SCORES), kind=kind))
    return annotation(regions, size=Size(5, 4)), bitmaps


def owners_of(one: Annotation, bitmaps: list[Bitmap]) -> list[list[Region | None]]:
    """The best region of every pixel: by score, then things, then the smaller mask, then the earlier one."""

    def rank(n: int) -> tuple[float, bool, int, int]:
        instance = one.regions[n].instance
        score = 1.0 if instance.score is None else instance.score
        return -score, instance.kind == "stuff", int(bitmaps[n].sum()), n

    order = sorted(range(len(bitmaps)), key=rank)
    return [
        [next((one.regions[n] for n in order if bitmaps[n][y, x]), None) for x in range(SHAPE[1])]
        for y in range(SHAPE[0])
    ]


@given(annotations())
def test_the_best_region_owns_the_pixel(made: tuple[Annotation, list[Bitmap]]) -> None:
    expected = owners_of(*made)
    owners, regions = paint_regions(made[0])
    found = [[regions[n - 1] if n else None for n in row] for row in map_to_array(owners).tolist()]
    assert found == expected
    assert {region.id for region in regions} == {one.id for row in expected for one in row if one}


@given(annotations())
def test_segments_are_things_and_one_for_each_stuff_label(made: tuple[Annotation, list[Bitmap]]) -> None:
    expected = owners_of(*made)
    painting = paint_annotation(made[0])
    for found, row in zip(map_to_array(painting.owners).tolist(), expected, strict=True):
        for n, region in zip(found, row, strict=True):
            assert (n == 0) == (region is None)
            if region is not None:
                instance = region.instance
                assert painting.segments[n - 1] == Segment(instance.label, instance.kind)
    surfaces = [segment.label for segment in painting.segments if segment.kind == "stuff"]
    assert len(surfaces) == len(set(surfaces))
    things = {one.id for row in expected for one in row if one and one.instance.kind == "thing"}
    assert len(painting.segments) == len(surfaces) + len(things)


def test_owners_become_classes() -> None:
    segments = (Segment("nut", "thing"), Segment("bolt", "thing"), Segment("nut", "thing"))
    assert label_numbers(segments, ("bolt", "nut")).tolist() == [0, 2, 1, 2]
    assert label_numbers((), ()).tolist() == [0]


def scene(truth: dict[str, Kind], prediction: dict[str, Kind]) -> Scene:
    sides = []
    for kinds in (truth, prediction):
        regions = [
            masked(label, label, block(n, 0, n + 1, 5), kind=kind)
            for n, (label, kind) in enumerate(kinds.items())
        ]
        sides.append(annotation(regions))
    return paint_scene(*sides)


def test_the_kind_of_a_label_is_the_peoples_word_in_any_order() -> None:
    scenes = [
        scene({"belt": "stuff"}, {"belt": "thing", "bolt": "stuff"}),
        scene({"tray": "stuff"}, {"bolt": "thing"}),
        scene({"tray": "thing"}, {}),
    ]
    for order in (scenes, scenes[::-1]):
        kinds = Kinds()
        for one in order:
            kinds.add(one)
        assert kinds.by_label() == {"belt": "stuff", "bolt": "thing", "tray": "thing"}


def test_sides_of_two_sizes_are_named() -> None:
    with pytest.raises(FormatError, match=r"sha256:1 is 40x30 in its review, 20x15 in its prediction"):
        paint_scene(annotation(), annotation(size=Size(20, 15)))
