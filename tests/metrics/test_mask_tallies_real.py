"""The tallies on COCO's own masks, which overlap, touch the border and come in pieces, pixel by pixel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pycocotools.coco import COCO
from scipy import ndimage

from detseg.geometry.masks import mask_to_bitmap, string_to_counts
from detseg.metrics.mask_tallies import SegmentationTally
from detseg.types import Annotation, Mask, Region, Size
from tests.metrics.made import annotation, masked
from tests.metrics.test_mask_tallies import case

N_IMAGES = 25

Bools = npt.NDArray[np.bool_]


@dataclass
class Sums:
    truth: int = 0
    predicted: int = 0
    shared: int = 0
    edges: list[int] = field(default_factory=lambda: [0, 0])  # shared, united


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> list[tuple[Annotation, Annotation]]:
    folder = shared_data / "cocoapi"
    truth = COCO(folder / "instances_val2014_100.json")
    found = truth.loadRes(str(folder / "instances_val2014_fakesegm100_results.json"))
    return [
        (as_annotation(truth, image), as_annotation(found, image))
        for image in truth.loadImgs(sorted(truth.getImgIds())[:N_IMAGES])
    ]


def as_annotation(coco: COCO, image: Mapping[str, Any]) -> Annotation:
    regions: list[Region] = []
    size = Size(image["width"], image["height"])
    for entry in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
        label = coco.cats[entry["category_id"]]["name"]
        counts = coco.annToRLE(entry)["counts"]  # bytes of what it encoded, str as in the file
        mask = Mask(size, string_to_counts(counts if isinstance(counts, str) else counts.decode()))
        regions.append(masked(str(entry["id"]), label, mask, score=entry.get("score")))
    return annotation(regions, image=f"sha256:{image['id']}", size=size)


def label_bitmaps(one: Annotation) -> dict[str, Bools]:
    """The pixels of each label; the owner of a pixel is the last one painted."""
    owners = np.zeros((one.size.height, one.size.width), dtype=np.int64)
    masks = [(region.instance, region.instance.mask) for region in one.regions if region.instance.mask]
    order = sorted(
        range(len(masks)),
        key=lambda i: (-1.0 if masks[i][0].score is None else -masks[i][0].score, masks[i][1].area, i),
    )
    for i in reversed(order):
        owners[mask_to_bitmap(masks[i][1])] = i + 1
    bitmaps: dict[str, Bools] = {}
    for i, (instance, _) in enumerate(masks):
        bitmaps[instance.label] = bitmaps.get(instance.label, np.zeros(owners.shape, bool)) | (
            owners == i + 1
        )
    return bitmaps


def boundary(bitmap: Bools, distance: int) -> Bools:
    inside: Bools = ndimage.minimum_filter(bitmap, 2 * distance + 1, mode="constant", cval=False)
    return bitmap & ~inside


def test_pixels_and_boundaries_of_real_masks(pairs: list[tuple[Annotation, Annotation]]) -> None:
    tally, expected = SegmentationTally(), defaultdict[str, Sums](Sums)
    for truth, found in pairs:
        tally.add(case(truth, found))
        true, predicted = label_bitmaps(truth), label_bitmaps(found)
        nothing = np.zeros((truth.size.height, truth.size.width), dtype=bool)
        distance = max(1, round(float(0.02 * np.hypot(truth.size.width, truth.size.height))))
        for label in {**true, **predicted}:
            sides = true.get(label, nothing), predicted.get(label, nothing)
            edges = [boundary(side, distance) for side in sides]
            sums = expected[label]
            sums.truth += int(sides[0].sum())
            sums.predicted += int(sides[1].sum())
            sums.shared += int((sides[0] & sides[1]).sum())
            sums.edges[0] += int((edges[0] & edges[1]).sum())
            sums.edges[1] += int((edges[0] | edges[1]).sum())
    per_class = tally.result().per_class
    assert len(per_class) > 20
    for label, pixels in per_class.items():
        sums = expected[label]
        assert (pixels.n_truth_px, pixels.n_predicted_px, pixels.n_shared_px) == (
            *(sums.truth, sums.predicted),
            sums.shared,
        )
        assert pixels.boundary_iou == pytest.approx(sums.edges[0] / sums.edges[1], abs=1e-12)
