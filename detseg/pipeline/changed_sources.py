"""Images whose files were overwritten after they were pushed: taken out of the served folder, and said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from detseg.errors import ConfigError
from detseg.paging import pages
from detseg.pipeline.serving import served_folder
from detseg.plurals import format_count
from detseg.sources.folder import stat_entry
from detseg.sources.registry import LOCAL, scheme_of
from detseg.types import Entry, Failure

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Project
    from detseg.config import Settings

_N_NAMED = 5

MEND = (
    "delete these tasks in Label Studio (what is there now has tasks of its own), or put the files back and "
    "run again"
)


def withdraw_overwritten(settings: Settings, catalog: Catalog) -> None:
    """Takes those out of the served folder whose bytes are not those of the image any more.

    Whatever became of the file afterwards: it may have been moved, or deleted. The places where such an image
    was found are forgotten, unless one still has the file as it was listed.
    """
    if settings.queue.serve_images != "local-files":
        return
    try:
        folder = served_folder(settings)
    except ConfigError:  # nothing is served from here; what pushes says what is wrong
        return
    for page in pages(folder.images()):
        listed = catalog.images.entries(page)
        for image in catalog.images.sizes(page):  # others are those of another catalog, which looks at them
            entries = listed.get(image, ())
            if not folder.holds(image, entries):
                folder.withdraw(image)
                catalog.images.forget(one.uri for one in entries if _is_changed(one))


def _is_changed(entry: Entry) -> bool:
    if scheme_of(entry.uri) != LOCAL:
        return False
    now = stat_entry(entry.uri)
    return isinstance(now, Failure) or (now.byte_size, now.stamp) != (entry.byte_size, entry.stamp)


def describe_overwritten(settings: Settings, catalog: Catalog, project: Project) -> str:
    """One line about such tasks, as far as the last look at the source knows; empty if there are none.

    Uploaded images are copies, which nobody overwrites, and so are local files that were replaced and not
    written to. An image that is still found under another of its names counts as there.
    """
    if settings.queue.serve_images == "upload":
        return ""
    images = catalog.tasks.overwritten(project.key)
    local = settings.queue.serve_images == "local-files"
    served = served_folder(settings) if local and images else None
    tasks = [task for task, image in images.items() if served is None or not served.holds(image)]
    if not tasks:
        return ""
    named = ", ".join(map(str, tasks[:_N_NAMED])) + (", ..." if len(tasks) > _N_NAMED else "")
    n_tasks = format_count(len(tasks), "task")
    shows = "no picture any more" if local else "another picture than the one that was predicted"
    return (
        f"{n_tasks} of project {project.title!r} {'shows' if len(tasks) == 1 else 'show'} {shows}, because "
        f"the file was overwritten (task {named})"
    )


def overwritten_warnings(settings: Settings, catalog: Catalog, project: Project) -> Iterator[str]:
    """The line with its mend, if there is one."""
    line = describe_overwritten(settings, catalog, project)
    if line:
        yield f"{line}: {MEND}"
