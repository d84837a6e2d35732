"""Tasks whose pages show other pictures than those that were predicted: their files were overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Project
    from detseg.config import Settings

_N_NAMED = 5

MEND = (
    "delete these tasks in Label Studio (what is there now has tasks of its own), or put the files back and "
    "run again"
)


def describe_overwritten(settings: Settings, catalog: Catalog, project: Project) -> str:
    """One line about such tasks, as far as the last look at the source knows; empty if there are none.

    Uploaded images are copies, which nobody overwrites. An image that is still found under another of its
    names counts as there, whichever name its task uses.
    """
    if settings.serve_images == "upload":
        return ""
    tasks = catalog.tasks.overwritten(project.key)
    if not tasks:
        return ""
    named = ", ".join(map(str, tasks[:_N_NAMED])) + (", ..." if len(tasks) > _N_NAMED else "")
    n_tasks = "1 task shows" if len(tasks) == 1 else f"{len(tasks)} tasks show"
    return (
        f"{n_tasks} another picture than the one that was predicted, because its file was overwritten "
        f"(task {named} of project {project.title!r})"
    )


def overwritten_warnings(settings: Settings, catalog: Catalog, project: Project) -> Iterator[str]:
    """The line with its mend, if there is one."""
    line = describe_overwritten(settings, catalog, project)
    if line:
        yield f"{line}: {MEND}"
