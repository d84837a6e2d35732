"""What has to hold after a fault and one more run, whatever broke."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from detseg.catalog import Catalog, ReviewRecord, open_catalog
from detseg.pipeline.experiments.lottery import Lottery
from detseg.types import ImageId, ModelVersion
from tests.catalog.reading import review_ids
from tests.e2e.faults.person import Ledger, Server, identity, owner
from tests.e2e.faults.world import CONTROL_SHARE, DECOY_SHARE, N_REGIONS, SIZE

Json = dict[str, Any]
Harm = Literal["lost", "doubled", "human", "other"]
_OF_A_PERSON = ("result", "was_cancelled", "updated_at", "created_at", "lead_time", "ground_truth")


@dataclass(frozen=True, slots=True)
class Violation:
    """``lost`` and ``doubled`` are tasks, predictions or reviews, ``human`` is people's work changed."""

    harm: Harm
    words: str


@dataclass(frozen=True, slots=True)
class Expected:
    """``images`` have a task each, with one prediction of each of the ``versions``; tasks that a person
    worked on may have one of each of ``replaced``, and control images have none at all. A decoy is in each of
    its task's predictions. ``shown`` is the version that the project shows.

    An image may have several tasks if people worked on every one of them, and the ``warnings`` say so.
    """

    title: str
    images: frozenset[ImageId]
    versions: frozenset[ModelVersion]
    replaced: frozenset[ModelVersion]
    shown: ModelVersion
    ledger: Ledger
    warnings: tuple[str, ...]


def check(server: Server, catalog_url: str, expected: Expected) -> tuple[Violation, ...]:
    """Everything that does not hold; empty is good."""
    projects = server.projects(expected.title)
    if len(projects) != 1:
        harm: Harm = "doubled" if projects else "lost"
        return (Violation(harm, f"{len(projects)} projects have the title"),)
    tasks = server.tasks(projects[0]["id"])
    found = [*_tasks(tasks, expected), *_predictions(tasks, expected), *_people(tasks, expected.ledger)]
    if projects[0]["model_version"] != expected.shown:
        found.append(Violation("other", f"the project shows {projects[0]['model_version']!r}"))
    with open_catalog(catalog_url) as catalog:
        known = [one for one in catalog.projects.all() if one.title == expected.title]
        if len(known) != 1:
            return (*found, Violation("other", f"the catalog knows {len(known)} projects of the title"))
        found += [*_catalog_tasks(catalog, known[0].key, tasks, expected.ledger)]
        found += [*_reviews(catalog, known[0].key, tasks, expected.ledger)]
    return tuple(found)


def _ours(tasks: Iterable[Json]) -> list[Json]:
    return [task for task in tasks if "image_id" in task["data"]]


def _by_image(tasks: Iterable[Json]) -> dict[ImageId, list[Json]]:
    found: defaultdict[ImageId, list[Json]] = defaultdict(list)
    for task in _ours(tasks):
        found[ImageId(task["data"]["image_id"])].append(task)
    return found


def _tasks(tasks: list[Json], expected: Expected) -> Iterator[Violation]:
    found, ledger = _by_image(tasks), expected.ledger
    if missing := expected.images - ledger.deleted_images - ledger.uncertain_images - found.keys():
        yield Violation("lost", f"{len(missing)} images have no task")
    several = {image: some for image, some in found.items() if len(some) > 1}
    idle = [image for image, some in several.items() if not ledger.touched.issuperset(map(identity, some))]
    if idle:
        yield Violation(
            "doubled", f"{len(idle)} images have several tasks, and nobody worked on some of them"
        )
    told = [line for line in expected.warnings if line.startswith(f"{len(several)} images are several tasks")]
    if several and not told:
        yield Violation("doubled", f"{len(several)} images have several tasks, and collect does not say so")
    if back := found.keys() & ledger.deleted_images:
        yield Violation("human", f"{len(back)} tasks that a person deleted are back")


def _predictions(tasks: list[Json], expected: Expected) -> Iterator[Violation]:
    """An image's versions are all on one of its tasks, which its copies need not have."""
    harms: Counter[tuple[Harm, str]] = Counter()
    lottery = Lottery(expected.title, 0, control_share=CONTROL_SHARE, decoy_share=DECOY_SHARE)
    for some in _by_image(tasks).values():
        lacking = [expected.versions - {one["model_version"] for one in t["predictions"]} for t in some]
        if lottery.arm(some[0]["data"]["image_id"]) != "control":
            for version in min(lacking, key=len):
                harms["lost", f"images without a prediction of {version}"] += 1
    for task in _ours(tasks):
        counted = Counter(one["model_version"] for one in task["predictions"])
        arm = lottery.arm(task["data"]["image_id"])
        if arm == "control":
            harms["other", "control images with a prediction"] += bool(counted)
            continue
        touched = identity(task) in expected.ledger.touched
        allowed = expected.versions | (expected.replaced if touched else frozenset())
        for version, n in counted.items():
            if version not in allowed:
                harms["other", f"tasks with a prediction of {version}, which should not be there"] += 1
            elif n > 1:
                harms["doubled", f"tasks with several predictions of {version}"] += 1
        n_regions = N_REGIONS + (arm == "decoy")
        if any(len({one["id"] for one in p["result"]}) != n_regions for p in task["predictions"]):
            harms["lost", "tasks with other regions than predicted"] += 1
    yield from (Violation(harm, f"{n} {words}") for (harm, words), n in harms.items() if n)


