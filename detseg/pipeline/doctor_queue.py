"""What is wrong between here and Label Studio: address, version, token, project, images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from detseg.errors import ConfigError, DetsegError, LabelStudioError, Unreachable
from detseg.labelstudio.auth import is_private
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.install import VERSION as TESTED
from detseg.labelstudio.release import is_too_old, read_release
from detseg.pipeline.checks import Check
from detseg.pipeline.overwritten import MEND, describe_overwritten
from detseg.pipeline.workspace import INVITE, find_connection, opened_catalog

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.labelstudio.server import Connection

_ADDRESS = "set label_studio_url to the address in your browser's bar, up to the first / after the host"
_TOKEN = (
    "in Label Studio, open Account & Settings, copy the legacy token or make a personal access token, and "
    "set DETSEG_LABEL_STUDIO_TOKEN"
)


def look_at_label_studio(settings: Settings) -> Iterator[Check]:
    """The checks in turn, up to the first that fails: those after it would only repeat it."""
    yield from _token_file(settings)
    for look in (_server, _token, _project):
        check = look(settings)
        yield check
        if not check.ok:
            return
    yield from _images(settings)
    yield from _overwritten(settings)


def _server(settings: Settings) -> Check:
    """Whether a Label Studio answers at the address, and whether it is one that is known to work."""
    url = settings.label_studio_url
    mend = "detseg up"
    try:
        if url is None:
            url = find_connection(settings).url
        else:
            url, mend = url.rstrip("/"), _ADDRESS
        release = read_release(url)
    except Unreachable as error:
        return Check("Label Studio", False, str(error), f"start it, or {_ADDRESS}")
    except LabelStudioError as error:
        return Check("Label Studio", False, str(error), mend)
    found = f"{url}, version {release}"
    if is_too_old(release):
        mend = f"upgrade it to {TESTED}, the version that detseg is tested with"
        return Check("Label Studio", False, f"{found}: an old one, not known to work", mend)
    return Check("Label Studio", True, found if release == TESTED else f"{found} (tested with {TESTED})")


def _token_file(settings: Settings) -> Iterator[Check]:
    """A token file that others may read; one that is not there is said by the check of the token."""
    if settings.label_studio_token_file is None or settings.label_studio_token is not None:
        return
    file = settings.path(settings.label_studio_token_file)
    if file.exists() and not is_private(file):
        yield Check("token file", False, f"others may read {file}", f"chmod 600 '{file}'")


def _token(settings: Settings) -> Check:
    """Whether the server lets us in; the error says what it is that it does not like."""
    try:
        with _client(find_connection(settings)) as client:
            user = client.whoami()
    except ConfigError as error:
        return Check("token", False, str(error), _TOKEN)
    except DetsegError as error:
        return Check("token", False, str(error), _mend_of_token(str(error)))
    if user.get("active_organization") is None:
        found = f"{user['email']} belongs to no organisation, so it sees no project"
        return Check("token", False, found, INVITE)
    return Check("token", True, f"signed in as {user['email']}")


def _mend_of_token(words: str) -> str:
    if "HTTP 404" in words:  # some of a server's pages answer below any path
        return _ADDRESS
    if "legacy token" in words and "disabled" in words:
        return (
            "make a personal access token (Account & Settings) and set DETSEG_LABEL_STUDIO_TOKEN to it, or "
            "let an owner allow legacy tokens (Organization, API Tokens Settings)"
        )
    return _TOKEN


def _project(settings: Settings) -> Check:
    """Whether the token's user sees the project. One that is not made yet is fine."""
    with _client(find_connection(settings)) as client, opened_catalog(settings) as catalog:
        known = [project for project in catalog.projects.all() if project.title == settings.project]
        try:
            found = client.find_projects(settings.project)
        except LabelStudioError as error:
            return Check("project", False, str(error), "ask an owner of the project for access")
    if len(found) > 1:
        numbers = ", ".join(str(project.id) for project in found)
        said = f"{len(found)} projects are called {settings.project!r} (ids {numbers})"
        return Check("project", False, said, "rename all but one of them")
    if found:
        return Check("project", True, f"{settings.project!r}, {found[0].n_tasks} tasks")
    if known:
        said = (
            f"{settings.project!r} (id {known[-1].server_id}) was there, and the token's user does not see it"
        )
        mend = "ask an owner of the project for access; if it was deleted, `detseg preannotate` makes it anew"
        return Check("project", False, said, mend)
    return Check("project", True, f"{settings.project!r} is not there yet; `detseg preannotate` makes it")


def _images(settings: Settings) -> Iterator[Check]:
    """Whether the server can read the source's folder. Asked where there is a project and files are local."""
    folder = settings.path(settings.source)
    if settings.serve_images != "local-files" or not folder.is_dir():
        return
    with _client(find_connection(settings)) as client:
        for project in client.find_projects(settings.project)[:1]:
            yield _local_folder(client, project.id, folder)


def _overwritten(settings: Settings) -> Iterator[Check]:
    """Whether annotators see the pictures that were predicted, as far as the catalog knows."""
    with opened_catalog(settings) as catalog:
        for project in [one for one in catalog.projects.all() if one.title == settings.project][-1:]:
            found = describe_overwritten(settings, catalog, project)
            if found:
                yield Check("pictures", False, found, MEND)


def _local_folder(client: LabelStudioClient, project: int, folder: Path) -> Check:
    body = {"project": project, "path": str(folder), "use_blob_urls": True, "title": "detseg doctor"}
    try:
        client.session.send("POST", "/api/storages/localfiles/validate", body=body)
    except LabelStudioError as error:
        mend = (
            f"make {folder} readable on the server's machine under the same name, start the server with "
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT set to "
            "a folder above it, and set label_studio_files to that; or choose another way in serve_images"
        )
        return Check("images", False, str(error), mend)
    return Check("images", True, f"the server can serve {folder}")


def _client(connection: Connection) -> LabelStudioClient:
    return LabelStudioClient(connection.url, connection.token)
