"""The figures of a model on a split, by the house's own metrics, read the way every command reads a model."""

from __future__ import annotations

from collections.abc import Sequence

from detseg.metrics.detection import DetectionQuality, DetectionTally
from detseg.metrics.intervals import Estimate
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.findings import read_findings
from detseg.models.labels import LabelMap
from detseg.models.network import NetworkRequest
from detseg.models.networks.detection import Detection
from detseg.taxonomy import LabelClass
from detseg.training.batches import LabelIds
from detseg.training.plan import Best, ClassFigures, Figure, Reader
from detseg.training.tables import SampleTable
from detseg.types import Annotation, Instance, Region, RegionId

_ALL = NetworkRequest(
    boxes=True,
    masks=False,
    box_threshold=0.0,
    mask_threshold=0.5,
    pixel_threshold=0.5,
    overlap_threshold=0.8,
)
"""Boxes of every score count, as COCO's AP wants it."""


def tally_boxes(
    checkpoint: Checkpoint, table: SampleTable, read: Reader, *, classes: Sequence[LabelClass], engine: Engine
) -> DetectionTally:
    """Take in what a model in evaluation mode finds in every image of a table, and what people say."""
    labels = LabelMap({i: cls.name for i, cls in enumerate(classes)}, dict(enumerate(classes)))
    truth_of = LabelIds({cls.name: i for i, cls in enumerate(classes)})
    network, tally = Detection(checkpoint, _ALL, engine), DetectionTally("bbox")
    for sample in (table[position] for position in range(len(table))):
        image, truth = read(sample), sample.annotation()
        (seen,) = network.read(network.run(network.prepare([image])), [image.size])
        found = read_findings(seen, labels, image.size).instances
        tally.add_pair(
            _annotation(truth, "truth", truth_of.things(sample)), _annotation(truth, "model", found)
        )
    return tally


def _annotation(image: Annotation, author: str, instances: Sequence[Instance]) -> Annotation:
    regions = tuple(Region(RegionId(str(i)), "model", instance) for i, instance in enumerate(instances))
    return Annotation(image.image, image.size, author, "labeled" if regions else "empty", regions)


def to_best(quality: DetectionQuality, *, step: int) -> Best:
    """The figures of a training's best weights."""
    per_class = {
        name: ClassFigures(_figure(score.ap, quality.ap_per_class.get(name)), score.ap50, score.n_truth)
        for name, score in quality.score.per_class.items()
    }
    score = quality.score
    return Best(step, _figure(score.ap, quality.ap), _figure(score.ap50, quality.ap50), per_class)


def _figure(value: float | None, estimate: Estimate | None) -> Figure:
    """The figure with its interval, however wide that is."""
    known = estimate if estimate is None or estimate.rough is None else estimate.rough
    return Figure(value) if known is None else Figure(value, known.low, known.high)
