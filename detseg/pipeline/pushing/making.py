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
    client: LabelStudioClient, catalog: Catalog, title: str, ensure: Callable[[], int], *, patience_s: float
) -> int:
    """The server's id of the project, as ``ensure`` makes or finds it. Nobody else may make it meanwhile.

    The catalog remembers when it was asked for: a server that is still at it is waited for, and what it made
    twice after all is empty and goes. Raises what ``ensure`` raises.
    """
    asked, patience = f"project {title} on {client.url} asked for", timedelta(seconds=patience_s)
    before = catalog.cursors.get(asked)
    if before is not None and datetime.now(UTC) - datetime.fromisoformat(before) < _REMEMBERED:
        _remove_spare(client, _wait_for(client, title, datetime.fromisoformat(before) + patience))
    if not client.find_projects(title):
        catalog.cursors.set(asked, datetime.now(UTC).isoformat())
        failpoint("push.before_project")
    try:
        return ensure()
    except Refused:
        raise
    except LabelStudioError:
        if not _wait_for(client, title, datetime.now(UTC) + patience):
            raise
    return ensure()


def _wait_for(client: LabelStudioClient, title: str, deadline: datetime) -> tuple[Project, ...]:
    """The projects of that title, as soon as there is one, or none at that time."""
    while True:
        found = client.find_projects(title)
        if found or datetime.now(UTC) >= deadline:
            return found
        time.sleep(_POLL_S)


def _remove_spare(client: LabelStudioClient, found: Sequence[Project]) -> None:
    """Leaves one of the projects that are empty; one with tasks stays in any case."""
    kept = next((project for project in found if project.n_tasks), found[0] if found else None)
    for project in found:
        if project != kept and project.n_tasks == 0:
            client.delete_project(project.id)
