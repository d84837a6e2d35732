"""Annotations as COCO's records, which the evaluation reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from detseg.geometry.boxes import box_to_xywh
from detseg.geometry.masks import mask_to_box
from detseg.metrics.coco_files import IouType
from detseg.metrics.pairs import pair_annotations
from detseg.types import Annotation, Instance

CocoRecord = dict[str, Any]


def annotations_to_coco(
    truth: Iterable[Annotation], predictions: Iterable[Annotation], iou_type: IouType
) -> tuple[dict[str, list[CocoRecord]], list[CocoRecord]]:
    """COCO's truth and results for the things on images that were reviewed and predicted.

    Images and classes are numbered from 1 in the order of their ids and names.
    """
    pairs = pair_annotations(truth, predictions)
    things = [(_things(pair.truth, iou_type), _things(pair.prediction, iou_type)) for pair in pairs]
    names = sorted({instance.label for sides in things for side in sides for instance, _ in side})
    category_ids = {name: k for k, name in enumerate(names, start=1)}
    images: list[CocoRecord] = []
    annotations: list[CocoRecord] = []
    results: list[CocoRecord] = []
    for image_id, (pair, (true, predicted)) in enumerate(zip(pairs, things, strict=True), start=1):
        size = pair.truth.size
        images.append({"id": image_id, "width": size.width, "height": size.height})
        for instance, shape in true:
            entry = {"image_id": image_id, "category_id": category_ids[instance.label], **shape}
            annotations.append({**entry, "id": len(annotations) + 1, "iscrowd": 0})
        for instance, shape in predicted:
            entry = {"image_id": image_id, "category_id": category_ids[instance.label], **shape}
            results.append({**entry, "score": 1.0 if instance.score is None else instance.score})
    categories: list[CocoRecord] = [{"id": k, "name": name} for name, k in category_ids.items()]
    return {"images": images, "categories": categories, "annotations": annotations}, results


def _things(annotation: Annotation, iou_type: IouType) -> list[tuple[Instance, CocoRecord]]:
    things: list[tuple[Instance, CocoRecord]] = []
    for region in annotation.regions:
        if region.instance.kind == "thing" and (shape := _shape(region.instance, iou_type)):
            things.append((region.instance, shape))
    return things


def _shape(instance: Instance, iou_type: IouType) -> CocoRecord | None:
    """What COCO wants to know about an instance; None if it has no such shape."""
    box, mask = instance.box, instance.mask
    if iou_type == "segm":
        if mask is None:
            return None
        size = [mask.size.height, mask.size.width]
        return {"segmentation": {"size": size, "counts": list(mask.counts)}, "area": float(mask.area)}
    if box is None and mask is not None:
        box = mask_to_box(mask)
    if box is None:
        return None
    return {"bbox": list(box_to_xywh(box)), "area": float(mask.area) if mask else box.area}
