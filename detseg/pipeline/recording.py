"""Pages of the server's tasks into the catalog's reviews."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from detseg.catalog import Catalog, Project, ReviewRecord
from detseg.labelstudio.changes import Page
from detseg.labelstudio.codec import is_ours
from detseg.labelstudio.joining import BOX_SUFFIX, MASK_SUFFIX
from detseg.labelstudio.reviews import Target, read_reviews
from detseg.labelstudio.session import Json
from detseg.taxonomy import Taxonomy
from detseg.types import RegionId


@dataclass(slots=True)
class Recorder:
    """Records what is on tasks, and counts: tasks that were read, reviews that are new, updated or deleted.

    ``n_foreign`` tasks are somebody else's; ``n_unknown`` have our key, but this catalog never pushed them.
    ``n_answers`` are results that are no shapes.
    """

    catalog: Catalog
    project: Project
    taxonomy: Taxonomy
    n_tasks: int = 0
    new: int = 0
    updated: int = 0
    deleted: int = 0
    n_foreign: int = 0
    n_unknown: int = 0
    n_answers: int = 0

    def record(self, tasks: Page, *, replace: bool = False) -> list[Json]:
        """Records the reviews of these tasks; those that are there no more are marked as deleted.

        With ``replace`` the server is right even where the catalog holds something later. Answers the tasks
        that are not this catalog's.
        """
        targets = self._targets(int(task["id"]) for task in tasks)
        readings = [
            (task_id, reading)
            for task in tasks
            if (task_id := int(task["id"])) in targets
            for reading in read_reviews(task, targets[task_id], self.taxonomy)
        ]
        records = [
            ReviewRecord(
                reading.annotation_id,
                task_id,
                reading.annotation,
                simulated=reading.simulated,
                unread=reading.unread,
            )
            for task_id, reading in readings
        ]
        counts = self.catalog.reviews.record(self.project.key, records, replace=replace)
        there = self.catalog.reviews.ids_of_tasks(self.project.key, targets)
        gone = there - {record.annotation_id for record in records}
        if gone:
            self.deleted += self.catalog.reviews.mark_deleted(self.project.key, gone)
        self.n_tasks += len(targets)
        self.n_answers += sum(reading.n_answers for _, reading in readings)
        self.new += counts.new
        self.updated += counts.updated
        return [task for task in tasks if int(task["id"]) not in targets]

    def count_others(self, others: Sequence[Json]) -> None:
        """Counts tasks that are not this catalog's."""
        unknown = sum(map(is_ours, others))
        self.n_unknown += unknown
        self.n_foreign += len(others) - unknown

    def record_gone(self, task_ids: Iterable[int]) -> None:
        """Marks tasks that are gone on the server, and their reviews."""
        gone = tuple(task_ids)
        self.deleted += len(self.catalog.reviews.ids_of_tasks(self.project.key, gone))
        self.catalog.tasks.mark_deleted(self.project.key, gone)

    def _targets(self, task_ids: Iterable[int]) -> dict[int, Target]:
        """What those of the tasks that the catalog pushed are about."""
        images = self.catalog.tasks.images(self.project.key, task_ids)
        sizes = self.catalog.images.sizes(images.values())
        labels = self.catalog.predictions.labels(images.values())
        for image, decoys in self.catalog.arms.labels(self.project.key, images.values()).items():
            labels.setdefault(image, {}).update(decoys)
        return {
            task: Target(image, sizes[image], _sent(labels.get(image, {}))) for task, image in images.items()
        }


def _sent(labels: dict[RegionId, str]) -> dict[str, str]:
    """Our labels by the ids of the results that a region becomes."""
    return {
        f"{region}{suffix}": label
        for region, label in labels.items()
        for suffix in ("", BOX_SUFFIX, MASK_SUFFIX)
    }
