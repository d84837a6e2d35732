"""Reports to look at: sample scenes, a made-up model with known mistakes, and what was made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import numpy as np

from detseg.metrics.detection import confusion, precision_recall, score_annotations
from detseg.metrics.edits import find_edits, summarize_edits
from detseg.metrics.pairs import pair_annotations
from detseg.metrics.panoptic import panoptic_quality
from detseg.metrics.segmentation import score_masks
from detseg.report.first.data import GalleryItem, QaReport
from detseg.samples.scenes import SAMPLE_CLASSES, Scene, generate_scene
from detseg.taxonomy import Taxonomy
from detseg.types import (
    Annotation,
    Box,
    DecodedImage,
    ImageId,
    ImageRef,
    Instance,
    ModelVersion,
    Region,
    RegionId,
    Size,
)

TAXONOMY = Taxonomy(SAMPLE_CLASSES)
VERSION = ModelVersion("sample+sample@0123abcd")
SIZE = Size(240, 180)


@cache
def sample_items(n_images: int) -> tuple[GalleryItem, ...]:
    """Reviewed scenes. The model errs on every third thing: moved, relabeled, missed in turn."""
    return tuple(_item(seed) for seed in range(n_images))


def perfect(item: GalleryItem) -> GalleryItem:
    """The item as if the model had said what the person says."""
    prediction = replace(item.review, author=VERSION)
    return replace(item, prediction=prediction, edits=find_edits(prediction, item.review))


def make_report(
    items: Sequence[GalleryItem],
    *,
    title: str = "metal parts",
    simulated: bool = False,
    taxonomy: Taxonomy = TAXONOMY,
) -> QaReport:
    """The report on those images, measured as the pipeline does."""
    reviews = [item.review for item in items]
    predictions = [item.prediction for item in items]
    edits = summarize_edits(pair_annotations(reviews, predictions))
    return QaReport(
        title=title,
        created_at=datetime(2026, 11, 20, 12, 30, tzinfo=UTC),
        taxonomy=taxonomy,
        simulated=simulated,
        states={"labeled": len(items)},
        edits=edits,
        edits_per_version={VERSION: edits} if items else {},
        box=score_annotations(reviews, predictions, "bbox"),
        mask=score_masks(reviews, predictions),
        panoptic=panoptic_quality(reviews, predictions),
        confusion=confusion(reviews, predictions, "bbox", min_score=0.0),
        curves=precision_recall(reviews, predictions, "bbox"),
        lead_times_s=tuple(review.lead_time_s for review in reviews if review.lead_time_s is not None),
        gallery=tuple(items),
    )


def with_names(item: GalleryItem, names: dict[str, str], *, name: str, task_url: str | None) -> GalleryItem:
    """The item with other labels, another name and another link."""

    def rename(annotation: Annotation) -> Annotation:
        regions = tuple(
            replace(r, instance=replace(r.instance, label=names[r.instance.label]))
            for r in annotation.regions
        )
        return replace(annotation, regions=regions)

    prediction, review = rename(item.prediction), rename(item.review)
    return GalleryItem(name, item.load, prediction, review, find_edits(prediction, review), task_url)


def _item(seed: int) -> GalleryItem:
    scene = generate_scene(seed, SIZE)
    image = ImageId(f"sha256:{seed:064x}")
    ref = ImageRef(image, f"file:///scenes/scene-{seed}.png")
    predicted: list[Region] = []
    for n, instance in enumerate(scene.instances):
        mistaken = _mistake(instance, (n + seed) % 9)
        if mistaken is not None:
            predicted.append(Region(RegionId(f"{seed}-{n}"), "model", mistaken))
    reviewed = [
        Region(RegionId(f"{seed}-{n}"), "model", instance) for n, instance in enumerate(scene.instances)
    ]
    prediction = Annotation(image, SIZE, VERSION, "labeled", tuple(predicted))
    review = Annotation(image, SIZE, "reviewer", "labeled", tuple(reviewed), lead_time_s=5.0 + seed)
    edits = find_edits(prediction, review)
    task_url = f"http://127.0.0.1:8080/projects/1/data?task={seed}"
    return GalleryItem(f"scene-{seed}.png", lambda: _decode(scene, ref), prediction, review, edits, task_url)


def _decode(scene: Scene, ref: ImageRef) -> DecodedImage:
    return DecodedImage(ref, scene.size, np.ascontiguousarray(scene.image))


def _mistake(truth: Instance, turn: int) -> Instance | None:
    """What the model says instead of the truth; None if it misses it."""
    if truth.kind == "stuff" or truth.box is None:
        return replace(truth, score=0.99, seen_by="segmenter")
    said = replace(truth, score=0.9 - 0.05 * turn, seen_by="both")
    if turn == 0:
        return replace(said, box=Box(truth.box.x0 / 2, truth.box.y0, truth.box.x1, truth.box.y1))
    if turn == 3:
        return replace(said, label="nut" if truth.label != "nut" else "bolt", mask=None, seen_by="detector")
    return None if turn == 6 else said
