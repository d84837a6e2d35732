"""The protocol of predictors, and the border where every answer of one is checked. Knows no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, get_args

from detseg.errors import ImageError, ModelError
from detseg.geometry.boxes import clip_box
from detseg.plurals import format_count
from detseg.taxonomy import Taxonomy
from detseg.types import Box, DecodedImage, Embedding, ImageId, Instance, Mask, ModelVersion, SeenBy, Size

EngineName = Literal["auto", "eager", "compile"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
COMPILE_FROM = 500
"""Number of images from which the time to compile (20 to 60 s) is won back: 180 to 620 on the machines seen,
see docs/benchmarks.md."""

LONGEST_VERSION = 200
"""Letters of a model version, as many as the catalog keeps."""

OVERSHOOT_PX = 1.0
"""The pixels by which a box may stick out of its image (rounding) before it counts as a broken contract."""


@dataclass(frozen=True, slots=True)
class PredictorOptions:
    """The options that a user can choose. What changes an answer is part of the model version.

    ``device`` is auto, cpu, cuda, cuda:N or mps; ``engine`` auto, eager or compile; ``precision`` auto,
    float32, bfloat16 or float16 (see ``detseg.models.engine``). ``batch_size`` is the most images in one
    forward pass on an accelerator; a CPU takes one at a time. ``box_threshold`` and ``mask_threshold`` are
    the lowest scores of a box and of a mask. ``pixel_threshold`` is the probability from which a pixel
    belongs to a mask, ``overlap_threshold`` the share of its pixels that a mask must win against the others.
    From ``match_iou`` on, a box and a mask of one label are one instance. ``strict`` refuses a model with a
    label that the taxonomy does not know. ``class_box_thresholds`` and ``class_mask_thresholds`` hold, by
    name or alias, the lowest scores of classes that have their own: of a box, and of a mask without a box.
    """

    device: str = "auto"
    engine: EngineName = "auto"
    precision: Precision = "auto"
    batch_size: int = 4
    box_threshold: float = 0.5
    mask_threshold: float = 0.5
    pixel_threshold: float = 0.5
    overlap_threshold: float = 0.8
    match_iou: float = 0.5
    strict: bool = False
    class_box_thresholds: Mapping[str, float] = field(default_factory=dict)
    class_mask_thresholds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ModelError(f"batch_size is at least 1, not {self.batch_size}: set it to 1 or more")
        names = ("box_threshold", "mask_threshold", "pixel_threshold", "overlap_threshold", "match_iou")
        shares = {name: getattr(self, name) for name in names}
        for name in ("class_box_thresholds", "class_mask_thresholds"):
            shares |= {f"{name} of {label!r}": value for label, value in getattr(self, name).items()}
        for name, value in shares.items():
            if not 0.0 <= value <= 1.0:
                raise ModelError(f"{name} is in [0, 1], not {value}: set it to a value in between")


class Predictor(Protocol):
    """A model, or several that answer as one. What implements this can be plugged in."""

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes that it can answer."""

    @property
    def version(self) -> ModelVersion:
        """Equal versions give equal answers, on every machine."""

    @property
    def detector(self) -> str:
        """The detector as the user named it; empty if there is none."""

    @property
    def segmenter(self) -> str:
        """The segmenter as the user named it; empty if there is none."""

    @property
    def unmapped(self) -> Mapping[str, int]:
        """Count, until now, the instances by label that no class of the taxonomy takes; those are left
        out."""

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        """One tuple of instances per image, in the order of the batch, each sorted as ``ordered`` does.

        Any number of images, none included. One image alone gets what it gets in a batch. An image that
        cannot be predicted is an ImageError for the whole batch (``predict_each`` finds out which).
        """


class StagedPredictor(Predictor, Protocol):
    """A predictor whose ``predict`` has three steps, which can overlap: prepare, forward, finish."""

    @property
    def window(self) -> int:
        """Return how many images to give at once, at best: those of one size among them run together."""

    def prepare(self, batch: Sequence[DecodedImage]) -> Any:
        """Make on the CPU what runs forward. Any thread; ImageError as in ``predict``."""

    def forward(self, prepared: Any) -> Any:
        """The raw outputs. One thread at a time."""

    def finish(self, batch: Sequence[DecodedImage], outputs: Any) -> tuple[tuple[Instance, ...], ...]:
        """The answer of ``predict`` for the batch that was prepared. Any thread."""


class AblePredictor(Predictor, Protocol):
    """A predictor that says what it can do beyond the contract; ``Abilities`` says that it is nothing."""

    @property
    def staged(self) -> StagedPredictor | None:
        """The same predictor in steps that can overlap; None if it answers in one."""

    @property
    def engines(self) -> Mapping[str, str]:
        """Say how the checkpoints run, by name."""

    @property
    def files(self) -> tuple[str, ...] | None:
        """Files that the version depends on beside the checkpoints; None if that is not known."""

    def expect(self, n_images: int) -> None:
        """Hear how many images are to come, for instance to find out whether compiling pays."""

    def in_float32(self) -> AblePredictor | None:
        """The same predictor in float32; None if it is."""

    def take_embedding(self, image: ImageId) -> Embedding | None:
        """Hand over the embedding of an image that was predicted just now, once; None if there is none."""


