"""Makes the project of the settings once, also where the answer to making it was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from detseg.errors import LabelStudioError, Refused
from detseg.labelstudio.client import LabelStudioClient, Project
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.pushing.settling import GIVEN_UP, ask_until, seconds_left
from detseg.pipeline.workspace import check_not_renamed, describe_namesakes, own_projects

if TYPE_CHECKING:
    from detseg.catalog import Catalog


@dataclass(frozen=True, slots=True)
class MadeProject:
    """The project on the server, and lines about others that have its title, or had it."""

    project: Project
    warnings: tuple[str, ...]


def make_project(
    client: LabelStudioClient,
    catalog: Catalog,
    title: str,
    make: Callable[[Sequence[Project]], Project],
    *,
    patience_s: float,
) -> MadeProject:
    """The project that ``make`` makes, given ours of those that the server has under that title.

    Nobody else may make it meanwhile. The catalog remembers when it was asked for: a server that is still at
    it is waited for, and what it made twice after all is empty and goes. Raises what ``make`` raises, and
    LabelStudioError where ours has another title now.
    """
    asked, find = f"project {title} on {client.url} asked for", partial(client.find_projects, title)
    before, spare = catalog.cursors.get(asked), tuple[Project, ...]()
    if before is None:
        found = find()
    else:
        begun = datetime.fromisoformat(before)
        found = ask_until(1, find, patience_s=seconds_left(begun, patience_s))
        if datetime.now(UTC) - begun < GIVEN_UP:
            spare = tuple(one for one in _spare(catalog, found) if not client.task_ids(one.id))
            for project in spare:
                client.delete_project(project.id)
            found = tuple(project for project in found if project not in spare)
    own = own_projects(catalog, found)
    if not found:
        check_not_renamed(client, catalog, title)
        catalog.cursors.set(asked, datetime.now(UTC).isoformat())
        failpoint("push.before_project")
    try:
        made = make(own)
    except Refused:
        raise
    except LabelStudioError:
        own = found = ask_until(1, find, patience_s=patience_s)
        if not found:
            raise
        made = make(found)
    warnings = (*_describe_spare(title, spare), *describe_namesakes(client.url, found, made))
    return MadeProject(made, warnings)


def _spare(catalog: Catalog, found: Sequence[Project]) -> tuple[Project, ...]:
    """All but one of the projects that are empty and alike; ours stays, and one with tasks in any case.

    What somebody made by hand under that title has another labeling interface, or none.
    """
    own = own_projects(catalog, found)
    kept = next((project for project in own if project.n_tasks), own[0] if own else None)
    alike = [project for project in found if kept and project.label_config == kept.label_config]
    return tuple(project for project in alike if project != kept and project.n_tasks == 0)


def _describe_spare(title: str, spare: Sequence[Project]) -> Iterator[str]:
    if spare:
        numbers = ", ".join(str(project.id) for project in spare)
        yield (
            f"a request was carried out more than once: project {title!r} was there twice, and the empty one "
            f"(id {numbers}) was removed"
        )
