"""The use cases of ``detseg taxonomy``: what changed when, and the work that a split asks of people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from detseg.catalog.region_json import decode_labels, label_text
from detseg.datasets.store import DatasetStore
from detseg.errors import ConfigError, FormatError
from detseg.labelstudio.fitting import encode_fitting
from detseg.labelstudio.label_config import config_to_taxonomy
from detseg.labelstudio.tabs import remove_tab, show_in_tab
from detseg.metrics.cases import age
from detseg.paging import pages
from detseg.pipeline.pushing.delivery import Batcher, Work, deliver, deliver_all
from detseg.pipeline.pushing.payload import encode_planned
from detseg.pipeline.pushing.plan import PlannedTask
from detseg.pipeline.pushing.queue import opened_queue
from detseg.pipeline.pushing.report import ImageOutcome
from detseg.pipeline.pushing.targets import MOST_PREDICTIONS, MorePredictions
from detseg.pipeline.workspace import check_label_studio, opened_catalog
from detseg.taxonomy import Change, taxonomy_of_all_times
from detseg.types import Annotation, ImageId, ModelVersion

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Project
    from detseg.config import Settings
    from detseg.pipeline.pushing.queue import Queue

_MOST_IN_TAB = 500
"""Images of a tab, whose filter names each of them. The next run fills it with those that are left."""


@dataclass(frozen=True, slots=True)
class LoggedChange:
    """A change, and how many regions of the latest reviews still hold a name that it ended."""

    change: Change
    n_regions: int

    def to_json(self) -> dict[str, Any]:
        return {**self.change.to_json(), "regions": self.n_regions}


@dataclass(frozen=True, slots=True)
class LoggedVersion:
    """A dataset version and the changes that it was made under. ``lacks`` are later ones of the settings,
    ``unknown`` those that the settings do not have."""

    name: str
    id: str
    created_at: datetime
    changes: tuple[str, ...]
    lacks: tuple[str, ...]
    unknown: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "id": self.id,
            "created_at": self.created_at.isoformat(),
            "changes": list(self.changes),
            "lacks": list(self.lacks),
            "unknown": list(self.unknown),
        }


@dataclass(frozen=True, slots=True)
class TaxonomyLog:
    """The classes of now, how they came to be, and which versions were made under which of the changes."""

    classes: tuple[str, ...]
    changes: tuple[LoggedChange, ...]
    versions: tuple[LoggedVersion, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "classes": list(self.classes),
            "changes": [one.to_json() for one in self.changes],
            "versions": [one.to_json() for one in self.versions],
        }


def taxonomy_log(settings: Settings) -> TaxonomyLog:
    """Read what changed when. Regions are counted where the catalog knows the project."""
    counts: Counter[str] = Counter()
    taxonomy = settings.declared_taxonomy
    with opened_catalog(settings) as catalog:
        project = catalog.projects.latest(settings.queue.project)
        if project is not None and settings.changes:
            counts = _count_labels(catalog, project)
    changes = settings.changes
    return TaxonomyLog(
        classes=taxonomy.names if taxonomy else (),
        changes=tuple(LoggedChange(one, sum(counts[name] for name in one.ended)) for one in changes),
        versions=tuple(
            LoggedVersion(
                one.name,
                one.id,
                one.created_at,
                changes=tuple(change.id for change in one.recipe.changes),
                lacks=tuple(change.id for change in changes if change not in one.recipe.changes),
                unknown=tuple(change.id for change in one.recipe.changes if change not in changes),
            )
            for one in DatasetStore(settings.datasets_location).versions()
        ),
    )


def _count_labels(catalog: Catalog, project: Project) -> Counter[str]:
    """Count the regions of the latest reviews by the names that they were given."""
    wanted = {label_text(name) for name in catalog.relabeling.ended}
    counts: Counter[str] = Counter()
    for stored in catalog.verbatim().reviews.latest_stored(project.key):
        if any(text in stored.regions for text in wanted):
            counts.update(decode_labels(stored.regions).values())
    return counts


@dataclass(frozen=True, slots=True)
class SplitWork:
    """The images that a split sends back to people.

    ``n_regions`` of the split class are on ``n_images``; ``n_marked`` of these get their marks now, the
    others have them, or cannot (nobody is to see predictions there, or the image has no task). ``left_out``
    has a line for each region that cannot be marked. ``url`` opens the tab with the images.
    """

    change: Change
    n_images: int
    n_regions: int
    n_marked: int
    left_out: tuple[str, ...] = ()
    url: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "change": self.change.id,
            "images": self.n_images,
            "regions": self.n_regions,
            "marked": self.n_marked,
            "left_out": list(self.left_out),
            "url": self.url,
        }


def apply_changes(settings: Settings, *, dry_run: bool = False) -> tuple[SplitWork, ...]:
    """Send the images back whose labels were split, and have the labeling interface follow all changes.

    Each image gets one prediction per split, a copy of its latest review in which the regions of the split
    class are marked; nothing that people made is touched. Doing it again sends what is missing, and fills the
    tab with what is still to do. A ``dry_run`` changes nothing. Raises ConfigError without changes.
    """
    if not settings.changes:
        raise ConfigError("there are no [[taxonomy.changes]] to apply: declare them in detseg.toml")
    if not dry_run:
        check_label_studio(settings.server)
    with opened_catalog(settings) as catalog:
        title = settings.queue.project
        project = catalog.projects.latest(title)
        if project is None:
            raise ConfigError(f"the catalog knows no project {title!r}, so there are no labels to change")
        awaiting = _awaiting_split(catalog, project)
        splits = [one for one in settings.changes if one.kind == "split"]
        works = []
        for change in splits or settings.changes[-1:]:  # the interface follows in any case
            n_regions = awaiting.get(change.old[0], {}) if splits else {}
            if dry_run:
                works.append(_plan(catalog, project, change, n_regions))
            else:
                works.append(_send_back(settings, catalog, change, n_regions))
    return tuple(works) if splits else ()


def _awaiting_split(catalog: Catalog, project: Project) -> dict[str, dict[ImageId, int]]:
    """Count the regions of each split class in the latest review of each image that has any."""
    found: dict[str, dict[ImageId, tuple[datetime, int]]] = {name: {} for name in catalog.relabeling.split}
    for stored in catalog.reviews.latest_stored(project.key):
        for name, images in found.items():
            if label_text(name) not in stored.regions:
                continue
            n_regions = list(decode_labels(stored.regions).values()).count(name)
            before = images.get(stored.image, (stored.updated_at, 0))
            images[stored.image] = max(before, (stored.updated_at, n_regions))
    return {name: {image: n for image, (_, n) in images.items()} for name, images in found.items()}


def _version(change: Change) -> ModelVersion:
    return ModelVersion(f"taxonomy:{change.id}")


def _unmarked(
    catalog: Catalog, project: Project, change: Change, images: Collection[ImageId]
) -> dict[ImageId, int]:
    """The tasks, by image, that are to get marks and have none."""
    tasks = catalog.tasks.of_images(project.key, images)
    arms = catalog.arms.of_images(project.key, images)
    marked = catalog.task_predictions.present(project.key, images, _version(change))
    return {
        image: task.task_id
        for image, task in sorted(tasks.items())
        if task.state == "pushed" and task.task_id is not None and image not in marked
        if image not in arms or arms[image].arm != "control"
    }


def _plan(catalog: Catalog, project: Project, change: Change, n_regions: Mapping[ImageId, int]) -> SplitWork:
    unmarked = _unmarked(catalog, project, change, n_regions)
    return SplitWork(change, len(n_regions), sum(n_regions.values()), len(unmarked))


def _send_back(
    settings: Settings, catalog: Catalog, change: Change, n_regions: Mapping[ImageId, int]
) -> SplitWork:
    taxonomy = settings.declared_taxonomy
    assert taxonomy is not None  # changes lead to classes
    with opened_queue(settings, catalog, version=_version(change), taxonomy=taxonomy) as queue:
        unmarked = _unmarked(catalog, queue.project, change, n_regions)
        outcomes = deliver_all(_steps(queue, change, unmarked), writers=settings.label_studio.writers)
        done = [(one.status, one.ref.uri, one.reason) for one in outcomes]
        url = _fill_tab(queue, change, sorted(n_regions)) if change.kind == "split" else None
    return SplitWork(
        change,
        len(n_regions),
        sum(n_regions.values()),
        sum(status == "added" for status, _, _ in done),
        tuple(f"{uri}: {reason}" for _, uri, reason in done if reason),
        url,
    )


def _steps(queue: Queue, change: Change, tasks: Mapping[ImageId, int]) -> Iterator[Work | ImageOutcome]:
    batcher = Batcher(
        partial(deliver, MorePredictions(queue)),
        n_most=min(queue.settings.label_studio.batch_tasks, MOST_PREDICTIONS),
        n_bytes_most=queue.settings.label_studio.batch_bytes,
    )
    for payload in encode_planned(queue, _plan_marks(queue, change, tasks), ()):
        if isinstance(payload, ImageOutcome):
            yield payload
        else:
            yield from batcher.add(payload)
    yield from batcher.flush()


def _plan_marks(
    queue: Queue, change: Change, tasks: Mapping[ImageId, int]
) -> Iterator[PlannedTask | ImageOutcome]:
    """Plan a prediction for each image: its review, with the regions of the split class marked."""
    drawn = config_to_taxonomy(queue.project.label_config)
    readable = taxonomy_of_all_times(queue.taxonomy, queue.catalog.relabeling, drawn)
    words = f"{change.date.isoformat()}, {change}: {change.reason}"
    for page in pages(tasks):
        refs = queue.catalog.images.refs(page)
        for review in _latest_reviews(queue, change, page):
            ref, task = refs[review.image], tasks[review.image]
            try:
                encoded, left_out = encode_fitting(
                    ref,
                    review,
                    missing=queue.missing,
                    version=queue.version,
                    taxonomy=readable,
                    policy=queue.policy,
                )
            except FormatError as error:
                yield ImageOutcome(ref, "refused", task, str(error))
                continue
            for result in encoded.task["predictions"][0]["result"]:
                if result["value"][result["type"]] == [change.old[0]]:
                    result["meta"] = {"text": [words]}
            yield PlannedTask(ref, "added", task, encoded, regions=review.regions, left_out=left_out)


def _latest_reviews(queue: Queue, change: Change, images: Sequence[ImageId]) -> Collection[Annotation]:
    """The latest review of each image that has regions of the split class."""
    found: dict[ImageId, Annotation] = {}
    for record in queue.catalog.reviews.of_images(queue.project.key, images):
        review = record.annotation
        if any(region.instance.label == change.old[0] for region in review.regions):
            found[review.image] = max(found.get(review.image, review), review, key=age)
    return found.values()


def _fill_tab(queue: Queue, change: Change, images: Sequence[ImageId]) -> str | None:
    title = f"detseg: split {change.old[0]}"
    if not images:
        remove_tab(queue.client, queue.project.server_id, title)
        return None
    return show_in_tab(queue.client, queue.project.server_id, title, images[:_MOST_IN_TAB]).url
