"""The report of a push, image by image."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from detseg.labelstudio.shapes import NOTHING_DRAWN, ShapeReport, shape_warnings, sum_reports
from detseg.types import Arm, Failure, ImageId, ImageRef

Status = Literal[
    "pushed",
    "added",
    "replaced",
    "present",
    "reviewed",
    "deleted",
    "held",
    "refused",
    "unpredicted",
    "duplicate",
]
"""``pushed``: a new task; ``added``: its task got a prediction beside others; ``replaced``: in their place;
``present``: nothing was to be done; ``reviewed``: as many people have labeled its task as are asked, so that
it gets no other prediction; ``deleted``: its task was deleted in Label Studio and stays so; ``held``:
somebody else has the image in the project or is about to push it; ``refused``: by us or the server, see the
reason; ``unpredicted``: the model version has no answer for it; ``duplicate``: it waits, because a near
duplicate of it is in the queue."""

STATUSES: tuple[Status, ...] = get_args(Status)

CHANGED: frozenset[Status] = frozenset(("pushed", "added", "replaced"))
"""Something was sent."""

SETTLED: frozenset[Status] = frozenset(("present", "reviewed"))
"""The image has its task and needs nothing more: it is counted, and not listed."""


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """The outcome of one image. ``reason`` says why where it was refused or something was left out,
    ``shapes`` what the regions that were sent are drawn as."""

    ref: ImageRef
    status: Status
    task_id: int | None = None
    reason: str = ""
    shapes: ShapeReport = NOTHING_DRAWN


SentStatus = Literal["pushed", "added", "replaced"]

_STATUSES: tuple[SentStatus, ...] = ("pushed", "added", "replaced")
_TAG = "sha256:"
_DIGEST_BYTES = 32
_NO_TASK = -1


class SentImages:
    """Collects images in the order in which they were sent.

    >>> sent = SentImages()
    >>> sent.add(ImageId("sha256:" + 64 * "0"), "added", 7)
    >>> [(image[:9], status, task) for image, status, task in sent]
    [('sha256:00', 'added', 7)]
    """

    def __init__(self) -> None:
        self._digests = bytearray()
        self._statuses = array("B")
        self._tasks = array("q")

    def add(self, image: ImageId, status: SentStatus, task_id: int | None) -> None:
        """One more; without a task where it would only be sent."""
        self._digests += bytes.fromhex(image.removeprefix(_TAG))
        self._statuses.append(_STATUSES.index(status))
        self._tasks.append(_NO_TASK if task_id is None else task_id)

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[tuple[ImageId, SentStatus, int | None]]:
        for place, (status, task) in enumerate(zip(self._statuses, self._tasks, strict=True)):
            digest = self._digests[place * _DIGEST_BYTES : (place + 1) * _DIGEST_BYTES]
            yield ImageId(_TAG + digest.hex()), _STATUSES[status], None if task == _NO_TASK else task

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SentImages) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class PushReport:
    """``project_id`` and ``url`` are Label Studio's. ``counts`` has every status.

    ``sent`` are the images that went as they were to go, ``outcomes`` say what became of those of which there
    is more to say. Images that need nothing (``SETTLED``) are counted alone. ``warnings`` are lines about the
    project as a whole, ``arms`` are all its tasks by how they are put before people.
    """

    project_id: int
    url: str
    counts: Mapping[Status, int] = field(default_factory=dict)
    sent: SentImages = field(default_factory=SentImages)
    outcomes: tuple[ImageOutcome, ...] = ()
    warnings: tuple[str, ...] = ()
    shapes: ShapeReport = NOTHING_DRAWN
    arms: Mapping[Arm, int] = field(default_factory=dict)

    @property
    def changed(self) -> dict[ImageId, tuple[Status, int | None]]:
        """The images of which something was sent: what became of them, and their tasks."""
        changed: dict[ImageId, tuple[Status, int | None]] = {
            image: (status, task) for image, status, task in self.sent
        }
        return changed | {
            one.ref.id: (one.status, one.task_id) for one in self.outcomes if one.status in CHANGED
        }

    @property
    def pushed(self) -> tuple[ImageId, ...]:
        """The images that became tasks now."""
        return tuple(image for image, (status, _) in self.changed.items() if status == "pushed")

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The images that were refused, and why."""
        return tuple(Failure(one.ref.uri, one.reason) for one in self.outcomes if one.status == "refused")

    @property
    def incomplete(self) -> tuple[Failure, ...]:
        """The images of which some regions were left out, and why."""
        return tuple(
            Failure(one.ref.uri, one.reason) for one in self.outcomes if one.reason and one.status in CHANGED
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "counts": dict(self.counts),
            "images": [
                *({"image": image, "status": status, "task": task} for image, status, task in self.sent),
                *(
                    {
                        "image": one.ref.id,
                        "status": one.status,
                        "task": one.task_id,
                        "uri": one.ref.uri,
                        "reason": one.reason,
                    }
                    for one in self.outcomes
                ),
            ],
            "warnings": list(self.warnings),
            "shapes": asdict(self.shapes),
            "arms": dict(self.arms),
        }


def report_of(
    outcomes: Iterable[ImageOutcome], project_id: int, url: str, warnings: Iterable[str]
) -> PushReport:
    """The outcomes in their order, counted. They may be many: what is usual is kept small."""
    counts: Counter[Status] = Counter(dict.fromkeys(STATUSES, 0))
    told: list[ImageOutcome] = []
    sent, shapes = SentImages(), NOTHING_DRAWN
    for outcome in outcomes:
        counts[outcome.status] += 1
        if outcome.shapes is not NOTHING_DRAWN:
            shapes = sum_reports((shapes, outcome.shapes))
        if outcome.status in ("pushed", "added", "replaced") and not outcome.reason:
            sent.add(outcome.ref.id, outcome.status, outcome.task_id)
        elif outcome.status not in SETTLED:
            told.append(replace(outcome, shapes=NOTHING_DRAWN))
    lines = (*warnings, *shape_warnings(shapes))
    return PushReport(project_id, url, dict(counts), sent, tuple(told), lines, shapes)
