"""The target of a push: the project, the way to its server, and what may be sent there.

``opened_queue`` makes it ready and keeps others out; ``viewed_queue`` only looks, for a dry run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from detseg.catalog import Project, ProjectKey
from detseg.errors import DetsegError, LabelStudioError, Refused
from detseg.labelstudio.class_changes import follow_changes
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.client import Project as QueueProject
from detseg.labelstudio.interface import Interface, read_interface
from detseg.labelstudio.label_config import check_config, describe_misfit, fit_policy, missing_labels
from detseg.labelstudio.project import fit_project
from detseg.labelstudio.release import other_release
from detseg.labelstudio.serving import ImageServing
from detseg.labelstudio.shapes import ShapePolicy
from detseg.pipeline.changed_sources import overwritten_warnings
from detseg.pipeline.experiments.gold import (
    KnownTruth,
    count_late_truth,
    known_truth,
    say_late_truth,
)
from detseg.pipeline.exposed import close_exposed
from detseg.pipeline.policies import shape_policy
from detseg.pipeline.pushing.broken import BrokenTasks
from detseg.pipeline.pushing.duplicates import Removed, resolve_duplicates
from detseg.pipeline.pushing.existing import find_gone
from detseg.pipeline.pushing.guidance import follow_guidance
from detseg.pipeline.pushing.project import MadeProject, make_project
from detseg.pipeline.pushing.settling import settle_intents
from detseg.pipeline.serving import image_serving, served_folder
from detseg.pipeline.workspace import (
    Sides,
    check_not_renamed,
    notice_changes,
    open_client,
    own_projects,
    record_project,
)
from detseg.plurals import format_count
from detseg.taxonomy import Taxonomy
from detseg.types import ImageId, ModelVersion

if TYPE_CHECKING:
    from detseg.catalog import Catalog
    from detseg.config import Settings

Limit = Callable[[], AbstractContextManager[object]]
"""Entered around every request that adds something: waits until all workers together may send one more."""

UNLIMITED: Limit = nullcontext


@dataclass(frozen=True, slots=True)
class QueueView:
    """A project that was looked at. ``server_id`` is 0 and ``url`` empty where there is none yet.

    ``client`` is None where the server cannot be asked, ``project`` where there is none yet. ``missing`` and
    ``gold`` are as in ``Queue``. ``may_hold_external``: the project may have tasks that the catalog does not
    know. ``gone`` are images to be restored, whose tasks were deleted on the server, which the catalog does
    not know.
    """

    settings: Settings
    catalog: Catalog
    client: LabelStudioClient | None
    project: Project | None
    taxonomy: Taxonomy
    version: ModelVersion
    policy: ShapePolicy
    missing: frozenset[str]
    gold: KnownTruth | None
    may_hold_external: bool
    gone: frozenset[ImageId]
    warnings: tuple[str, ...] = ()
    broken: BrokenTasks = field(default_factory=BrokenTasks)

    @property
    def server_id(self) -> int:
        return self.project.server_id if self.project else 0

    @property
    def url(self) -> str:
        return f"{self.client.url}/projects/{self.server_id}/data" if self.client and self.project else ""


@dataclass(frozen=True, slots=True)
class Queue:
    """One project, open for one model version. ``missing`` are labels that its interface lacks: "box: bolt".

    ``n_external`` says how many tasks of the project the catalog does not know, less those that it knows and
    that were deleted there. ``removed`` is what was there twice when it was opened, ``exposed`` has a line
    for each folder that the server serves as a whole, ``namesakes`` has lines about projects of its title.
    ``gold`` are images whose truth is known, where such are asked for.
    """

    settings: Settings
    client: LabelStudioClient
    catalog: Catalog
    project: Project
    serving: ImageServing
    taxonomy: Taxonomy
    version: ModelVersion
    policy: ShapePolicy
    interface: Interface
    missing: frozenset[str]
    n_external: int
    removed: Removed
    namesakes: tuple[str, ...]
    exposed: tuple[str, ...]
    gold: KnownTruth | None = None
    limit: Limit = UNLIMITED
    broken: BrokenTasks = field(default_factory=BrokenTasks)

    @property
    def may_hold_external(self) -> bool:
        return bool(self.n_external) or _external_seen(self.catalog, self.project)

    @property
    def gone(self) -> frozenset[ImageId]:
        return frozenset()  # the catalog was told

    @property
    def url(self) -> str:
        return f"{self.client.url}/projects/{self.project.server_id}/data"

    @property
    def sides(self) -> Sides:
        return Sides(self.client, self.catalog, self.project)

    @property
    def where(self) -> str:
        return f"project {self.project.title!r} on {self.client.url}"

    def warnings(self) -> Iterator[str]:
        """Yield what is odd about the server and the project, a line each."""
        yield from self.namesakes
        yield from self.exposed
        if self.gold:
            yield from self.gold.warnings()
            if n_late := count_late_truth(self.catalog, self.project.key, self.gold.found):
                yield say_late_truth(n_late)
        yield from other_release(self.client.version(), self.client.url)
        config, wanted = self.project.label_config, self.settings.labels.annotate
        yield from describe_misfit(config, self.policy, self.missing, wanted=wanted, where=self.where)
        yield from overwritten_warnings(self.settings, self.catalog, self.project)
        yield from notice_changes(self.settings.changes, self.catalog, self.project)

    def describe_external(self) -> Iterator[str]:
        """Yield a line about the tasks that the catalog does not know, after it took those of its images."""
        if self.n_external <= 0:
            return
        n_tasks = self.client.project(self.project.server_id).n_tasks
        n_external = n_tasks - self.catalog.server_tasks.totals(self.project.key)[0]
        if n_external > 0:
            verb = "was" if n_external == 1 else "were"
            tasks = format_count(n_external, "task")
            yield f"{tasks} in {self.where} {verb} made by somebody else and left alone"


PushSpec: TypeAlias = QueueView | Queue
"""A project as a plan needs to know it, for one model version."""


@contextmanager
def opened_queue(
    settings: Settings,
    catalog: Catalog,
    *,
    version: ModelVersion,
    taxonomy: Taxonomy,
    limit: Limit = UNLIMITED,
) -> Iterator[Queue]:
    """The queue of the settings, its project made if there is none. Nobody else pushes to it meanwhile.

    Raises Unreachable, LabelStudioError, and FormatError if the project's interface fits no class at all.
    """
    with (
        open_client(settings.server) as client,
        catalog.locks.hold(f"queue {settings.queue.project}"),
    ):
        made = _ready_project(settings, client, catalog, taxonomy)
        on_server = made.project
        project = record_project(catalog, client.url, on_server)
        sides = Sides(client, catalog, project)
        policy, missing = _fit_interface(
            on_server.label_config, taxonomy, shape_policy(settings.labels), title=settings.queue.project
        )
        unsettled = catalog.tasks.open_intents(project.key) or catalog.possible_duplicates.all(project.key)
        local = settings.queue.serve_images == "local-files"
        settle_intents(sides, patience_s=settings.label_studio.patience_s)
        removed = resolve_duplicates(sides, remove=settings.queue.remove_duplicates)
        is_news = unsettled or removed != Removed()
        n_tasks = client.project(project.server_id).n_tasks if is_news else on_server.n_tasks
        if settings.queue.restore:
            catalog.server_tasks.mark_deleted(project.key, find_gone(sides))
        with _deletion_explained(project):
            yield Queue(
                settings=settings,
                client=client,
                catalog=catalog,
                project=project,
                serving=image_serving(settings, client, on_server.id),
                taxonomy=taxonomy,
                version=version,
                policy=policy,
                interface=read_interface(on_server.label_config),
                missing=missing,
                n_external=_count_external(catalog, project, n_tasks - removed.n_tasks_left),
                removed=removed,
                namesakes=made.warnings,
                exposed=close_exposed(served_folder(settings), sides) if local else (),
                gold=known_truth(settings, catalog),
                limit=limit,
            )


@contextmanager
def viewed_queue(
    settings: Settings, catalog: Catalog, *, version: ModelVersion, taxonomy: Taxonomy
) -> Iterator[QueueView]:
    """A look at the queue of the settings; nothing is made, recorded or settled.

    Where no server answers, the catalog alone says what is there, and a warning says so. Raises FormatError
    if the project's interface fits no class at all.
    """
    with ExitStack() as stack:
        client, on_server, warnings = None, None, tuple[str, ...]()
        try:
            client = stack.enter_context(open_client(settings.server))
            on_server = next(iter(own_projects(catalog, client.find_projects(settings.queue.project))), None)
        except DetsegError as error:
            client = None
            warnings = (f"by the catalog alone, because Label Studio cannot be asked: {error}",)
        if client is not None and on_server is None:
            check_not_renamed(client, catalog, settings.queue.project)
        project = _find_project(catalog, client, settings.queue.project, on_server)
        policy, missing = shape_policy(settings.labels), frozenset[str]()
        if client and on_server and on_server.n_tasks:  # without tasks its interface is made to fit
            config = follow_changes(
                on_server.label_config,
                taxonomy,
                catalog.relabeling,
                in_use=catalog.relabeling.ended,
                policy=policy,
            )
            policy, missing = _fit_interface(config, taxonomy, policy, title=settings.queue.project)
            where = f"project {on_server.title!r} on {client.url}"
            wanted = settings.labels.annotate
            warnings += tuple(describe_misfit(config, policy, missing, wanted=wanted, where=where))
        gone: frozenset[ImageId] = frozenset()
        if settings.queue.restore and client and project:
            gone = frozenset(find_gone(Sides(client, catalog, project)).values())
        n_known = catalog.server_tasks.totals(project.key)[0] if project else 0
        yield QueueView(
            settings=settings,
            catalog=catalog,
            client=client,
            project=project,
            taxonomy=taxonomy,
            version=version,
            policy=policy,
            missing=missing,
            gold=known_truth(settings, catalog),
            may_hold_external=on_server is not None
            and (on_server.n_tasks != n_known or (project is not None and _external_seen(catalog, project))),
            gone=gone,
            warnings=warnings,
        )


def _ready_project(
    settings: Settings, client: LabelStudioClient, catalog: Catalog, taxonomy: Taxonomy
) -> MadeProject:
    """The project of the settings, made if there is none, its interface and instruction up to the classes."""
    title, policy = settings.queue.project, shape_policy(settings.labels)
    fit = partial(
        fit_project,
        client,
        title,
        taxonomy,
        policy=policy,
        overlap=settings.queue.overlap,
        relabeling=catalog.relabeling,
    )
    made = make_project(client, catalog, title, fit, patience_s=settings.label_studio.patience_s)
    follow_guidance(settings.declared_taxonomy, client, made.project, settings.path)
    return made


def _fit_interface(
    label_config: str, taxonomy: Taxonomy, wanted: ShapePolicy, *, title: str
) -> tuple[ShapePolicy, frozenset[str]]:
    """Compare a project's interface with what is wanted: what it takes of the shapes, and the labels that it
    lacks."""
    policy = fit_policy(wanted, label_config, taxonomy)
    missing = missing_labels(label_config, taxonomy, policy)
    if missing and len(missing) == len(missing_labels("<View/>", taxonomy, policy)):
        check_config(label_config, taxonomy, policy, where=f"project {title!r}")
    return policy, frozenset(missing)


def _find_project(
    catalog: Catalog, client: LabelStudioClient | None, title: str, on_server: QueueProject | None
) -> Project | None:
    """The catalog's project, by its title where the server cannot be asked.

    One that is on the server and that the catalog does not know has a key of which nothing is recorded.
    """
    if client is None:
        return next(reversed(catalog.projects.titled(title)), None)
    if on_server is None:
        return None
    same = (on_server.id, on_server.created_at)
    known = (one for one in catalog.projects.all() if (one.server_id, one.created_at) == same)
    return next(known, None) or Project(
        ProjectKey(0), on_server.id, client.url, title, on_server.created_at, on_server.label_config
    )


def _external_seen(catalog: Catalog, project: Project) -> bool:
    """Look up whether somebody else has ever had tasks in the project."""
    return catalog.cursors.get(f"foreign:{project.key}") is not None


def _count_external(catalog: Catalog, project: Project, n_tasks: int) -> int:
    """Count the tasks that the project has more than the catalog knows, and record that there were any,
    because as many of its own may be deleted later, and the difference is nil."""
    n_external = n_tasks - catalog.server_tasks.totals(project.key)[0]
    if n_external > 0:
        catalog.cursors.set(f"foreign:{project.key}", str(n_external))
    return n_external


@contextmanager
def _deletion_explained(project: Project) -> Iterator[None]:
    """Says it where a request is refused because the project is gone or closed to us."""
    try:
        yield
    except Refused as error:
        if error.status not in (403, 404):
            raise
        raise LabelStudioError(
            f"project {project.title!r} (id {project.server_id}) was deleted in Label Studio, or the token's "
            f"user may no longer see it: run again to make a new one, or name another ({error})"
        ) from error
