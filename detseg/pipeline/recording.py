"""Pages of the server's tasks into the catalog's reviews."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from detseg.catalog import Catalog, Project, ReviewRecord
from detseg.labelstudio.changes import TaskReader
from detseg.labelstudio.client import KEY, seen_task
from detseg.labelstudio.codec import is_ours
from detseg.labelstudio.joining import result_labels
from detseg.labelstudio.listing import Page
from detseg.labelstudio.predictions import find_parents
from detseg.labelstudio.reviews import Reading, Target, read_reviews
from detseg.labelstudio.session import Json
from detseg.labelstudio.shown import as_shown, decode_shown, in_parts, settle_parts
from detseg.taxonomy import Taxonomy
from detseg.types import Annotation, ImageId, ModelVersion, Region


@dataclass(slots=True)
class Recorder:
    """Records what is on tasks, and counts: tasks that were read, reviews that are new, updated or deleted.

    ``n_external`` tasks are somebody else's; ``n_unknown`` have our key, but this catalog never pushed them.
    ``duplicates`` are images of ours that have tasks that the catalog does not know. ``n_answers`` are
    results that are no shapes on our image, which the tag ``image_name`` of the interface shows. ``reader``
    reads the tasks' predictions where it matters which of them people worked on.
    """

    catalog: Catalog
    project: Project
    taxonomy: Taxonomy
    reader: TaskReader
    image_name: str | None = None
    n_tasks: int = 0
    new: int = 0
    updated: int = 0
    deleted: int = 0
    n_external: int = 0
    n_unknown: int = 0
    n_answers: int = 0
    duplicates: set[ImageId] = field(default_factory=set)

    def record(self, tasks: Page, *, replace: bool = False) -> list[Json]:
        """Records the reviews of these tasks; those that are there no more are marked as deleted.

        With ``replace`` the server is right even where the catalog holds something later. Answers the tasks
        that are not this catalog's.
        """
        recognised = self.catalog.server_tasks.recognise(self.project.key, map(seen_task, tasks))
        self.deleted += recognised.n_reviews_gone
        targets = self._targets(recognised.images)
        readings = [
            (task_id, reading)
            for task in tasks
            if (task_id := int(task["id"])) in targets
            for reading in read_reviews(task, targets[task_id], self.taxonomy)
        ]
        self._note_versions(readings)
        shown = self._shown_in_parts([reading for _, reading in readings])
        settled = {one.annotation_id: _settled(one, shown) for _, one in readings}
        settled |= self._unchanged([one for _, one in readings if one.is_edited], settled)
        records = [
            ReviewRecord(
                reading.annotation_id,
                reading.created_at,
                task_id,
                settled[reading.annotation_id],
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
        self.deleted += counts.replaced
        self.n_tasks += len(targets)
        self.n_answers += sum(reading.n_answers for _, reading in readings)
        self.new += counts.new
        self.updated += counts.updated
        return self._without_duplicates([task for task in tasks if int(task["id"]) not in targets])

    def _without_duplicates(self, others: Sequence[Json]) -> list[Json]:
        """Those of the tasks that are not of an image of ours; remembers the images of the rest."""
        named = [ImageId(task["data"][KEY]) for task in others if is_ours(task)]
        ours = self.catalog.tasks.of_images(self.project.key, named)
        self.duplicates |= ours.keys()
        return [task for task in others if not is_ours(task) or task["data"][KEY] not in ours]

    def count_others(self, others: Sequence[Json]) -> None:
        """Counts tasks that are not this catalog's."""
        unknown = sum(map(is_ours, others))
        self.n_unknown += unknown
        self.n_external += len(others) - unknown

    def record_gone(self, task_ids: Iterable[int]) -> None:
        """Marks tasks that are gone on the server, and their reviews."""
        gone = tuple(task_ids)
        self.deleted += len(self.catalog.reviews.ids_of_tasks(self.project.key, gone))
        self.catalog.server_tasks.mark_deleted(self.project.key, gone)

    def _targets(self, images: Mapping[int, ImageId]) -> dict[int, Target]:
        """Read what the tasks of these images are about."""
        sizes = self.catalog.images.sizes(images.values())
        as_sent = self.catalog.verbatim()  # as the server has them: people's labels are compared with these
        labels = as_sent.predictions.labels(images.values())
        for image, decoys in as_sent.arms.labels(self.project.key, images.values()).items():
            labels.setdefault(image, {}).update(decoys)
        return {
            task: Target(image, sizes[image], result_labels(labels.get(image, {})), self.image_name)
            for task, image in images.items()
        }

    def _note_versions(self, readings: Sequence[tuple[int, Reading]]) -> None:
        """Keep which of a task's versions its first review began with.

        A push takes its own version for the one that is shown where it knows of no review. There may be one
        that nobody has collected yet, or a page that was open: the annotation says which prediction it came
        of, and where it came of none, the last one that was there before it counts.
        """
        key, first = self.project.key, dict[ImageId, tuple[datetime, int]]()
        for task, one in readings:
            image = one.annotation.image
            first[image] = min(first.get(image, (one.created_at, task)), (one.created_at, task))
        versions = self.catalog.task_predictions.several(key, first)
        known = {record.annotation.image for record in self.catalog.reviews.of_images(key, versions)}
        tasks = {image: first[image][1] for image in versions if image not in known}
        if not tasks:
            return
        parents = find_parents(self.reader.session, self.reader.project, sorted(tasks.values()))
        shown = {}
        for image, task in tasks.items():
            came, parent = versions[image], ModelVersion(parents.get(task, ""))
            before = [version for version, moment in came.items() if moment <= first[image][0]]
            shown[image] = parent if parent in came else before[-1] if before else next(iter(came))
        self.catalog.tasks.show(key, shown)

    def _unchanged(
        self, edited: Sequence[Reading], settled: Mapping[int, Annotation]
    ) -> dict[int, Annotation]:
        """The reviews, by annotation id, that somebody else saved as they were: they stay their authors'."""
        images = {one.annotation.image for one in edited}
        known = self.catalog.verbatim().reviews.of_images(self.project.key, images)
        before = {(one.annotation_id, one.created_at): one.annotation for one in known}
        same = {}
        for one in edited:
            was, now = before.get((one.annotation_id, one.created_at)), settled[one.annotation_id]
            if was and (was.state, was.regions) == (now.state, now.regions):
                same[one.annotation_id] = replace(was, updated_at=now.updated_at)
        return same

    def _shown_in_parts(self, readings: Sequence[Reading]) -> dict[ImageId, tuple[Region, ...]]:
        """Read what was shown of images whose things were boxes and masks, where a review has a part of
        one."""
        images = {one.annotation.image for one in readings if any(map(in_parts, one.annotation.regions))}
        tasks = self.catalog.tasks.of_images(self.project.key, images)
        found: dict[ImageId, tuple[Region, ...]] = {}
        for version in sorted({task.model_version for task in tasks.values()}):
            ids = [image for image, task in tasks.items() if task.model_version == version]
            texts = self.catalog.shown.of_images(self.project.key, ids, version)
            shown = {image: decode_shown(text) for image, text in texts.items()}
            pairs = [image for image, one in shown.items() if one.annotate == "pairs"]
            as_sent = self.catalog.verbatim()
            arms = as_sent.arms.of_images(self.project.key, pairs)
            for prediction in as_sent.predictions.read(pairs, version):
                image = prediction.image
                decoys = arms[image].decoys if image in arms else ()
                regions = (*prediction.regions, *(decoy.region for decoy in decoys))
                found[image] = as_shown(regions, shown[image])
        return found


def _settled(reading: Reading, shown: Mapping[ImageId, Sequence[Region]]) -> Annotation:
    """The review, with what was left of things that were a box and a mask; empty if that was all."""
    review = settle_parts(reading.annotation, shown.get(reading.annotation.image, ()))
    emptied = reading.annotation.regions and not review.regions and not reading.unread
    return replace(review, state="empty") if emptied else review
