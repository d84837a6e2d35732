"""The predictor over checkpoints: a detector, a segmenter, both side by side, or one that is both.

Boxes of a detector and masks of a segmenter meet: what both saw is one instance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from detseg.geometry.boxes import box_iou_matrix, boxes_to_array
from detseg.geometry.extent import extent
from detseg.geometry.matching import match_by_label
from detseg.models.backbone import BackboneTap
from detseg.models.engine import Engine
from detseg.models.findings import Findings, boxes_of_masks, drop_faint, read_findings
from detseg.models.inputs import answering
from detseg.models.labels import LabelMap
from detseg.models.network import Network, Role
from detseg.models.predictor import Abilities, PredictorOptions, check_answer, ordered
from detseg.paging import pages
from detseg.taxonomy import Taxonomy
from detseg.types import DecodedImage, Embedding, ImageId, Instance, ModelVersion, Size

_WINDOW = 4
"""So many batches' images are looked at to find some of one size."""

_EMBEDDINGS_KEPT = 1024
"""The images whose embeddings are kept until somebody takes them: some batches are on their way at once."""


@dataclass(frozen=True, slots=True)
class Part:
    """A network, what its labels mean, and the checkpoints behind it, by role, as the user named them.

    ``tap`` has the embeddings of what runs through the network, if it gives any.
    """

    names: Mapping[Role, str]
    network: Network
    labels: LabelMap
    engine: Engine
    tap: BackboneTap | None = None

    @property
    def name(self) -> str:
        return " + ".join(dict.fromkeys(self.names.values()))


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A network's raw output about so many images, and their embeddings (n_images, D), if it gives any."""

    n_images: int
    output: Any
    embeddings: npt.NDArray[np.float16] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Images of one size that go through the networks together, and where they stood in the batch.

    ``inputs`` has one entry per part; so has ``outputs``, each of one run or several.
    """

    positions: tuple[int, ...]
    images: tuple[DecodedImage, ...]
    inputs: tuple[Any, ...]
    outputs: tuple[tuple[Run, ...], ...] = ()


class CheckpointPredictor(Abilities):
    """A ``StagedPredictor``. ``predict`` may be called from several threads; one at a time runs forward."""

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        taxonomy: Taxonomy,
        version: ModelVersion,
        options: PredictorOptions,
        in_float32: Callable[[], CheckpointPredictor] | None = None,
        files: tuple[str, ...] = (),
    ) -> None:
        """``in_float32`` makes the same predictor in float32, for one that is not. ``files`` are those of
        ``AblePredictor.files``."""
        self._in_float32, self._files = in_float32, files
        self._parts = tuple(parts)
        self._options = options
        self._largest_batch = min(part.engine.largest_batch or options.batch_size for part in parts)
        self._unmapped: Counter[str] = Counter()
        self._embeddings: dict[ImageId, Embedding] = {}
        self._counting, self._running = Lock(), Lock()
        self.taxonomy = taxonomy
        self.version = version

    @property
    def detector(self) -> str:
        return self._named("detector")

    @property
    def segmenter(self) -> str:
        return self._named("segmenter")

    @property
    def files(self) -> tuple[str, ...]:
        return self._files  # beside the checkpoints, whose folders and files the settings name

    @property
    def staged(self) -> CheckpointPredictor:
        return self

    @property
    def window(self) -> int:
        """See ``StagedPredictor.window``."""
        return 1 if self._largest_batch == 1 else _WINDOW * self._largest_batch

    @property
    def engines(self) -> Mapping[str, str]:
        """Say how the checkpoints run, by name: device, precision, compiled or not."""
        return {part.name: str(part.engine) for part in self._parts}

    def expect(self, n_images: int) -> None:
        """So many images are to come: enough of them repay what takes time once (see ``Engine.expect``)."""
        for part in self._parts:
            part.engine.expect(n_images)

    def in_float32(self) -> CheckpointPredictor | None:
        """The same weights in float32; None if this is float32."""
        return self._in_float32() if self._in_float32 else None

    @property
    def unmapped(self) -> Mapping[str, int]:
        """See ``Predictor.unmapped``; sorted by label."""
        with self._counting:
            return dict(sorted(self._unmapped.items()))

    def take_embedding(self, image: ImageId) -> Embedding | None:
        """See ``AblePredictor.take_embedding``."""
        with self._counting:
            return self._embeddings.pop(image, None)

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        """See ``Predictor.predict``. Only images of one size run together: none is padded for another.

        However many images there are, the inputs and outputs of one window are in memory.
        """
        answers: list[tuple[Instance, ...]] = []
        unmapped: Counter[str] = Counter()
        for some in pages(batch, self.window):
            answers += self._finished(some, self.forward(self.prepare(some)), unmapped)
        self._count(unmapped)
        return tuple(answers)

    def prepare(self, batch: Sequence[DecodedImage]) -> tuple[Group, ...]:
        """See ``StagedPredictor.prepare``."""
        groups = []
        for positions in _of_one_size([image.size for image in batch], at_most=self._largest_batch):
            images = tuple(batch[i] for i in positions)
            groups.append(Group(positions, images, tuple(_prepare(part, images) for part in self._parts)))
        return tuple(groups)

    def forward(self, prepared: Sequence[Group]) -> tuple[Group, ...]:
        """See ``StagedPredictor.forward``."""
        with self._running:
            return tuple(replace(group, inputs=(), outputs=self._outputs(group)) for group in prepared)

    def finish(
        self, batch: Sequence[DecodedImage], outputs: Sequence[Group]
    ) -> tuple[tuple[Instance, ...], ...]:
        """See ``StagedPredictor.finish``."""
        unmapped: Counter[str] = Counter()
        answers = self._finished(batch, outputs, unmapped)
        self._count(unmapped)
        return answers

    def _finished(
        self, batch: Sequence[DecodedImage], outputs: Sequence[Group], unmapped: Counter[str]
    ) -> tuple[tuple[Instance, ...], ...]:
        """The answers; what they leave out is added to ``unmapped``."""
        answers: list[tuple[Instance, ...]] = [()] * len(batch)
        for group in outputs:
            by_part = [
                _read(part, group, runs) for part, runs in zip(self._parts, group.outputs, strict=True)
            ]
            self._keep_embeddings(group)
            for i, *found in zip(group.positions, *by_part, strict=True):
                answers[i] = self._combine(found)
                for one in found:
                    unmapped.update(one.unmapped)
        return check_answer(self, batch, answers)

    def _keep_embeddings(self, group: Group) -> None:
        """Keep those of the first part that gives some of every image."""
        for part, runs in zip(self._parts, group.outputs, strict=True):
            values = [run.embeddings for run in runs if run.embeddings is not None]
            if part.tap is None or len(values) < len(runs):
                continue
            with self._counting:
                for image, row in zip(group.images, np.concatenate(values), strict=True):
                    self._embeddings[image.ref.id] = Embedding(part.tap.name, row)
                while len(self._embeddings) > _EMBEDDINGS_KEPT:
                    self._embeddings.pop(next(iter(self._embeddings)))
            return

    def _count(self, unmapped: Counter[str]) -> None:
        """Counts them at the end of a batch: one that fails is predicted again."""
        with self._counting:
            self._unmapped.update(unmapped)

    def _outputs(self, group: Group) -> tuple[tuple[Run, ...], ...]:
        pairs = zip(self._parts, group.inputs, strict=True)
        return tuple(tuple(_run(part, group.images, inputs)) for part, inputs in pairs)

    def _combine(self, found: Sequence[Findings]) -> tuple[Instance, ...]:
        """One answer from those of the parts; masks of a network alone bring their boxes with them."""
        answers = [one.instances for one in found]
        if self._options.class_box_thresholds or self._options.class_mask_thresholds:
            answers = [drop_faint(instances, self._options) for instances in answers]
        if len(answers) == 1:
            return ordered(boxes_of_masks(answers[0]) if self.segmenter else answers[0])
        detected, segmented = answers
        return combine(detected, segmented, match_iou=self._options.match_iou)

    def _named(self, role: Role) -> str:
        return next((part.names[role] for part in self._parts if role in part.names), "")


def _of_one_size(sizes: Sequence[Size], *, at_most: int) -> Iterator[tuple[int, ...]]:
    """Positions of equal sizes, at most so many at a time, in the order in which the sizes first come."""
    by_size: dict[Size, list[int]] = {}
    for i, size in enumerate(sizes):
        by_size.setdefault(size, []).append(i)
    for positions in by_size.values():
        for start in range(0, len(positions), at_most):
            yield tuple(positions[start : start + at_most])


def _prepare(part: Part, images: Sequence[DecodedImage]) -> Any:
    with answering(part.name, images):
        return part.network.prepare(images)


def _run(part: Part, images: Sequence[DecodedImage], inputs: Any) -> Iterator[Run]:
    """The raw outputs; what does not fit into an accelerator's memory runs again in two halves."""
    with answering(part.name, images):
        try:
            output = part.network.run(inputs)
            embeddings = part.tap.take(len(images)) if part.tap else None
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
            output = None
    if output is not None:
        yield Run(len(images), output, embeddings)
        return
    half = len(images) // 2
    for some in (images[:half], images[half:]):
        yield from _run(part, some, _prepare(part, some))