class Abilities:
    """No ability beyond the contract. Predictors of this package inherit it and replace what they have."""

    @property
    def files(self) -> tuple[str, ...] | None:
        return None

    @property
    def staged(self) -> StagedPredictor | None:
        return None

    @property
    def engines(self) -> Mapping[str, str]:
        return {}

    def expect(self, n_images: int) -> None:
        """Nothing to prepare for."""

    def in_float32(self) -> AblePredictor | None:
        return None

    def take_embedding(self, image: ImageId) -> Embedding | None:  # noqa: ARG002
        return None


def named_version(name: str, digest: str) -> ModelVersion:
    """``name@8hex``. A name that is too long, as that of many models together, is cut: the digest tells."""
    return ModelVersion(f"{name[: LONGEST_VERSION - 9]}@{digest[:8]}")


def predict_each(
    predictor: Predictor, batch: Sequence[DecodedImage]
) -> tuple[tuple[Instance, ...] | ImageError, ...]:
    """One checked answer per image, or the ImageError that keeps this image alone from having one.

    Where the batch fails, its images are predicted one by one. ModelError (not an image's fault) passes.
    """
    if not batch:
        return ()
    try:
        return check_answer(predictor, batch, predictor.predict(batch))
    except ImageError as error:
        if len(batch) == 1:
            return (error,)
    return tuple(answer for image in batch for answer in predict_each(predictor, (image,)))


def ordered(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Sorted by score, best first, then label, then box (those without one last), then mask."""
    return tuple(sorted(instances, key=_rank))


def check_answer(
    predictor: Predictor, batch: Sequence[DecodedImage], answer: Sequence[Sequence[Instance]]
) -> tuple[tuple[Instance, ...], ...]:
    """The answer, clipped by less than ``OVERSHOOT_PX`` and sorted; ModelError if it breaks the contract."""
    who = f"the predictor {predictor.version}"
    if len(answer) != len(batch):
        raise ModelError(
            f"{who} gave {format_count(len(answer), 'answer')} for "
            f"{format_count(len(batch), 'image')}: one each was expected"
        )
    checked = []
    for image, instances in zip(batch, answer, strict=True):
        where = f"{who}, image {image.ref.uri}"
        checked.append(
            ordered([_checked(one, image.size, predictor.taxonomy, where=where) for one in instances])
        )
    return tuple(checked)


def _checked(instance: Instance, size: Size, taxonomy: Taxonomy, *, where: str) -> Instance:
    cls = taxonomy.find(instance.label)
    if cls is None or cls.name != instance.label:
        raise ModelError(f"{where}: the label {instance.label!r} is none of its taxonomy's names")
    if cls.kind != instance.kind:
        raise ModelError(f"{where}: {instance.label!r} is {cls.kind} in its taxonomy, not {instance.kind}")
    if instance.kind == "stuff" and instance.box is not None:
        raise ModelError(f"{where}: {instance.label!r} is stuff and has a box; stuff has masks only")
    if instance.score is None or not math.isfinite(instance.score):
        raise ModelError(f"{where}: {instance.label!r} has the score {instance.score}, expected 0 to 1")
    if instance.seen_by not in get_args(SeenBy):
        known = ", ".join(get_args(SeenBy))
        raise ModelError(
            f"{where}: {instance.label!r} does not say which model saw it: seen_by is {instance.seen_by!r}, "
            f"expected one of {known}"
        )
    if instance.mask is not None and not isinstance(instance.mask, Mask):
        raise ModelError(
            f"{where}: the mask of {instance.label!r} is a {type(instance.mask).__name__}: "
            "detseg.geometry.masks.bitmap_to_mask makes a Mask of a bitmap"
        )
    if instance.mask is not None and instance.mask.size != size:
        raise ModelError(
            f"{where}: the mask of {instance.label!r} is {instance.mask.size}, the image is {size}"
        )
    if instance.box is None:
        return instance
    return replace(instance, box=_inside(instance.box, size, where=f"{where}: {instance.label!r}"))


def _inside(box: Box, size: Size, *, where: str) -> Box:
    overshoot = max(-box.x0, -box.y0, box.x1 - size.width, box.y1 - size.height)
    clipped = clip_box(box, size)
    if overshoot > OVERSHOOT_PX or clipped is None:
        raise ModelError(f"{where} has the box {box.xyxy}, which is empty or not inside {size}")
    return clipped


def _rank(instance: Instance) -> tuple[float, str, tuple[float, ...], tuple[int, ...]]:
    score = -1.0 if instance.score is None else instance.score
    box = instance.box.xyxy if instance.box else (math.inf,) * 4
    return (-score, instance.label, box, instance.mask.counts if instance.mask else ())
