"""Made-up detections: cases of few images whose objects collide, and what pycocotools says of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detseg.formats.coco_entries import IouType
from detseg.geometry.boxes import box_to_xywh
from detseg.geometry.masks import mask_to_bitmap
from detseg.metrics.cases import Case
from detseg.types import Annotation, Arm, ImageId, Instance, ModelVersion, Region, Size
from tests.metrics.made import annotation, block, boxed, masked

Json = dict[str, Any]

SQUARE = Size(200, 200)

FIGURES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
)


def make_case(
    truth: Sequence[Region] | None,
    found: Sequence[Region],
    *,
    image: str = "sha256:1",
    size: Size = SQUARE,
    arm: Arm = "assisted",
    decoys: Sequence[Region] = (),
) -> Case:
    """What a model found on an image and what a person says; None where nobody has."""
    return Case(
        ImageId(image),
        f"{image}.jpg",
        1,
        "",
        arm,
        ModelVersion("m@1"),
        annotation(found, image=image, author="m@1", size=size, state="labeled"),
        () if truth is None else (annotation(truth, image=image, size=size),),
        tuple(decoys),
    )


@st.composite
def detection_cases(draw: st.DrawFn, *, shape: IouType = "bbox", ties: bool = True) -> list[Case]:
    """Cases in any order, of 1 to 4 images and 1 to 3 classes; doubled, shifted and mislabeled objects.

    Without ties, no two detections have one score.
    """
    labels = ["a", "b", "c"][: draw(st.integers(1, 3))]
    side = st.sampled_from([4, 20, 22, 40, 60, 100])
    corner = st.tuples(st.integers(0, 30), st.integers(0, 30), side, side)
    thing = st.tuples(st.sampled_from(labels), corner)
    scores = iter(draw(st.permutations(range(1, 100))))

    def make(id_: str, label: str, xywh: tuple[int, int, int, int], score: float | None) -> Region:
        x, y, width, height = xywh
        corners = (x, y, x + width, y + height)
        if shape == "bbox":
            return boxed(id_, label, corners, score)
        return masked(id_, label, block(*corners, size=SQUARE), score=score)

    cases = []
    for i in range(draw(st.integers(1, 4))):
        true = draw(st.lists(thing, max_size=5))
        near = [
            (
                draw(st.sampled_from([label, label, *labels])),
                (x + draw(st.sampled_from([0, 1, 3, 8])), y, w, h),
            )
            for label, (x, y, w, h) in true * draw(st.integers(0, 2))
        ]
        found = draw(st.permutations([*near, *draw(st.lists(thing, max_size=4))]))
        score = [draw(st.integers(0, 8)) / 8 if ties else next(scores) / 100 for _ in found]
        cases.append(
            make_case(
                [make(f"t{n}", *one, None) for n, one in enumerate(true)],
                [make(f"p{n}", *one, score[n]) for n, one in enumerate(found)],
                image=f"sha256:{i}",
            )
        )
    return draw(st.permutations(cases))


def overlap(a: Instance, b: Instance) -> float:
    """The IoU of two instances, of their masks where both have one, else of their boxes: for oracles."""
    if a.mask and b.mask:
        first, second = mask_to_bitmap(a.mask), mask_to_bitmap(b.mask)
        union = (first | second).sum()
        return float((first & second).sum() / union) if union else 0.0
    assert a.box
    assert b.box
    width = min(a.box.x1, b.box.x1) - max(a.box.x0, b.box.x0)
    height = min(a.box.y1, b.box.y1) - max(a.box.y0, b.box.y0)
    both = max(width, 0.0) * max(height, 0.0)
    return both / (a.box.area + b.box.area - both)


def to_records(cases: Sequence[Case], iou_type: IouType) -> tuple[Json, list[Json]]:
    """The cases' things as a COCO dataset and results, ids from 1 in the order of ids and names."""
    cases = sorted(cases, key=lambda case: case.image)
    sides = [(case.truth, case.prediction) for case in cases if case.truth]
    names = sorted({i.label for both in sides for one in both for i in _instances(one)})
    dataset: Json = {
        "images": [],
        "annotations": [],
        "categories": [{"id": k, "name": name} for k, name in enumerate(names, start=1)],
    }
    results: list[Json] = []
    for image_id, (truth, prediction) in enumerate(sides, start=1):
        dataset["images"].append({"id": image_id, "width": truth.size.width, "height": truth.size.height})
        for instance in _instances(truth):
            entry = _entry(instance, iou_type)
            entry |= {"image_id": image_id, "category_id": names.index(instance.label) + 1}
            dataset["annotations"].append({**entry, "id": len(dataset["annotations"]) + 1, "iscrowd": 0})
        for instance in _instances(prediction):
            entry = _entry(instance, iou_type)
            del entry["area"]
            entry |= {"image_id": image_id, "category_id": names.index(instance.label) + 1}
            results.append({**entry, "score": instance.score})
    return dataset, results


def pycocotools_eval(truth: Json, results: Sequence[Json], iou_type: IouType) -> COCOeval:
    """pycocotools' own evaluation, summarized."""
    with contextlib.redirect_stdout(io.StringIO()):
        # It takes the truth id 0 for "not matched" (a known bug), so the truth counts from 1.
        annotations = [{**entry, "id": i + 1} for i, entry in enumerate(truth["annotations"])]
        index = COCO()
        index.dataset = {**truth, "annotations": annotations}
        index.createIndex()
        found = COCO()
        found.dataset = {**truth, "annotations": []}
        found.createIndex()
        if results:
            found = index.loadRes([dict(entry) for entry in results])
        evaluated = COCOeval(index, found, iou_type)
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    return evaluated


def pycocotools_stats(truth: Json, results: Sequence[Json], iou_type: IouType) -> list[float | None]:
    """The twelve figures; None where pycocotools says -1."""
    stats = pycocotools_eval(truth, results, iou_type).stats
    return [None if value == -1 else float(value) for value in stats]


def _instances(one: Annotation) -> list[Instance]:
    return [region.instance for region in one.regions if region.instance.kind == "thing"]


def _entry(instance: Instance, iou_type: IouType) -> Json:
    if iou_type == "bbox":
        assert instance.box is not None
        area = instance.mask.area if instance.mask else instance.box.area
        return {"bbox": list(box_to_xywh(instance.box)), "area": area}
    assert instance.mask is not None
    size = [instance.mask.size.height, instance.mask.size.width]
    rle = coco_mask.frPyObjects({"size": size, "counts": list(instance.mask.counts)}, *size)
    return {"segmentation": rle, "area": instance.mask.area}
