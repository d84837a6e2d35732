"""Near duplicates in the queue: one image of a cluster becomes a task, and the others wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from detseg.pipeline.near_duplicates import near_duplicates, read_features
from detseg.pipeline.pushing.queue import PushSpec
from detseg.pipeline.pushing.report import ImageOutcome
from detseg.pipeline.reading import open_sources
from detseg.types import ImageFeatures, ImageId, ImageRef

if TYPE_CHECKING:
    from detseg.sources.registry import Sources


def hold_duplicates(
    spec: PushSpec, refs: Iterable[ImageRef], *, record: bool = False
) -> tuple[Iterable[ImageRef], tuple[ImageOutcome, ...]]:
    """The images that are sent, in their order, and the outcomes of those that wait for a near duplicate.

    Who has a task keeps it. Of a cluster in which nobody has one, the first image by id becomes one, leaving
    out those that could not be sent before. The others follow when its task is deleted in Label Studio or
    skipped by people. Fingerprints alone decide, so that a dry run, which has no embeddings, says the same.
    ``record``: those that had to be computed now are kept in the catalog.
    """
    if spec.settings.queue.near_duplicates == "keep":
        return refs, ()
    listed = tuple(refs)
    with_task, open_tasks = _tasks(spec)
    ids = dict.fromkeys([*(ref.id for ref in listed), *open_tasks])
    known = [ImageFeatures(one.image, one.fingerprint) for one in spec.catalog.features.read(ids)]
    missing = frozenset(spec.catalog.features.missing(ids))
    with open_sources(spec.settings) as sources:
        read = tuple(_read_features(sources, [ref for ref in listed if ref.id in missing]))
    if record:
        spec.catalog.features.record(read)
    refused = {one.image for one in spec.catalog.quarantine.entries() if one.stage == "push"}
    there = {ref.id for ref in listed}
    waiting: set[ImageId] = set()
    for cluster in near_duplicates(spec.settings.state_path, (*known, *read)).clusters:
        new = [image for image in cluster if image in there and image not in with_task]
        sendable = [image for image in new if image not in refused]
        chosen = () if any(image in open_tasks for image in cluster) else sendable[:1] or new[:1]
        waiting.update(image for image in new if image not in chosen)
    return (
        tuple(ref for ref in listed if ref.id not in waiting),
        tuple(ImageOutcome(ref, "duplicate") for ref in listed if ref.id in waiting),
    )


def _tasks(spec: PushSpec) -> tuple[frozenset[ImageId], frozenset[ImageId]]:
    """The images that have a task, and those of them whose duplicates wait for it."""
    if spec.project is None:
        return frozenset(), frozenset()
    tasks = {task.image: task for task in spec.catalog.tasks.of_project(spec.project.key)}
    skipped = {
        one.image for one in spec.catalog.reviews.latest_stored(spec.project.key) if one.state == "skipped"
    }
    waited_for = {image for image, task in tasks.items() if task.state != "deleted"}
    return frozenset(tasks), frozenset(waited_for - skipped)


def _read_features(sources: Sources, refs: Iterable[ImageRef]) -> Iterator[ImageFeatures]:
    """The fingerprints of images that are read for it; those that cannot be read have none."""
    found = (read_features(sources, ref.id, ref.uri) for ref in refs)
    return (one for one in found if one is not None)
