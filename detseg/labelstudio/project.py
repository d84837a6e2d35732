"""What a project needs before tasks are sent: itself, its labeling interface, and folders to serve from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from urllib.parse import quote

from detseg.errors import FormatError, LabelStudioError
from detseg.labelstudio.client import LabelStudioClient, Project
from detseg.labelstudio.label_config import check_config, missing_labels, taxonomy_to_config
from detseg.labelstudio.shapes import DEFAULT_POLICY, ShapePolicy
from detseg.taxonomy import Taxonomy

DOCUMENT_ROOT = Path("/")
"""Where the embedded server's file URLs start. Storages, not the root, limit what is served. A server of
one's own has the folder of its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""

_TITLE_LENGTHS = range(3, 51)


def ensure_project(
    client: LabelStudioClient, title: str, taxonomy: Taxonomy, *, policy: ShapePolicy = DEFAULT_POLICY
) -> int:
    """The id of the project with that title, made if there is none; see ``fit_project``.

    Raises FormatError if a project with tasks lacks classes.
    """
    project = fit_project(client, title, taxonomy, client.find_projects(title), policy=policy)
    check_config(project.label_config, taxonomy, policy, where=f"project {title!r} on {client.url}")
    return project.id


def fit_project(
    client: LabelStudioClient,
    title: str,
    taxonomy: Taxonomy,
    found: Sequence[Project],
    *,
    policy: ShapePolicy = DEFAULT_POLICY,
    overlap: int = 1,
) -> Project:
    """The project among those that were found under that title, or a new one.

    An existing interface is left as it is, and replaced where it lacks classes while nobody has any task in
    it. At least ``overlap`` people are asked about each task; where the project asks more, it does so still.
    Raises LabelStudioError if two projects have the title.
    """
    if len(title) not in _TITLE_LENGTHS:
        raise LabelStudioError(
            f"the project's title {title!r} has {len(title)} characters, Label Studio takes "
            f"{_TITLE_LENGTHS.start} to {_TITLE_LENGTHS.stop - 1}: choose another for `project`"
        )
    config = taxonomy_to_config(taxonomy, policy)
    if not found:
        return client.create_project(
            title,
            config,
            show_skip_button=True,
            enable_empty_annotation=True,
            maximum_annotations=overlap,
        )
    if len(found) > 1:
        raise LabelStudioError(
            f"{len(found)} projects on {client.url} are called {title!r} (ids "
            f"{', '.join(str(project.id) for project in found)}): rename all but one of them"
        )
    (project,) = found
    if project.overlap < overlap:
        project = client.update_project(project.id, maximum_annotations=overlap)
    if project.n_tasks == 0 and missing_labels(project.label_config, taxonomy, policy):
        return client.update_project(project.id, label_config=config)
    return project


def ensure_storages(
    client: LabelStudioClient, project: int, folders: Iterable[Path], *, document_root: Path = DOCUMENT_ROOT
) -> tuple[Path, ...]:
    """Let the server serve the images in those folders (and below); returns the folders that were added.

    Folders that a storage of the project covers already are left out, and so are folders below another.
    Raises FormatError for the document root itself, which Label Studio does not serve.
    """
    covered = [PurePath(path) for path in client.local_storages(project)]
    added: list[Path] = []
    for folder in sorted({_absolute(folder) for folder in folders}, key=lambda path: len(path.parts)):
        if folder == document_root:
            raise FormatError(
                f"images directly in {folder} cannot be served: put them into a folder below it"
            )
        if any(folder.is_relative_to(path) for path in covered):
            continue
        client.create_local_storage(project, str(folder))
        covered.append(folder)
        added.append(folder)
    return tuple(added)


def image_url(path: Path, *, document_root: Path = DOCUMENT_ROOT) -> str:
    """The URL of a local image as a task's data holds it, relative to the server.

    Raises FormatError for a file outside the document root, and for a name that no URL can hold (not UTF-8).
    """
    if not _absolute(path).is_relative_to(document_root):
        raise FormatError(
            f"{path} is not below {document_root}, from where Label Studio serves files: set "
            "label_studio_files to a folder above the source, or move the source there"
        )
    name = str(_absolute(path).relative_to(document_root))
    try:
        quoted = quote(name, safe="/")
    except UnicodeEncodeError as error:
        raise FormatError(f"the file name {name!r} is not UTF-8, so no URL can name it: rename it") from error
    return f"/data/local-files/?d={quoted}"


def _absolute(path: Path) -> Path:
    """Absolute and without ``..``, but with symbolic links as they are, since the server follows them."""
    return Path(os.path.abspath(path))
