"""The figures of a model on a split, by ``detseg.metrics``, of answers that are read as in every command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from detseg.metrics.detection import DetectionQuality, DetectionTally
from detseg.metrics.intervals import Estimate
from detseg.metrics.mask_tallies import PanopticTally, SegmentationTally
from detseg.metrics.panoptic import PanopticScore
from detseg.models.checkpoints import Checkpoint, architecture_of
from detseg.models.engine import Engine
from detseg.models.families import FAMILIES
from detseg.models.findings import read_findings
from detseg.models.labels import LabelMap
from detseg.models.network import Network, NetworkRequest
from detseg.taxonomy import LabelClass
from detseg.training.batches import LabelIds
from detseg.training.plan import Best, ClassFigures, Figure, Reader
from detseg.training.tables import SampleTable
from detseg.types import Annotation, DecodedImage, Instance, Region, RegionId

_BOXES = NetworkRequest(
    boxes=True,
    masks=False,
    box_threshold=0.0,
    mask_threshold=0.5,
    pixel_threshold=0.5,
    overlap_threshold=0.8,
)
"""Boxes of every score count, as COCO's AP wants it."""

_SEGMENTS = replace(_BOXES, boxes=False, masks=True)
"""Segments as ``detseg predict`` shows them, for panoptic quality."""

_PIXELS = replace(_SEGMENTS, mask_threshold=0.0)
"""Every pixel counts as its likeliest class, however sure that is, as mIoU wants it."""

_FAINT = 0.05
"""The masks of things count for AP from this score on: fainter ones cost much and change little."""


@dataclass(frozen=True, slots=True)
class Split:
    """The images of a split as they are evaluated: what they show, and the classes that a model answers."""

    table: SampleTable
    read: Reader
    classes: tuple[LabelClass, ...]

    def labels_of(self, checkpoint: Checkpoint) -> LabelMap:
        """The classes by the numbers that they have in a model."""
        by_number = dict(enumerate(self.classes, min(checkpoint.labels)))
        return LabelMap({i: cls.name for i, cls in by_number.items()}, by_number)

    @property
    def ids(self) -> LabelIds:
        """The model's numbers by class."""
        return LabelIds({cls.name: i for i, cls in enumerate(self.classes)})

    @property
    def panoptic(self) -> bool:
        """There are surfaces among the classes."""
        return any(cls.kind == "stuff" for cls in self.classes)

    def images(self) -> Iterator[tuple[DecodedImage, Annotation]]:
        """Yield each image with what people said of it."""
        for sample in (self.table[position] for position in range(len(self.table))):
            yield self.read(sample), sample.annotation()


class Tally(Protocol):
    """The answers of a model to the images of a split, compared with the labels."""

    def score(self) -> Mapping[str, float | None]:
        """The figures, in [0, 1]; the first decides which weights are best."""

    def best(self, *, step: int) -> Best:
        """The same with their intervals and per class."""


@dataclass(frozen=True, slots=True)
class BoxTally:
    """Boxes: AP and AP50, as COCO has them."""

    boxes: DetectionTally

    def score(self) -> dict[str, float | None]:
        score = self.boxes.score()
        return {"ap": score.ap, "ap50": score.ap50}

    def best(self, *, step: int) -> Best:
        quality = self.boxes.result()
        per_class = {
            name: ClassFigures(figures, quality.score.per_class[name].n_truth)
            for name, figures in _average_precisions(quality).items()
        }
        return Best(step, _all_classes(quality), per_class)


@dataclass(frozen=True, slots=True)
class SegmentTally:
    """Segments: panoptic quality, and AP and AP50 of the masks of things."""

    segments: PanopticTally
    masks: DetectionTally

    def score(self) -> dict[str, float | None]:
        score = self.masks.score()
        return {"pq": self.segments.result().all.pq, "ap": score.ap, "ap50": score.ap50}

    def best(self, *, step: int) -> Best:
        panoptic, quality = self.segments.result(), self.masks.result()
        things = _average_precisions(quality)
        per_class = {
            name: ClassFigures({"pq": Figure(score.pq), **things.get(name, _NO_AP)}, _n_truth(score))
            for name, score in panoptic.per_class.items()
        }
        return Best(step, {"pq": _figure(panoptic.all.pq, panoptic.pq), **_all_classes(quality)}, per_class)


