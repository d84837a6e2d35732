"""Makes the project of the settings once, also where the answer to making it was lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from detseg.errors import LabelStudioError, Refused
from detseg.labelstudio.client import LabelStudioClient, Project
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.pushing.waiting import GIVEN_UP, ask_until, seconds_left

if TYPE_CHECKING:
    from detseg.catalog import Catalog


def make_project(
    client: LabelStudioClient,
    catalog: Catalog,
    title: str,
    make: Callable[[Sequence[Project]], Project],
    *,
    patience_s: float,
) -> Project:
    """The project that ``make`` makes, given those that the server has under that title.

    Nobody else may make it meanwhile. The catalog remembers when it was asked for: a server that is still at
    it is waited for, and what it made twice after all is empty and goes. Raises what ``make`` raises.
    """
    asked, find = f"project {title} on {client.url} asked for", partial(client.find_projects, title)
    before = catalog.cursors.get(asked)
    if before is None:
        found = find()
    else:
        begun = datetime.fromisoformat(before)
        found = ask_until(1, find, patience_s=seconds_left(begun, patience_s))
        if datetime.now(UTC) - begun < GIVEN_UP:
            found = _without_spare(client, found)
    if not found:
        catalog.cursors.set(asked, datetime.now(UTC).isoformat())
        failpoint("push.before_project")
    try:
        return make(found)
    except Refused:
        raise
    except LabelStudioError:
        found = ask_until(1, find, patience_s=patience_s)
        if not found:
            raise
    return make(found)


def _without_spare(client: LabelStudioClient, found: Sequence[Project]) -> tuple[Project, ...]:
    """Deletes all but one of the projects that are empty; one with tasks stays in any case."""
    kept = next((project for project in found if project.n_tasks), found[0] if found else None)
    spare = [project for project in found if project != kept and project.n_tasks == 0]
    for project in spare:
        client.delete_project(project.id)
    return tuple(project for project in found if project not in spare)
