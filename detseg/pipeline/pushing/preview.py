"""What a push would do, image by image. Reads the catalog and the server, and changes neither."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from detseg.errors import DetsegError, FormatError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.client import Project as QueueProject
from detseg.labelstudio.label_config import missing_labels, offered_kinds
from detseg.labelstudio.predictions import look_up
from detseg.labelstudio.shapes import ShapePolicy
from detseg.paging import pages
from detseg.pipeline.asking import shape_policy
from detseg.pipeline.pushing.encoding import encode_fitting
from detseg.pipeline.pushing.finding import Missing, find_gone, find_missing, find_tasks
from detseg.pipeline.pushing.report import ImageOutcome, PushReport, Status, report_of
from detseg.pipeline.workspace import find_connection
from detseg.taxonomy import Taxonomy
from detseg.types import ImageId, ImageRef, ModelVersion

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Project
    from detseg.config import Settings


@dataclass(frozen=True, slots=True)
class _View:
    """The project as it is: ``client`` and ``on_server`` are None where nobody answers or there is none yet,
    ``project`` where the catalog knows none."""

    settings: Settings
    catalog: Catalog
    taxonomy: Taxonomy
    version: ModelVersion
    policy: ShapePolicy
    missing: frozenset[str]
    client: LabelStudioClient | None
    on_server: QueueProject | None
    project: Project | None


def preview(
    settings: Settings,
    catalog: Catalog,
    *,
    refs: Iterable[ImageRef],
    version: ModelVersion,
    taxonomy: Taxonomy,
) -> PushReport:
    """The report that a push of these images would give; those without a prediction would be predicted first.

    Where no server answers, the catalog alone is asked, and a warning says so.
    """
    with ExitStack() as stack:
        warnings: list[str] = []
        client, on_server = None, None
        try:
            connection = find_connection(settings)
            client = stack.enter_context(LabelStudioClient(connection.url, connection.token))
            on_server = next(iter(client.find_projects(settings.project)), None)
        except DetsegError as error:
            client = None
            warnings.append(f"by the catalog alone, because Label Studio cannot be asked: {error}")
        project = _known_project(catalog, settings.project, on_server, asked=client is not None)
        policy, missing = shape_policy(settings), frozenset[str]()
        if on_server is not None and on_server.n_tasks:
            missing = frozenset(missing_labels(on_server.label_config, taxonomy, policy))
            policy = replace(policy, kinds=offered_kinds(on_server.label_config, taxonomy))
        view = _View(settings, catalog, taxonomy, version, policy, missing, client, on_server, project)
        url = f"{client.url}/projects/{on_server.id}/data" if client and on_server else ""
        server_id = on_server.id if on_server else project.server_id if project else 0
        return report_of(_outcomes(view, refs), server_id, url, warnings)


def _known_project(
    catalog: Catalog, title: str, on_server: QueueProject | None, *, asked: bool
) -> Project | None:
    if asked and on_server is None:
        return None
    found = [entry for entry in catalog.projects.all() if entry.title == title]
    if on_server is not None:
        same = (on_server.id, on_server.created_at)
        found = [entry for entry in found if (entry.server_id, entry.created_at) == same]
    return found[-1] if found else None


def _outcomes(view: _View, refs: Iterable[ImageRef]) -> Iterator[ImageOutcome]:
    gone = _gone(view)
    for page in pages(refs):
        missing = _missing(view, page)
        yield from (ImageOutcome(ref, "deleted") for ref in missing.deleted)
        lost = [ref for ref in missing.present if ref.id in gone]
        yield from (ImageOutcome(ref, "present") for ref in missing.present if ref.id not in gone)
        held = _held(view, missing.tasks)
        yield from (ImageOutcome(ref, held[ref.id]) for ref in missing.tasks if ref.id in held)
        new = [ref for ref in missing.tasks if ref.id not in held] + lost
        yield from _encodable(view, new, dict.fromkeys((ref.id for ref in new), "pushed"))
        more = _more(view, missing)
        yield from (ImageOutcome(ref, "deleted") for ref, _ in missing.predictions if ref.id not in more)
        yield from _encodable(view, [ref for ref, _ in missing.predictions if ref.id in more], more)


def _missing(view: _View, page: Sequence[ImageRef]) -> Missing:
    if view.project is None:
        return Missing(tasks=tuple(page))
    restore = view.settings.restore
    return find_missing(view.catalog, view.project.key, page, view.version, restore=restore)


def _gone(view: _View) -> frozenset[ImageId]:
    """With ``restore``: the images whose tasks were deleted on the server, which the catalog may not know."""
    if not (view.settings.restore and view.client and view.on_server and view.project):
        return frozenset()
    return frozenset(find_gone(view.client, view.catalog, view.project).values())


def _held(view: _View, refs: Sequence[ImageRef]) -> dict[ImageId, Status]:
    """Images that have a task by somebody else, or by another catalog."""
    if not (refs and view.client and view.on_server and view.on_server.n_tasks):
        return {}
    if view.project is None:
        keys = view.client.tasks_by_keys(view.on_server.id, [ref.id for ref in refs])
        return {ImageId(key): "present" for key in keys}
    found = find_tasks(view.client, view.catalog, view.project, [ref.id for ref in refs])
    own: dict[ImageId, Status] = dict.fromkeys(found.own, "present")
    return own | dict.fromkeys(found.foreign, "held")


def _more(view: _View, missing: Missing) -> dict[ImageId, Status]:
    """What would become of the tasks that lack this version; those that are gone are left out."""
    added: dict[ImageId, Status] = {ref.id: "added" for ref, _ in missing.predictions}
    if not (view.client and view.on_server and missing.predictions):
        return added
    tasks = look_up(view.client.session, view.on_server.id, [task for _, task in missing.predictions])
    replaces = view.settings.predictions == "replace"
    return {
        ref.id: "replaced" if replaces and not tasks[task].touched and tasks[task].versions else "added"
        for ref, task in missing.predictions
        if task in tasks
    }


def _encodable(
    view: _View, refs: Sequence[ImageRef], statuses: dict[ImageId, Status]
) -> Iterator[ImageOutcome]:
    """The outcomes of images that would be sent, or the reasons why they could not be."""
    by_id = {ref.id: ref for ref in refs}
    for prediction in view.catalog.predictions.read(by_id, view.version):
        ref = by_id.pop(prediction.image)
        try:
            _, left_out = encode_fitting(view, ref, prediction, url="")
        except FormatError as error:
            yield ImageOutcome(ref, "refused", reason=str(error))
        else:
            yield ImageOutcome(ref, statuses[ref.id], reason="; ".join(left_out))
    yield from (ImageOutcome(ref, statuses[ref.id]) for ref in by_id.values())  # to be predicted first
