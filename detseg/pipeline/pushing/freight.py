"""What is sent to a project in batches: new tasks, or more predictions for tasks that are there.

Both are claimed in the catalog before they leave, can be looked up on the server, and are confirmed or given
free; ``delivery`` knows in which order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from detseg.labelstudio.predictions import add_predictions, look_up
from detseg.pipeline.pushing.encoding import Parcel
from detseg.pipeline.pushing.finding import find_added, find_sent
from detseg.pipeline.pushing.queue import Queue
from detseg.pipeline.pushing.report import Status
from detseg.types import ImageId

MOST_PREDICTIONS = 500
"""As many as the server adds in one transaction."""


class Freight(Protocol):
    """One kind of what is sent. Task ids are the server's."""

    @property
    def queue(self) -> Queue: ...

    @property
    def status(self) -> Status:
        """Of an image whose parcel arrived."""

    def claim(self, parcels: Sequence[Parcel]) -> Sequence[ImageId]:
        """Records the intent; answers the images that we alone may send now."""

    def send(self, parcels: Sequence[Parcel]) -> Mapping[ImageId, int]:
        """Sends them in one request; the task of each. Raises as ``Session`` does."""

    def find(self, ids: Sequence[ImageId]) -> Mapping[ImageId, int]:
        """Those that the server has, and their tasks."""

    def gone(self, parcels: Sequence[Parcel]) -> frozenset[ImageId]:
        """Those that can never arrive, because their tasks were deleted on the server."""

    def confirm(self, found: Mapping[ImageId, int]) -> None:
        """Records what arrived."""

    def release(self, ids: Iterable[ImageId]) -> None:
        """Takes the intents back: the server does not have them."""

    def doubt(self, ids: Iterable[ImageId]) -> None:
        """Remembers that what is sent again now may yet come twice."""


@dataclass(frozen=True, slots=True)
class NewTasks:
    """Images as new tasks, each with one prediction; blind ones without."""

    queue: Queue
    status: Status = "pushed"

    def claim(self, parcels: Sequence[Parcel]) -> Sequence[ImageId]:
        return self.queue.catalog.tasks.open_push(
            self.queue.project.key,
            [parcel.ref.id for parcel in parcels],
            self.queue.version,
            restore=self.queue.settings.restore,
            arms=[parcel.assignment for parcel in parcels if parcel.assignment is not None],
            shown={parcel.ref.id: parcel.shown for parcel in parcels},
        )

    def send(self, parcels: Sequence[Parcel]) -> Mapping[ImageId, int]:
        ids = self.queue.client.import_encoded(
            self.queue.project.server_id,
            _json_list(parcels),
            n_tasks=len(parcels),
            n_predictions=sum(parcel.n_predictions for parcel in parcels),
        )
        return dict(zip((parcel.ref.id for parcel in parcels), ids, strict=True))

    def find(self, ids: Sequence[ImageId]) -> Mapping[ImageId, int]:
        return find_sent(self.queue.client, self.queue.catalog, self.queue.project, ids)

    def gone(self, parcels: Sequence[Parcel]) -> frozenset[ImageId]:  # noqa: ARG002
        return frozenset()

    def confirm(self, found: Mapping[ImageId, int]) -> None:
        self.queue.catalog.tasks.confirm_push(self.queue.project.key, found)

    def release(self, ids: Iterable[ImageId]) -> None:
        self.queue.catalog.tasks.drop_intents(self.queue.project.key, ids)

    def doubt(self, ids: Iterable[ImageId]) -> None:
        self.queue.catalog.doubts.record(self.queue.project.key, ids)


@dataclass(frozen=True, slots=True)
class MorePredictions:
    """Predictions beside those that the tasks have."""

    queue: Queue
    status: Status = "added"

    def claim(self, parcels: Sequence[Parcel]) -> Sequence[ImageId]:
        shown = {parcel.ref.id: parcel.shown for parcel in parcels}
        return self.queue.catalog.task_predictions.open_push(
            self.queue.project.key, shown, self.queue.version, shown=shown
        )

    def send(self, parcels: Sequence[Parcel]) -> Mapping[ImageId, int]:
        add_predictions(
            self.queue.client.session, self.queue.project.server_id, _json_list(parcels), len(parcels)
        )
        return _task_ids(parcels)

    def find(self, ids: Sequence[ImageId]) -> Mapping[ImageId, int]:
        queue = self.queue
        found = find_added(queue.client, queue.catalog, queue.project, ids, version=queue.version)
        return {image: task.id for image, task in found.items()}

    def gone(self, parcels: Sequence[Parcel]) -> frozenset[ImageId]:
        ids = _task_ids(parcels)
        on_server = look_up(self.queue.client.session, self.queue.project.server_id, tuple(ids.values()))
        missing = {image: task for image, task in ids.items() if task not in on_server}
        self.queue.catalog.tasks.mark_deleted(self.queue.project.key, missing.values())
        return frozenset(missing)

    def confirm(self, found: Mapping[ImageId, int]) -> None:
        self.queue.catalog.task_predictions.confirm_push(self.queue.project.key, found, self.queue.version)

    def release(self, ids: Iterable[ImageId]) -> None:
        self.queue.catalog.task_predictions.drop_intents(self.queue.project.key, ids, self.queue.version)

    def doubt(self, ids: Iterable[ImageId]) -> None:
        self.queue.catalog.doubts.record(self.queue.project.key, ids, self.queue.version)


def _task_ids(parcels: Iterable[Parcel]) -> dict[ImageId, int]:
    return {parcel.ref.id: parcel.task_id for parcel in parcels if parcel.task_id is not None}


def _json_list(parcels: Iterable[Parcel]) -> bytes:
    return b"[" + b",".join(parcel.body for parcel in parcels) + b"]"
