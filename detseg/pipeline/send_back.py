"""The use case of ``detseg qa --send-back N``: the worst suspects, in a tab of Label Studio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from detseg.errors import ConfigError, LabelStudioError
from detseg.labelstudio.tabs import remove_tab, show_in_tab
from detseg.pipeline.workspace import find_project, open_client

if TYPE_CHECKING:
    from detseg.config.settings import ServerAccess
    from detseg.labelstudio.client import LabelStudioClient
    from detseg.metrics.suspects.findings import Suspect

TITLE = "detseg: to review"
"""The tab's, by which the next run finds it again."""


@dataclass(frozen=True, slots=True)
class SentBack:
    """The content of the tab.

    ``n_sent`` tasks; ``n_gone`` have suspects and were deleted on the server. ``url`` opens the tab, None
    where nothing is left to look at and no tab. ``problem`` says why nothing was sent, in one line.
    """

    n_sent: int = 0
    n_gone: int = 0
    url: str | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def send_back(server: ServerAccess, title: str, suspects: Sequence[Suspect], n: int) -> SentBack:
    """Put the tasks of the ``n`` worst suspects' images (of as many as there are) into the tab of a project.

    With none the tab is taken away. What people made is never touched. A server that does not answer, or
    refuses, is a ``problem`` and no error: the report that the suspects are from has been written.
    """
    try:
        with open_client(server) as client:
            project = find_project(client, title).id
            alive, n_gone = _alive(client, project, suspects)
            if alive[:n]:
                tab = show_in_tab(client, project, TITLE, alive[:n])
                return SentBack(len(alive[:n]), n_gone, tab.url)
            remove_tab(client, project, TITLE)
            return SentBack(n_gone=n_gone)
    except (LabelStudioError, ConfigError) as error:
        return SentBack(problem=f"nothing was sent back: {error}")


def _alive(client: LabelStudioClient, project: int, suspects: Sequence[Suspect]) -> tuple[list[str], int]:
    """The images with suspects, worst first, each once, whose tasks the server has; how many it has not."""
    tasks = {suspect.image: suspect.task_id for suspect in suspects}
    known = client.tasks_by_keys(project, list(tasks))
    alive = [str(image) for image, task in tasks.items() if task in known.get(image, ())]
    return alive, len(tasks) - len(alive)
