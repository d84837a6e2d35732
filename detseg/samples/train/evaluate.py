"""Evaluation of a model on scenes that it was not trained on, at their full 640x480 pixels.

What the raw output means is read by ``detseg.models``, the way every command reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from detseg.metrics.detection import DetectionScore, score_annotations
from detseg.metrics.panoptic import PanopticQuality, panoptic_quality
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.findings import read_findings
from detseg.models.labels import LabelMap
from detseg.models.network import NetworkRequest
from detseg.models.networks.detection import Detection
from detseg.models.networks.universal import Universal
from detseg.samples.checkpoints import Role
from detseg.samples.scenes import SAMPLE_CLASSES, Scene, generate_scene
from detseg.samples.train.models import build_processor
from detseg.taxonomy import LabelClass
from detseg.types import Annotation, DecodedImage, ImageId, ImageRef, Instance, Region, RegionId, State

_BATCH = 16


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """The figures of a model: ``detection`` of a detector, ``panoptic`` of a segmenter."""

    n_scenes: int
    detection: DetectionScore | None = None
    panoptic: PanopticQuality | None = None

    @property
    def headline(self) -> float:
        """The figure that counts, in [0, 1]: box AP, or PQ over all classes."""
        figure = self.detection.ap if self.detection else self.panoptic.all.pq if self.panoptic else None
        return figure or 0.0


def score_model(model: Any, role: Role, seeds: Iterable[int]) -> HeldOutScore:
    """The score of a model in evaluation mode on the scenes of those seeds.

    Boxes of every score count, as COCO's AP wants it; segments from a score of 0.5 on.
    """
    checkpoint = Checkpoint(f"sample {role}", model, build_processor(role))
    truth: list[Annotation] = []
    found: list[Annotation] = []
    for scenes in _chunks(seeds):
        truth.extend(_annotation(scene, "truth", scene.instances) for scene in scenes)
        answers = _predict(checkpoint, role, scenes)
        found.extend(_annotation(s, "model", answer) for s, answer in zip(scenes, answers, strict=True))
    if role == "detector":
        return HeldOutScore(len(truth), detection=score_annotations(truth, found, "bbox"))
    return HeldOutScore(len(truth), panoptic=panoptic_quality(truth, found))


def _chunks(seeds: Iterable[int]) -> Iterator[list[Scene]]:
    scenes: list[Scene] = []
    for seed in seeds:
        scenes.append(generate_scene(seed))
        if len(scenes) == _BATCH:
            yield scenes
            scenes = []
    if scenes:
        yield scenes


def _predict(checkpoint: Checkpoint, role: Role, scenes: Sequence[Scene]) -> list[tuple[Instance, ...]]:
    images = [DecodedImage(ImageRef(_image_id(s), _image_id(s)), s.size, s.image) for s in scenes]
    masks = role == "segmenter"
    wanted = NetworkRequest(
        boxes=not masks,
        masks=masks,
        box_threshold=0.0,
        mask_threshold=0.5,
        pixel_threshold=0.5,
        overlap_threshold=0.8,
        panoptic=True,
    )
    network = (Universal if masks else Detection)(checkpoint, wanted, Engine(torch.device("cpu")))
    classes = {
        i: LabelClass(c.name, c.kind, c.colour)
        for i, c in enumerate(SAMPLE_CLASSES)
        if masks or c.kind == "thing"
    }
    labels = LabelMap({i: cls.name for i, cls in classes.items()}, classes)
    detections = network.read(network.run(network.prepare(images)), [image.size for image in images])
    return [
        read_findings(seen, labels, image.size).instances
        for seen, image in zip(detections, images, strict=True)
    ]


def _image_id(scene: Scene) -> ImageId:
    return ImageId(f"scene {scene.seed}")


def _annotation(scene: Scene, author: str, instances: Iterable[Instance]) -> Annotation:
    regions = tuple(Region(RegionId(str(i)), "model", instance) for i, instance in enumerate(instances))
    state: State = "labeled" if regions else "empty"
    return Annotation(_image_id(scene), scene.size, author, state, regions)