def _people(tasks: list[Json], ledger: Ledger) -> Iterator[Violation]:
    on_server = {identity(entry): entry for task in tasks for entry in task["annotations"]}
    for key, entry in ledger.annotations.items():
        now = on_server.get(key)
        if now is None:
            yield Violation("human", f"annotation {key[0]} is gone")
        elif changed := [name for name in _OF_A_PERSON if now[name] != entry[name]]:
            yield Violation("human", f"annotation {key[0]} is changed: {', '.join(changed)}")
    if more := on_server.keys() - ledger.annotations.keys():
        yield Violation("human", f"annotations that nobody made: {sorted(more)}")
    there = {identity(task): task for task in tasks}
    for key, data in ledger.foreign_tasks.items():
        if key not in there or there[key]["data"] != data or there[key]["predictions"]:
            yield Violation("human", f"the foreign task {key[0]} is gone or changed")
    for draft, key in ledger.drafts.items():
        if key not in there or draft not in [one["id"] for one in there[key]["drafts"]]:
            yield Violation("human", f"draft {draft} of task {key[0]} is gone")


def _catalog_tasks(catalog: Catalog, project: Any, tasks: list[Json], ledger: Ledger) -> Iterator[Violation]:
    on_server = {image: {int(task["id"]) for task in some} for image, some in _by_image(tasks).items()}
    known = {one.image: one for one in catalog.tasks.of_project(project) if one.state == "pushed"}
    copies = catalog.server_tasks.copies(project)
    pushed = {image: {one.task_id, *copies.get(image, ())} for image, one in known.items()}
    if wrong := [image for image in pushed.keys() | on_server if pushed.get(image) != on_server.get(image)]:
        yield Violation("other", f"the catalog is wrong about the tasks of {len(wrong)} images")
    made = {int(task["id"]): datetime.fromisoformat(task["created_at"]) for task in tasks}
    early = [
        one
        for one in known.values()
        if one.task_id in made and one.created_at is not None and made[one.task_id] > one.created_at
    ]
    if early:
        yield Violation("other", f"the catalog knows {len(early)} tasks that were made later than it says")
    if intents := catalog.tasks.open_intents(project):
        yield Violation("other", f"{len(intents)} intents are still open")
    states = {one.image: one.state for one in catalog.tasks.of_project(project)}
    if wrong_states := [image for image in ledger.deleted_images if states.get(ImageId(image)) != "deleted"]:
        yield Violation("other", f"{len(wrong_states)} deleted tasks are not marked in the catalog")


def _reviews(catalog: Catalog, project: Any, tasks: list[Json], ledger: Ledger) -> Iterator[Violation]:
    images = {identity(task): ImageId(task["data"]["image_id"]) for task in _ours(tasks)}
    wanted = {key[0]: entry for key, entry in ledger.annotations.items() if entry["task"] in images}
    collected = review_ids(catalog, project)
    if missing := wanted.keys() - collected:
        yield Violation("lost", f"{len(missing)} of {len(wanted)} reviews are not collected")
    if more := collected - wanted.keys():
        yield Violation("doubled", f"the catalog has reviews that are not there: {sorted(more)}")
    latest: dict[tuple[ImageId, str], Json] = {}
    for entry in sorted(
        wanted.values(), key=lambda one: (datetime.fromisoformat(one["updated_at"]), one["id"])
    ):
        latest[images[entry["task"]], f"user-{owner(entry)}"] = entry
    records = {(one.annotation.image, one.annotation.author): one for one in catalog.reviews.latest(project)}
    wrong = [key for key, entry in latest.items() if key not in records or not _equal(records[key], entry)]
    if wrong:
        yield Violation("lost", f"{len(wrong)} reviews are collected otherwise than they were submitted")


def _equal(record: ReviewRecord, entry: Json) -> bool:
    """Whether the catalog says what was submitted: who, when, how long, the state and each region."""
    results = [] if entry["was_cancelled"] else entry["result"]
    state = "skipped" if entry["was_cancelled"] else "labeled" if results else "empty"
    shapes: Counter[Any] = Counter()
    for result in results:
        value = result["value"]
        (label,) = value[result["type"]]
        if result["type"] != "rectanglelabels":
            shapes[label] += 1
            continue
        x, y, width, height = (value[name] / 100 for name in ("x", "y", "width", "height"))
        corners = (x * SIZE.width, y * SIZE.height, (x + width) * SIZE.width, (y + height) * SIZE.height)
        shapes[label, *(round(corner, 3) for corner in corners)] += 1
    annotation = record.annotation
    kept = Counter(
        (one.instance.label, *(round(corner, 3) for corner in one.instance.box.xyxy))
        if one.instance.box
        else one.instance.label
        for one in annotation.regions
    )
    said = (annotation.state, annotation.lead_time_s, annotation.updated_at, kept)
    return said == (state, entry["lead_time"], datetime.fromisoformat(entry["updated_at"]), shapes)