@dataclass(frozen=True, slots=True)
class PixelTally:
    """Pixels: mIoU, and the IoU of what is near a contour. ``n_truth`` are the masks of each class."""

    pixels: SegmentationTally
    n_truth: Counter[str] = field(default_factory=Counter)

    def score(self) -> dict[str, float | None]:
        means = self.pixels.result().all
        return {"miou": means.iou, "boundary_iou": means.boundary_iou}

    def best(self, *, step: int) -> Best:
        result = self.pixels.result()
        figures = {
            "miou": _figure(result.all.iou, result.miou),
            "boundary_iou": _figure(result.all.boundary_iou, result.boundary_iou),
        }
        per_class = {
            name: ClassFigures(
                {"miou": Figure(one.iou), "boundary_iou": Figure(one.boundary_iou)}, self.n_truth[name]
            )
            for name, one in result.per_class.items()
        }
        return Best(step, figures, per_class)


_NO_AP = {"ap": Figure(None), "ap50": Figure(None)}


def tally_boxes(checkpoint: Checkpoint, split: Split, engine: Engine) -> BoxTally:
    """Compare the boxes that a model in evaluation mode finds in every image with the labels."""
    network, tally = _network(checkpoint, _BOXES, engine), DetectionTally("bbox")
    labels = split.labels_of(checkpoint)
    for image, truth in split.images():
        found = _read(network, network.run(network.prepare([image])), image, labels)
        tally.add_pair(_things(split.ids.known(truth)), _annotation(truth, found))
    return BoxTally(tally)


def tally_segments(checkpoint: Checkpoint, split: Split, engine: Engine) -> SegmentTally:
    """Compare the segments that a model in evaluation mode finds in every image with the labels.

    Both figures read one pass: where there are surfaces among the classes, all share out the pixels for PQ;
    for AP each mask stands for itself.
    """
    shown = _network(checkpoint, replace(_SEGMENTS, panoptic=split.panoptic), engine)
    faint = _network(checkpoint, replace(_SEGMENTS, mask_threshold=_FAINT), engine)
    labels, tally = split.labels_of(checkpoint), SegmentTally(PanopticTally(), DetectionTally("segm"))
    for image, truth in split.images():
        output = faint.run(shown.prepare([image]))
        masks = _read(faint, output, image, labels)
        segments = _read(shown, output, image, labels)
        known = split.ids.known(truth)
        tally.segments.add_pair(known, _annotation(truth, segments))
        tally.masks.add_pair(known, _annotation(truth, masks))
    return tally


def tally_pixels(checkpoint: Checkpoint, split: Split, engine: Engine) -> PixelTally:
    """Compare the class that a model in evaluation mode gives each pixel with that of the labels."""
    labels, tally = split.labels_of(checkpoint), PixelTally(SegmentationTally())
    network = _network(checkpoint, _PIXELS, engine)
    for image, truth in split.images():
        found = _read(network, network.run(network.prepare([image])), image, labels)
        known = split.ids.known(truth)
        tally.pixels.add_pair(known, _annotation(truth, found))
        tally.n_truth.update(region.instance.label for region in known.regions)
    return tally


def _network(checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> Network:
    made: Any = FAMILIES[architecture_of(checkpoint.model)].network(checkpoint, wanted, engine)
    network: Network = made
    return network


def _read(network: Network, output: Any, image: DecodedImage, labels: LabelMap) -> tuple[Instance, ...]:
    (seen,) = network.read(output, [image.size])
    return read_findings(seen, labels, image.size).instances


def _things(truth: Annotation) -> Annotation:
    return replace(truth, regions=tuple(one for one in truth.regions if one.instance.kind == "thing"))


def _annotation(image: Annotation, instances: Sequence[Instance]) -> Annotation:
    regions = tuple(Region(RegionId(str(i)), "model", instance) for i, instance in enumerate(instances))
    return Annotation(image.image, image.size, "model", "labeled" if regions else "empty", regions)


def _all_classes(quality: DetectionQuality) -> dict[str, Figure]:
    score = quality.score
    return {"ap": _figure(score.ap, quality.ap), "ap50": _figure(score.ap50, quality.ap50)}


def _average_precisions(quality: DetectionQuality) -> dict[str, dict[str, Figure]]:
    return {
        name: {"ap": _figure(score.ap, quality.ap_per_class.get(name)), "ap50": Figure(score.ap50)}
        for name, score in quality.score.per_class.items()
    }


def _n_truth(score: PanopticScore) -> int:
    return score.tp + score.fn


def _figure(value: float | None, estimate: Estimate | None) -> Figure:
    """The figure with its interval, however wide that is."""
    known = estimate if estimate is None or estimate.rough is None else estimate.rough
    return Figure(value) if known is None else Figure(value, known.low, known.high)
