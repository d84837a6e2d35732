"""The nouns of detseg: frozen, small, without I/O. Every other room speaks in these.

Coordinates are pixels of the upright image (EXIF orientation applied), x to the right and y down,
half-open: a box that covers the first pixel only is ``Box(0, 0, 1, 1)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NewType, get_args

import numpy as np
import numpy.typing as npt

from detseg.run_lengths import string_to_counts

ImageId = NewType("ImageId", str)
"""``"sha256:"`` + hex digest of the encoded bytes: the only join key between the rooms."""

ModelVersion = NewType("ModelVersion", str)
"""``name@8hex``: a hash over weights, preprocessing, thresholds, label mapping and revision."""

RegionId = NewType("RegionId", str)

Kind = Literal["thing", "stuff"]
"""A thing can be counted (bolt); stuff cannot (belt)."""

SeenBy = Literal["both", "detector", "segmenter"]
"""The model that saw an instance; what only one of two saw deserves a look first."""

State = Literal["unlabeled", "labeled", "empty", "skipped"]
"""``empty`` means that a person looked and found nothing; ``skipped`` that they declined."""

RegionOrigin = Literal["model", "person"]

EditKind = Literal["kept", "moved", "reshaped", "relabeled", "deleted", "added"]
EDIT_KINDS: tuple[EditKind, ...] = get_args(EditKind)

Arm = Literal["assisted", "control", "decoy", "gold"]
"""The way in which annotators get an image.

``assisted``: with the model's regions; ``control``: without any, so that time and quality by hand are known;
``decoy``: with wrong regions planted among the model's; ``gold``: with the model's regions, on an image whose
truth is known.
"""
ARMS: tuple[Arm, ...] = get_args(Arm)

DecoyKind = Literal["label", "shift", "nothing"]
"""The mistake in a decoy: the label of a copy of one of the model's regions, the place of such a copy, or
everything, since nothing is there."""
DECOY_KINDS: tuple[DecoyKind, ...] = get_args(DecoyKind)


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height of an upright image, in pixels, both at least 1."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a size has at least 1x1 pixels, not {self.width}x{self.height}")

    @property
    def area(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle ``x0 <= x1``, ``y0 <= y1`` in pixels, half-open."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if -math.inf < self.x0 <= self.x1 < math.inf and -math.inf < self.y0 <= self.y1 < math.inf:
            return
        if not all(map(math.isfinite, self.xyxy)):
            raise ValueError(f"a box has finite corners, not {self.xyxy}")
        raise ValueError(f"a box has x0 <= x1 and y0 <= y1, not {self.xyxy}")

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return (self.x0, self.y0, self.x1, self.y1)

    @property
    def area(self) -> float:
        return (self.x1 - self.x0) * (self.y1 - self.y0)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Mask:
    """A binary mask as COCO run lengths.

    ``runs`` are the lengths of alternating runs in column-major order, background first (so a mask that
    starts with foreground starts with 0), and they sum to ``size.area``. Or they are COCO's compressed string
    of these, which was checked to do so: most masks are handed on, and never decoded.
    ``detseg.geometry.masks`` converts from and to bitmaps and that string.
    """

    size: Size
    runs: tuple[int, ...] | str
    _decoded: tuple[int, ...] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if isinstance(self.runs, str):
            return
        if sum(self.runs) != self.size.area:
            raise ValueError(
                f"run lengths of a {self.size} mask sum to {self.size.area}, not {sum(self.runs)}"
            )
        if self.runs and min(self.runs) < 0:
            raise ValueError("run lengths are not negative")

    @property
    def counts(self) -> tuple[int, ...]:
        """The run lengths; decoded once."""
        if not isinstance(self.runs, str):
            return self.runs
        if self._decoded is None:
            object.__setattr__(self, "_decoded", string_to_counts(self.runs))
        assert self._decoded is not None
        return self._decoded

    @property
    def area(self) -> int:
        """Number of foreground pixels."""
        return sum(self.counts[1::2])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return self.size == other.size and (self.runs == other.runs or self.counts == other.counts)

    def __hash__(self) -> int:
        return hash((self.size, self.counts))

    def __repr__(self) -> str:
        return f"Mask({self.size!r}, {self.counts!r})"


@dataclass(frozen=True, slots=True)
class Instance:
    """One object (``thing``) or one surface (``stuff``).

    A thing that a detector and a segmenter both saw is one instance with a box and a mask; stuff has a
    mask and no box. ``score`` is in [0, 1], and ``None`` where a person drew it.
    """

    label: str
    kind: Kind
    box: Box | None = None
    mask: Mask | None = None
    score: float | None = None
    seen_by: SeenBy | None = None

    def __post_init__(self) -> None:
        if self.box is None and self.mask is None:
            raise ValueError(f"an instance ({self.label}) has a box, a mask or both")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"a score is in [0, 1], not {self.score}")


@dataclass(frozen=True, slots=True)
class Region:
    """An instance with an identity in Label Studio. ``origin`` says who drew it first."""

    id: RegionId
    origin: RegionOrigin
    instance: Instance


@dataclass(frozen=True, slots=True)
class Decoy:
    """A wrong region that was planted among a model's on purpose, to see whether people find it."""

    kind: DecoyKind
    region: Region


@dataclass(frozen=True, slots=True)
class Annotation:
    """The regions that an author (a model version or a person) sees in one image.

    Predictions and reviews are both annotations, so metrics, export and report have one input type.
    """

    image: ImageId
    size: Size
    author: str
    state: State
    regions: tuple[Region, ...] = ()
    lead_time_s: float | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """A person's change of one region. ``iou`` is between before and after, ``None`` for one-sided edits."""

    kind: EditKind
    before: Region | None
    after: Region | None
    iou: float | None = None


@dataclass(frozen=True, slots=True)
class ImageRef:
    """An image by content: where it was found (``uri``) and what its bytes hash to (``id``)."""

    id: ImageId
    uri: str


@dataclass(frozen=True, slots=True)
class SeenTask:
    """A task as its server shows it: its number, when the server made it, and the image that it names.

    The number alone says nothing: servers give numbers of deleted tasks to later ones.
    """

    id: int
    created_at: datetime
    image: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or object as a listing shows it. Equal entries mean that the bytes need not be read again.

    ``byte_size`` is -1 and ``stamp`` (time of change, ETag, generation) empty where the listing does not say.
    ``metadata`` is what the source says about the image, a JSON object with sorted keys; empty for nothing.
    """

    uri: str
    byte_size: int = -1
    stamp: str = ""
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be used, and why."""

    uri: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """An upright image in memory. ``rgb`` is uint8 of shape (height, width, 3), not to be written to."""

    ref: ImageRef
    size: Size
    rgb: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.rgb.shape != (self.size.height, self.size.width, 3) or self.rgb.dtype != np.uint8:
            raise ValueError(
                f"rgb is uint8 of shape {(self.size.height, self.size.width, 3)}, "
                f"not {self.rgb.dtype} of shape {self.rgb.shape}"
            )


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """An image's pixels in short, by which near duplicates are found; see ``detseg.images.fingerprints``.

    ``hash`` are 8 bytes, ``thumbnail`` is uint8 in grey, rows first.
    """

    hash: bytes
    thumbnail: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """An image as a backbone sees it: float16 of shape (D,), of length 1.

    Only embeddings of one ``model`` (``name@8hex``, a hash over its weights) can be compared.
    """

    model: str
    values: npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True, eq=False)
class ImageFeatures:
    """The features of an image that are kept beside its predictions; not every model gives an embedding."""

    image: ImageId
    fingerprint: Fingerprint
    embedding: Embedding | None = None
