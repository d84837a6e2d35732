"""Makes the project of the settings once, also where the answer to making it was lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from detseg.errors import LabelStudioError, Refused
from detseg.labelstudio.client import LabelStudioClient, Project
from detseg.pipeline.failpoints import failpoint

if TYPE_CHECKING:
    from detseg.catalog import Catalog

_POLL_S = 0.5
_REMEMBERED = timedelta(hours=1)


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
    asked, patience = f"project {title} on {client.url} asked for", timedelta(seconds=patience_s)
    before = catalog.cursors.get(asked)
    deadline = datetime.fromisoformat(before) + patience if before else datetime.now(UTC)
    found = _wait_for(client, title, deadline)
    if before is not None and datetime.now(UTC) - datetime.fromisoformat(before) < _REMEMBERED:
        found = _without_spare(client, found)
    if not found:
        catalog.cursors.set(asked, datetime.now(UTC).isoformat())
        failpoint("push.before_project")
    try:
        return make(found)
    except Refused:
        raise
    except LabelStudioError:
        found = _wait_for(client, title, datetime.now(UTC) + patience)
        if not found:
            raise
    return make(found)


def _wait_for(client: LabelStudioClient, title: str, deadline: datetime) -> tuple[Project, ...]:
    """The projects of that title, as soon as there is one, or none at that time."""
    while True:
        found = client.find_projects(title)
        if found or datetime.now(UTC) >= deadline:
            return found
        time.sleep(_POLL_S)


def _without_spare(client: LabelStudioClient, found: Sequence[Project]) -> tuple[Project, ...]:
    """Deletes all but one of the projects that are empty; one with tasks stays in any case."""
    kept = next((project for project in found if project.n_tasks), found[0] if found else None)
    spare = [project for project in found if project != kept and project.n_tasks == 0]
    for project in spare:
        client.delete_project(project.id)
    return tuple(project for project in found if project not in spare)
