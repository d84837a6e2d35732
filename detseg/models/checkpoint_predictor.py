"""The predictor over transformers checkpoints: a detector, a segmenter, or both side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from detseg.models.checkpoints import Checkpoint
from detseg.models.combine import combine
from detseg.models.detection import detect
from detseg.models.labels import Findings, LabelMap
from detseg.models.predictor import PredictorOptions, check_answer
from detseg.models.segmentation import MaskOptions, segment
from detseg.taxonomy import Taxonomy
from detseg.types import DecodedImage, Instance, ModelVersion, Size


@dataclass(frozen=True, slots=True)
class Part:
    """A checkpoint, what its labels mean here, and (a segmenter's) whether it knows stuff."""

    checkpoint: Checkpoint
    labels: LabelMap
    panoptic: bool = False


class CheckpointPredictor:
    """A ``Predictor``. ``predict`` may be called from several threads."""

    def __init__(
        self,
        detector: Part | None,
        segmenter: Part | None,
        *,
        taxonomy: Taxonomy,
        version: ModelVersion,
        options: PredictorOptions,
    ) -> None:
        self._detector, self._segmenter = detector, segmenter
        self._options = options
        self._unmapped: Counter[str] = Counter()
        self._lock = Lock()
        self.taxonomy = taxonomy
        self.version = version

    @property
    def detector(self) -> str:
        return self._detector.checkpoint.name if self._detector else ""

    @property
    def segmenter(self) -> str:
        return self._segmenter.checkpoint.name if self._segmenter else ""

    @property
    def unmapped(self) -> Mapping[str, int]:
        """See ``Predictor.unmapped``; sorted by label."""
        with self._lock:
            return dict(sorted(self._unmapped.items()))

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        """See ``Predictor.predict``. Only images of one size run together: none is padded for another."""
        answers: list[tuple[Instance, ...]] = [()] * len(batch)
        unmapped: Counter[str] = Counter()
        for indices in _groups([image.size for image in batch], at_most=self._options.batch_size):
            images = [batch[i] for i in indices]
            for i, boxes, masks in zip(indices, self._detect(images), self._segment(images), strict=True):
                answers[i] = combine(boxes.instances, masks.instances, match_iou=self._options.match_iou)
                unmapped.update(boxes.unmapped + masks.unmapped)
        with self._lock:  # counted only now: a batch that failed is predicted again
            self._unmapped.update(unmapped)
        return check_answer(self, batch, answers)

    def _detect(self, images: Sequence[DecodedImage]) -> tuple[Findings, ...]:
        if self._detector is None:
            return (Findings((), Counter()),) * len(images)
        return detect(
            self._detector.checkpoint, self._detector.labels, images, threshold=self._options.box_threshold
        )

    def _segment(self, images: Sequence[DecodedImage]) -> tuple[Findings, ...]:
        if self._segmenter is None:
            return (Findings((), Counter()),) * len(images)
        options = MaskOptions(
            threshold=self._options.mask_threshold,
            pixel_threshold=self._options.pixel_threshold,
            overlap_threshold=self._options.overlap_threshold,
            panoptic=self._segmenter.panoptic,
        )
        return segment(self._segmenter.checkpoint, self._segmenter.labels, images, options=options)


def _groups(sizes: Sequence[Size], *, at_most: int) -> Iterator[list[int]]:
    """Positions of equal sizes, at most so many at a time, in the order in which the sizes first come."""
    by_size: dict[Size, list[int]] = {}
    for i, size in enumerate(sizes):
        by_size.setdefault(size, []).append(i)
    for indices in by_size.values():
        for start in range(0, len(indices), at_most):
            yield indices[start : start + at_most]
