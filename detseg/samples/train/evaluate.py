"""How good a model is on scenes that it was not trained on, at their full 640x480 pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from detseg.geometry.masks import bitmap_to_mask
from detseg.metrics.detection import DetectionScore, score_annotations
from detseg.metrics.panoptic import PanopticQuality, panoptic_quality
from detseg.samples.scenes import SAMPLE_CLASSES, THING_NAMES, Scene, generate_scene
from detseg.samples.train.models import Task, build_processor
from detseg.types import Annotation, Box, ImageId, Instance, Region, RegionId, Size

_BATCH = 16


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """The score that counts for the task (box AP or PQ, in [0, 1]) and all that belongs to it."""

    headline: float
    detection: DetectionScore | None = None
    panoptic: PanopticQuality | None = None


def score_model(model: nn.Module, task: Task, seeds: Iterable[int]) -> HeldOutScore:
    """The box AP of a detector or the PQ of a segmenter on the scenes of those seeds."""
    processor = build_processor(task)
    truth: list[Annotation] = []
    guesses: list[Annotation] = []
    for scenes in _chunks(seeds):
        for scene in scenes:
            things = [i for i in scene.instances if task == "segmenter" or i.kind == "thing"]
            truth.append(_annotation(scene, "truth", things))
        found = _detect(model, processor, scenes) if task == "detector" else _segment(model, processor, scenes)
        guesses.extend(_annotation(s, "model", instances) for s, instances in zip(scenes, found, strict=True))
    if task == "detector":
        detection = score_annotations(truth, guesses, "bbox")
        return HeldOutScore(detection.ap or 0.0, detection=detection)
    panoptic = panoptic_quality(truth, guesses)
    return HeldOutScore(panoptic.all.pq or 0.0, panoptic=panoptic)


def _chunks(seeds: Iterable[int]) -> Iterator[list[Scene]]:
    scenes: list[Scene] = []
    for seed in seeds:
        scenes.append(generate_scene(seed))
        if len(scenes) == _BATCH:
            yield scenes
            scenes = []
    if scenes:
        yield scenes


def _annotation(scene: Scene, author: str, instances: Iterable[Instance]) -> Annotation:
    regions = tuple(
        Region(RegionId(f"{author}-{scene.seed}-{i}"), "model", instance) for i, instance in enumerate(instances)
    )
    state = "labeled" if regions else "empty"
    return Annotation(ImageId(f"seed:{scene.seed}"), scene.size, author, state, regions)


def _targets(scenes: list[Scene]) -> list[tuple[int, int]]:
    return [(s.size.height, s.size.width) for s in scenes]


@torch.no_grad()
def _detect(model: nn.Module, processor: object, scenes: list[Scene]) -> list[list[Instance]]:
    inputs = processor(images=[s.image for s in scenes], return_tensors="pt")
    answer = model(pixel_values=inputs["pixel_values"])
    results = processor.post_process_object_detection(answer, threshold=0.0, target_sizes=_targets(scenes))
    found = []
    for scene, result in zip(scenes, results, strict=True):
        boxes = result["boxes"].numpy().astype(np.float64)
        found.append(
            [
                Instance(THING_NAMES[label], "thing", box=_clipped(box, scene.size), score=min(1.0, score))
                for box, label, score in zip(
                    boxes, result["labels"].tolist(), result["scores"].tolist(), strict=True
                )
            ]
        )
    return found


def _clipped(xyxy: np.ndarray, size: Size) -> Box:
    x0, y0, x1, y1 = (float(v) for v in xyxy)
    x0, x1 = min(max(x0, 0.0), size.width), min(max(x1, 0.0), size.width)
    y0, y1 = min(max(y0, 0.0), size.height), min(max(y1, 0.0), size.height)
    return Box(x0, y0, max(x0, x1), max(y0, y1))


@torch.no_grad()
def _segment(model: nn.Module, processor: object, scenes: list[Scene]) -> list[list[Instance]]:
    inputs = processor(images=[s.image for s in scenes], return_tensors="pt")
    answer = model(pixel_values=inputs["pixel_values"])
    results = processor.post_process_panoptic_segmentation(
        answer, threshold=0.5, label_ids_to_fuse={len(THING_NAMES), len(THING_NAMES) + 1}, target_sizes=_targets(scenes)
    )
    found = []
    for result in results:
        owner = result["segmentation"].numpy()
        instances = []
        for segment in result["segments_info"]:
            kind = SAMPLE_CLASSES[segment["label_id"]]
            bitmap = owner == segment["id"]
            if bitmap.any():
                instances.append(Instance(kind.name, kind.kind, mask=bitmap_to_mask(bitmap), score=segment["score"]))
        found.append(instances)
    return found
