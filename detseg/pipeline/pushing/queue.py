"""Where a push goes: the project, the way to its server, and what may be sent there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from detseg.errors import LabelStudioError, Refused
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.install import VERSION as TESTED_VERSION
from detseg.labelstudio.label_config import check_config, missing_labels, offered_kinds
from detseg.labelstudio.project import fit_project
from detseg.labelstudio.serving import ImageServing
from detseg.labelstudio.shapes import ShapePolicy
from detseg.pipeline.asking import shape_policy
from detseg.pipeline.experiments.gold import KnownTruth, known_truth
from detseg.pipeline.overwritten import overwritten_warnings
from detseg.pipeline.pushing.making import make_project
from detseg.pipeline.pushing.settling import settle_intents
from detseg.pipeline.serving import image_serving
from detseg.pipeline.workspace import find_connection, record_project
from detseg.taxonomy import Taxonomy
from detseg.types import ModelVersion

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Project
    from detseg.config import Settings

Limit = Callable[[], AbstractContextManager[object]]
"""Entered around every request that adds something: waits until all workers together may send one more."""

UNLIMITED: Limit = nullcontext


@dataclass(frozen=True, slots=True)
class Queue:
    """One project, for one model version. ``missing`` are labels that its interface lacks: "box: bolt".

    ``n_foreign`` says how many tasks of the project the catalog does not know, less those that it knows and
    that were deleted there. ``doubled`` has a line for each image that is two tasks with people's work.
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
    missing: frozenset[str]
    n_foreign: int
    doubled: tuple[str, ...]
    shown_version: str
    gold: KnownTruth | None = None
    limit: Limit = UNLIMITED

    @property
    def url(self) -> str:
        return f"{self.client.url}/projects/{self.project.server_id}/data"

    @property
    def where(self) -> str:
        return f"project {self.project.title!r} on {self.client.url}"

    def warnings(self) -> Iterator[str]:
        """What is odd about the server and the project, a line each."""
        yield from self.doubled
        yield from self.gold.warnings() if self.gold else ()
        yield from other_release(self.client.version(), self.client.url)
        if self.missing:
            yield (
                f"the labeling interface of {self.where} lacks {', '.join(sorted(self.missing))}: such "
                "regions were left out (add the labels there: Settings, Labeling Interface)"
            )
        yield from overwritten_warnings(self.settings, self.catalog, self.project)
        if self.n_foreign > 0:
            yield f"{self.n_foreign} tasks in {self.where} were made by somebody else: they were left alone"


def other_release(release: str, url: str) -> Iterator[str]:
    """A warning about a server of a version that this code was not tested with."""
    if release.split(".")[:2] != TESTED_VERSION.split(".")[:2]:
        yield (
            f"Label Studio at {url} is {release}, this detseg was tested with {TESTED_VERSION}: look at a "
            "task after the push"
        )


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
    connection, policy = find_connection(settings), shape_policy(settings)
    with (
        LabelStudioClient(connection.url, connection.token) as client,
        catalog.locks.hold(f"queue {settings.project}"),
    ):
        on_server = make_project(
            client,
            catalog,
            settings.project,
            lambda found: fit_project(
                client, settings.project, taxonomy, found, policy=policy, overlap=settings.overlap
            ),
            patience_s=settings.label_studio_patience_s,
        )
        project = record_project(catalog, client.url, on_server)
        missing = missing_labels(on_server.label_config, taxonomy, policy)
        if missing and len(missing) == len(missing_labels("<View/>", taxonomy, policy)):
            check_config(on_server.label_config, taxonomy, policy, where=f"project {settings.project!r}")
        unsettled = catalog.tasks.open_intents(project.key) or catalog.doubts.all(project.key)
        doubled = settle_intents(client, catalog, project, patience_s=settings.label_studio_patience_s)
        n_tasks = client.project(project.server_id).n_tasks if unsettled else on_server.n_tasks
        with _deletion_explained(project):
            yield Queue(
                settings=settings,
                client=client,
                catalog=catalog,
                project=project,
                serving=image_serving(settings, client, on_server.id),
                taxonomy=taxonomy,
                version=version,
                policy=replace(policy, kinds=offered_kinds(on_server.label_config, taxonomy)),
                missing=frozenset(missing),
                n_foreign=_count_foreign(catalog, project, n_tasks),
                doubled=doubled,
                shown_version=on_server.model_version,
                gold=known_truth(settings, catalog),
                limit=limit,
            )


def foreign_seen(catalog: Catalog, project: Project) -> bool:
    """Whether somebody else has ever had tasks in the project."""
    return catalog.cursors.get(f"foreign:{project.key}") is not None


def _count_foreign(catalog: Catalog, project: Project, n_tasks: int) -> int:
    """How many tasks the project has more than the catalog knows; it remembers that there were any, because
    as many of its own may be deleted later, and the difference is nil."""
    n_foreign = n_tasks - catalog.tasks.count(project.key, "pushed")
    if n_foreign > 0:
        catalog.cursors.set(f"foreign:{project.key}", str(n_foreign))
    return n_foreign


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
