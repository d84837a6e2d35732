"""The records that go into the catalog and come out of it, beyond the nouns of detseg.types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NewType

from detseg.types import (
    Annotation,
    Arm,
    Decoy,
    Entry,
    ImageId,
    Kind,
    ModelVersion,
    RegionId,
    SeenTask,
    Size,
)

ProjectKey = NewType("ProjectKey", int)
"""A project's number in the catalog; the server's own number is ``Project.server_id``."""

TaskState = Literal["intent", "pushed", "deleted", "imported"]
"""``intent``: about to be sent, or sent without an answer; ``deleted``: removed on the server; ``imported``:
labeled by a file, so that no task is made."""

IMPORTED_BY = "import:"
"""The author of labels that came from a file is called that, and the name of the import."""

NOTHING_SHOWN = ModelVersion("")
"""The model version of a task that somebody began to work on before it showed any."""

Stage = Literal["read", "predict", "push"]
"""The stage at which an image failed."""


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image that was read: what its bytes hash to, its upright size, and where it was found."""

    id: ImageId
    size: Size
    entry: Entry


@dataclass(frozen=True, slots=True)
class Project:
    """A Label Studio project. ``server_id`` and ``created_at`` (the server's) say which one it is.

    ``label_config`` is its labeling interface as it was last seen.
    """

    key: ProjectKey
    server_id: int
    url: str
    title: str
    created_at: datetime
    label_config: str


@dataclass(frozen=True, slots=True)
class Task:
    """An image in a project. ``task_id`` is the server's number, None where nothing is there (yet).

    ``created_at`` is when the server made it by the server's clock, or shortly after until it was read; None
    where neither is known.
    """

    project: ProjectKey
    image: ImageId
    task_id: int | None
    state: TaskState
    model_version: ModelVersion
    pushed_at: datetime | None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recognised:
    """The images of the tasks that are the catalog's, by number, and how many reviews turned out deleted."""

    images: Mapping[int, ImageId]
    n_reviews_gone: int


def is_same_task(image: str, created_at: datetime | None, seen: SeenTask) -> bool:
    """Tell whether what has a known task's number now is that task, rather than a later one.

    People may have edited what it says of its image, so the image decides where the moment is not known.
    """
    return seen.image == image if created_at is None else seen.created_at <= created_at


@dataclass(frozen=True, slots=True)
class Assignment:
    """The arm of an image in a project. An image without one is in the arm "assisted"."""

    image: ImageId
    arm: Arm
    decoys: tuple[Decoy, ...] = ()


@dataclass(frozen=True, slots=True)
class RegionOutline:
    """A region without its place: ``has_box`` and ``has_mask`` say what there would be to draw."""

    id: RegionId
    label: str
    kind: Kind
    score: float | None
    has_box: bool
    has_mask: bool


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """A task that shows a model's regions and that nobody has reviewed.

    ``shown`` is the text of ``detseg.labelstudio.shown`` that was recorded with the prediction, if any.
    """

    image: ImageId
    uri: str
    task_id: int
    model_version: ModelVersion
    regions: tuple[RegionOutline, ...]
    shown: str | None


@dataclass(frozen=True, slots=True)
class PossibleDuplicate:
    """An image that may be there twice: as two tasks (no ``version``), or with two predictions of a version.

    Its first request got no answer and was believed lost, so it was sent again at ``since``.
    """

    image: ImageId
    version: ModelVersion | None
    since: datetime


@dataclass(frozen=True, slots=True)
class ReviewRecord:
    """A person's review of a task. ``annotation_id`` and ``task_id`` are the server's numbers.

    ``created_at`` is the server's, or later than that where it was not said. ``annotation.updated_at`` is
    set; ``simulated`` marks the simulated reviewer's work. ``unread`` has a line for everything in it that
    could not be read: such a review is incomplete, nothing is measured with it.
    """

    annotation_id: int
    created_at: datetime
    task_id: int
    annotation: Annotation
    simulated: bool = False
    unread: tuple[str, ...] = ()

    @property
    def imported(self) -> bool:
        """True for a label that came from a file: nobody made it of what a model showed."""
        return self.annotation_id < 0


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A review in which something could not be read, and what."""

    task_id: int
    annotation_id: int
    unread: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReviewCounts:
    """The outcome of recording reviews. The first three sum to the number of reviews that were given.

    ``replaced`` are reviews that are marked as deleted because their numbers are others' now.
    """

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    replaced: int = 0


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An image that failed. ``image`` is None when its bytes could not even be read."""

    uri: str
    reason: str
    stage: Stage
    image: ImageId | None = None
    at: datetime | None = None


Answers = Literal["boxes", "masks", "both"]
"""What a model answers by itself."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A checkpoint as a training left it, and what it was made of.

    ``digest`` stands for the contents of the files below ``path``. ``parent`` is the registered model that
    ``base`` names, if it names one. ``figures`` are what ``training.json`` says, as an object of JSON.
    """

    digest: str
    path: str
    answers: Answers
    base: str
    dataset: str
    dataset_id: str
    seed: int
    steps: int
    seconds: float
    figures: Mapping[str, Any]
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class RegisteredModel(TrainedModel):
    """A trained model with its name, which no other has or had. A removed one is kept for its descendants."""

    name: str = field(kw_only=True)
    registered_at: datetime = field(kw_only=True)
    removed_at: datetime | None = field(default=None, kw_only=True)


PromotionKind = Literal["promoted", "forced", "rolled back"]
"""``promoted``: judged to be better; ``forced``: whatever the judgement says; ``rolled back``: the model
before it is the present one again."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """An entry of the log of promotions: from ``at`` on, ``model`` pre-annotates.

    ``model`` is None where it is those of the settings again. ``judgement`` is an object of JSON, None where
    nobody judged. Thresholds are the lowest scores by class, over the settings' own.
    """

    number: int
    model: str | None
    kind: PromotionKind
    at: datetime
    judgement: Mapping[str, Any] | None = None
    box_thresholds: Mapping[str, float] = field(default_factory=dict)
    mask_thresholds: Mapping[str, float] = field(default_factory=dict)
    score_maps: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """the numbers of ``models.score_maps.ScoreMap`` by class"""


@dataclass(frozen=True, slots=True)
class Look:
    """A judgement that used a split of a dataset version. ``result`` is an object of JSON.

    ``candidate`` and ``present`` are the two models, by what is equal only for equal models. ``images`` are
    the beginnings of the hashes of those that it looked at; None where an earlier detseg recorded it.
    """

    dataset_id: str
    split: str
    candidate: str
    present: str
    at: datetime
    result: Mapping[str, Any]
    images: frozenset[bytes] | None = None