def _read(part: Part, group: Group, runs: Sequence[Run]) -> list[Findings]:
    """Read what a part says about every image of the group."""
    size = group.images[0].size
    with answering(part.name, group.images):
        return [
            read_findings(detections, part.labels, size)
            for run in runs
            for detections in part.network.read(run.output, [size] * run.n_images)
        ]


def combine(
    detected: Sequence[Instance], segmented: Sequence[Instance], *, match_iou: float
) -> tuple[Instance, ...]:
    """The instances of both, sorted; a thing that both saw is one, with its box, its mask and ``both``.

    A box and a mask are the same thing if they have one label and the IoU of the box with the mask's tight
    box is at least ``match_iou``; one-to-one, with the largest sum of IoUs. Such an instance has the
    detector's score. What only one of them saw stays as it is: nothing is invented, so a thing that only
    the segmenter saw has no box.
    """
    things = [one for one in segmented if one.kind == "thing"]
    iou = box_iou_matrix(
        boxes_to_array([extent(one) for one in detected]), boxes_to_array([extent(one) for one in things])
    )
    pairs = match_by_label(
        [one.label for one in detected], [one.label for one in things], iou, min_iou=match_iou
    )
    merged = {i: replace(detected[i], mask=things[j].mask, seen_by="both") for i, j in pairs}
    matched = {j for _, j in pairs}
    return ordered(
        [
            *(merged.get(i, one) for i, one in enumerate(detected)),
            *(one for j, one in enumerate(things) if j not in matched),
            *(one for one in segmented if one.kind == "stuff"),
        ]
    )
