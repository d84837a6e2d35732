"""Storage rows that serve whole folders: earlier versions made them. What needs them is moved, and they go.

Everybody who can sign in to Label Studio may read all that lies below such a row's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from detseg.errors import ImageError
from detseg.labelstudio.client import LabelStudioClient, seen_task
from detseg.labelstudio.listing import UNSHOWN
from detseg.labelstudio.serving import LocalFiles
from detseg.paging import pages
from detseg.pipeline import progress
from detseg.pipeline.serving import served_folder
from detseg.pipeline.workspace import Sides, open_client, opened_catalog
from detseg.sources.registry import LOCAL, scheme_of
from detseg.types import ImageRef

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.labelstudio.served import ServedFolder
    from detseg.labelstudio.session import Json

MEND = "delete that storage in the project's settings (Cloud Storage), after the tasks that need it"


def exposed_folders(client: LabelStudioClient, project: int, folder: ServedFolder) -> tuple[Json, ...]:
    """The rows of a project that serve another folder than ours."""
    rows = client.storages(project, "localfiles")
    return tuple(row for row in rows if row.get("path") != str(folder.path))


def close_exposed(folder: ServedFolder, sides: Sides) -> tuple[str, ...]:
    """Has the tasks that we made show images of our folder, and removes the rows that we made for them.

    A row that somebody else made, or that somebody else's tasks need, stays; the warnings say which.
    """
    client, project = sides.client, sides.project
    rows = exposed_folders(client, project.server_id, folder)
    if not rows:
        return ()
    LocalFiles(client, project.server_id, folder).prepare(())
    n_theirs, n_lost = _move_tasks(sides, folder)
    warnings = []
    for row in rows:
        if row.get("title") == str(row["path"])[-256:] and not n_theirs:  # as we named it
            client.delete_storage("localfiles", row["id"])
        else:
            warnings.append(f"{describe_exposed(row, project.title)}: {MEND}")
    if n_lost:
        warnings.append(
            f"project {project.title!r} has {n_lost} of our tasks that show no image, because their files "
            "are gone or were changed: delete them in Label Studio, or put the files back and run again"
        )
    return tuple(warnings)


def close_all_exposed(settings: Settings) -> Iterator[str]:
    """The same for all projects of the catalog that the embedded server has."""
    if settings.label_studio.url is not None:
        return
    with open_client(settings.server) as client, opened_catalog(settings) as catalog:
        for project in catalog.projects.all():
            found = client.find_projects(project.title)
            if any((one.id, one.created_at) == (project.server_id, project.created_at) for one in found):
                yield from close_exposed(served_folder(settings), Sides(client, catalog, project))


def describe_exposed(row: Json, title: str) -> str:
    """One line about such a row."""
    return (
        f"everybody who can sign in to Label Studio may read all files below {row['path']}, by the local "
        f"storage {row.get('title')!r} of project {title!r}"
    )


def _move_tasks(sides: Sides, folder: ServedFolder) -> tuple[int, int]:
    """Move our tasks; count those of others that show local files from elsewhere, and ours that cannot be
    moved."""
    client, catalog, project = sides.client, sides.catalog, sides.project
    n_theirs = n_lost = 0
    for page in pages(client.local_file_tasks(project.server_id, elsewhere_than=folder.path.name)):
        ours = catalog.server_tasks.recognise(project.key, map(seen_task, page)).images
        refs = catalog.images.refs(ours.values())
        for task in page:
            image = ours.get(task["id"])
            ref = None if image is None else refs.get(image)
            if image is None or (
                ref is not None and scheme_of(ref.uri) != LOCAL
            ):  # not made by us, but marked
                n_theirs += 1
            elif UNSHOWN in task or ref is None or not _is_placed(folder, ref):
                n_lost += 1
            else:
                client.update_task(task["id"], data=task["data"] | {"image": folder.url(image)})
                progress.report("move images", advance=1)
    return n_theirs, n_lost


def _is_placed(folder: ServedFolder, ref: ImageRef) -> bool:
    try:
        folder.place(ref)
    except ImageError:
        return False
    return True
