"""What is counted of a dataset's labels, beside pycocotools and numpy on bitmaps."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from detseg.datasets.figures import GRID, DatasetFigures, FigureTally, decode_figures
from detseg.geometry.masks import bitmap_to_mask
from detseg.pipeline.qa.figures_json import encode_figures
from detseg.types import Annotation, Box, Instance, Region, RegionId, Size
from tests.catalog.made import image_id

SIZE = Size(120, 100)


def said_of(number: int, instances: list[Instance], size: Size = SIZE) -> Annotation:
    regions = tuple(Region(RegionId(f"r{n}"), "person", one) for n, one in enumerate(instances))
    return Annotation(image_id(number), size, "anna", "labeled" if regions else "empty", regions)


def measure(*annotations: Annotation, split: str = "") -> DatasetFigures:
    tally = FigureTally()
    for said in annotations:
        tally.add(said, authors=(said.author,), split=split)
    return tally.result(("bolt", "nut"))


@st.composite
def boxes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    x0, y0 = draw(st.integers(0, SIZE.width - 1)), draw(st.integers(0, SIZE.height - 1))
    x1, y1 = draw(st.integers(x0 + 1, SIZE.width)), draw(st.integers(y0 + 1, SIZE.height))
    return x0, y0, x1, y1


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    bitmap = np.zeros((SIZE.height, SIZE.width), dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


@given(st.lists(st.lists(st.tuples(boxes(), st.booleans()), max_size=5), min_size=1, max_size=4))
def test_pixels_and_sizes_are_those_of_the_bitmaps(
    images: list[list[tuple[tuple[int, int, int, int], bool]]],
) -> None:
    annotations, covered, areas, cells = [], 0, [], Counter[tuple[int, int]]()
    for number, drawn in enumerate(images):
        instances, bitmaps = [], []
        for box, masked in drawn:
            if masked:
                bitmaps.append(rectangle(*box))
                instances.append(Instance("bolt", "thing", mask=bitmap_to_mask(bitmaps[-1])))
            else:
                instances.append(Instance("bolt", "thing", Box(*box)))
            areas.append(int(coco.area(coco.encode(np.asfortranarray(rectangle(*box), dtype=np.uint8)))))
            middle = ((box[1] + box[3]) / 2 / SIZE.height, (box[0] + box[2]) / 2 / SIZE.width)
            cells[min(7, int(middle[0] * GRID)), min(7, int(middle[1] * GRID))] += 1
        covered += int(np.any(bitmaps, axis=0).sum()) if bitmaps else 0
        annotations.append(said_of(number, instances))
    bolt = measure(*annotations).per_class["bolt"]
    n_masks = sum(masked for drawn in images for _, masked in drawn)
    assert bolt.n_objects == len(areas)
    assert bolt.n_masks == n_masks
    assert bolt.pixel_share == (pytest.approx(covered / (len(images) * SIZE.area)) if n_masks else None)
    assert bolt.sizes == {
        "small": sum(area < 1024 for area in areas),
        "medium": sum(1024 <= area < 9216 for area in areas),
        "large": sum(area >= 9216 for area in areas),
    }
    assert bolt.side_px.p50 == (pytest.approx(float(np.median(np.sqrt(areas)))) if areas else None)
    assert {(y, x): n for y, row in enumerate(bolt.positions) for x, n in enumerate(row) if n} == cells


def test_classes_splits_states_and_people_are_counted() -> None:
    tally = FigureTally()
    both = [Instance("bolt", "thing", Box(0, 0, 4, 4)), Instance("rust", "thing", Box(0, 0, 40, 40))]
    tally.add(said_of(0, both), authors=("anna", "ben"), split="train")
    tally.add(said_of(1, [both[0], both[0]]), authors=("anna",), split="val")
    tally.add(said_of(2, [], Size(60, 50)), authors=("ben",), split="val")
    figures = tally.result(("nut", "bolt"))
    assert list(figures.per_class) == ["nut", "bolt", "rust"]
    assert (figures.n_images, figures.n_objects) == (3, 4)
    assert figures.states == {"empty": 1, "labeled": 2}
    assert list(figures.splits.items()) == [("train", 1), ("val", 2)]
    assert figures.authors == {"anna": 2, "ben": 2}
    assert figures.per_class["bolt"].images_by_split == {"train": 1, "val": 1}
    assert figures.per_class["bolt"].objects_by_split == {"train": 1, "val": 2}
    assert figures.per_class["nut"].n_objects == 0
    assert figures.image_width_px.p50 == 120
    assert decode_figures(json.loads(json.dumps(encode_figures(figures)))) == figures


def test_nothing_is_figures_too() -> None:
    figures = measure()
    assert (figures.n_images, figures.n_objects, figures.image_width_px.p50) == (0, 0, None)
    assert figures.per_class["bolt"].pixel_share is None


def test_objects_outside_and_masks_of_another_size_break_nothing() -> None:
    wrong = Instance("bolt", "thing", mask=bitmap_to_mask(np.ones((2, 2), dtype=bool)))
    beyond = Instance("bolt", "thing", Box(SIZE.width, SIZE.height, SIZE.width + 9, SIZE.height + 9))
    bolt = measure(said_of(0, [wrong, beyond])).per_class["bolt"]
    assert (bolt.n_objects, bolt.pixel_share, bolt.positions[-1][-1]) == (2, 0.0, 1)
