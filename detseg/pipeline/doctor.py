"""Checks of this machine and of the way to Label Studio: what is missing or wrong, and what fixes it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from detseg.errors import ConfigError, DetsegError, LabelStudioError, ModelError, Unreachable
from detseg.labelstudio.auth import is_private
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.install import VERSION as TESTED
from detseg.labelstudio.release import is_too_old, read_release
from detseg.pipeline.changed_sources import MEND, describe_overwritten
from detseg.pipeline.exposed import describe_exposed, exposed_folders
from detseg.pipeline.reading import open_sources, source_location
from detseg.pipeline.serving import served_folder
from detseg.pipeline.workspace import (
    INVITE,
    find_connection,
    new_title,
    open_client,
    opened_catalog,
    own_projects,
)
from detseg.plurals import format_count

if TYPE_CHECKING:
    from pathlib import Path

    from detseg.config import Settings
    from detseg.config.sections import LabelStudioSettings
    from detseg.config.settings import ServerAccess
    from detseg.labelstudio.served import ServedFolder


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``mend`` says what to do where ``ok`` is False."""

    name: str
    ok: bool
    found: str
    mend: str = ""


def attempt(name: str, look: Callable[[], str], mend: str) -> Check:
    """The check that ``look`` makes: it answers what it found, or raises."""
    try:
        return Check(name, True, look())
    except DetsegError as error:
        return Check(name, False, str(error), mend)


_FREE_BYTES = 2 * 1024**3
_PACKAGES = ("torch", "torchvision", "transformers", "timm", "prefect", "fastapi", "sqlalchemy", "hotcoco")


def examine(settings: Settings) -> Iterator[Check]:
    """Every check in turn, the quick ones first. They change nothing but an old catalog's schema."""
    yield _python()
    yield _packages()
    yield _disk(settings.state_path)
    for name, look, mend in (
        ("source", partial(_source, settings), "set source.location in detseg.toml, or give --source"),
        (
            "models",
            partial(_models, settings),
            "set model.detector and model.segmenter in detseg.toml, or promote another model",
        ),
        ("catalog", partial(_catalog, settings), "set catalog in detseg.toml, or move the file away"),
        ("Label Studio server", partial(_installed, settings.label_studio), "detseg up"),
    ):
        yield attempt(name, look, mend)
    yield from look_at_label_studio(settings)


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check("Python", (3, 11) <= sys.version_info < (3, 13), found, "use Python 3.11 or 3.12")


def _packages() -> Check:
    try:
        found = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    except PackageNotFoundError as error:
        return Check("packages", False, f"{error.name} is not installed", "pip install detseg")
    return Check("packages", True, found)


def _disk(folder: Path) -> Check:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / 1024**3:.0f} GiB free in {folder}"
    return Check("disk", free >= _FREE_BYTES, found, "make room, or set state_dir to a larger disk")


def _source(settings: Settings) -> str:
    location = source_location(settings)
    with open_sources(settings) as sources:
        return f"{format_count(sum(1 for _ in sources.entries(location)), 'image')} in {location}"


def _models(settings: Settings) -> str:
    from detseg.pipeline import predictors
    from detseg.pipeline.choosing import choose_models
    from detseg.pipeline.reviewed import find_reviewed

    settings = choose_models(settings).settings
    if strange := predictors.describe_strange(settings):
        raise ModelError(strange)
    return predictors.load(predictors.predictor_settings(settings), reviewed=find_reviewed(settings)).version


def _catalog(settings: Settings) -> str:
    with opened_catalog(settings) as catalog:
        return f"{format_count(catalog.images.count(), 'image')} in {catalog.url}"


def _installed(server: LabelStudioSettings) -> str:
    from detseg.labelstudio.install import find_executable

    if server.url is not None:
        return "not needed: label_studio.url names one"
    found = find_executable()
    if found is None:
        raise LabelStudioError("the embedded server is not installed")
    return str(found)


_CLOSE = (
    "run `detseg preannotate`, which moves our tasks' images and removes storages that we made; delete "
    "others in the project's settings (Cloud Storage)"
)
_ADDRESS = "set label_studio.url to the address in your browser's bar, up to the first / after the host"
_TOKEN = (
    "in Label Studio, open Account & Settings, copy the legacy token or make a personal access token, and "
    "set DETSEG_LABEL_STUDIO__TOKEN"
)


def look_at_label_studio(settings: Settings) -> Iterator[Check]:
    """The checks in turn, up to the first that fails: those after it would only repeat it."""
    yield from _token_file(settings.server)
    for look in (
        partial(_server, settings.server),
        partial(_token, settings.server),
        partial(_project, settings),
    ):
        check = look()
        yield check
        if not check.ok:
            return
    yield from _images(settings)
    yield from _overwritten(settings)


def _server(server: ServerAccess) -> Check:
    """Check that a Label Studio answers at the address, and that it is one that is known to work."""
    url = server.url
    mend = "detseg up"
    try:
        if url is None:
            url = find_connection(server).url
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


def _token_file(server: ServerAccess) -> Iterator[Check]:
    """A token file that others may read; one that is not there is said by the check of the token."""
    file = server.token_file
    if file is None or server.token is not None:
        return
    if file.exists() and not is_private(file):
        yield Check("token file", False, f"others may read {file}", f"chmod 600 '{file}'")


def _token(server: ServerAccess) -> Check:
    """Check that the server lets us in; the error says what it does not like."""
    try:
        with open_client(server) as client:
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
            "make a personal access token (Account & Settings) and set DETSEG_LABEL_STUDIO__TOKEN to it, or "
            "let an owner allow legacy tokens (Organization, API Tokens Settings)"
        )
    return _TOKEN


def _project(settings: Settings) -> Check:
    """Check that the token's user sees the project. One that is not made yet is fine."""
    title = settings.queue.project
    with open_client(settings.server) as client, opened_catalog(settings) as catalog:
        known = catalog.projects.titled(title)
        try:
            found = client.find_projects(title)
            renamed = None if found else new_title(client, catalog, title)
        except LabelStudioError as error:
            return Check("project", False, str(error), "ask an owner of the project for access")
        own = own_projects(catalog, found)
    if len(found) > 1:
        numbers = ", ".join(str(project.id) for project in found)
        said = f"{len(found)} projects are called {title!r} (ids {numbers})"
        kept = f"id {own[0].id}, which the catalog knows" if len(own) == 1 else "one of them"
        return Check("project", False, said, f"rename or delete all but {kept}")
    if found:
        return Check("project", True, f"{title!r}, {format_count(found[0].n_tasks, 'task')}")
    if renamed is not None:
        mend = "set queue.project to that, or rename it back in Label Studio"
        return Check("project", False, f"{title!r} is called {renamed!r} now", mend)
    if known:
        said = f"{title!r} (id {known[-1].server_id}) was there, and the token's user does not see it"
        mend = "ask an owner of the project for access; if it was deleted, `detseg preannotate` makes it anew"
        return Check("project", False, said, mend)
    return Check("project", True, f"{title!r} is not there yet; `detseg preannotate` makes it")


def _images(settings: Settings) -> Iterator[Check]:
    """Check that the server reads our folder of images, and serves no other. Asked where there is a
    project."""
    if settings.queue.serve_images != "local-files":
        return
    try:
        folder = served_folder(settings)
    except ConfigError as error:
        yield Check("images", False, str(error), "set label_studio.files in detseg.toml")
        return
    with open_client(settings.server) as client:
        for project in client.find_projects(settings.queue.project)[:1]:
            yield _local_folder(client, project.id, folder)
            for row in exposed_folders(client, project.id, folder):
                yield Check("storage", False, describe_exposed(row, project.title), _CLOSE)


def _overwritten(settings: Settings) -> Iterator[Check]:
    """Check that annotators see the pictures that were predicted, as far as the catalog knows."""
    with opened_catalog(settings) as catalog:
        for project in catalog.projects.titled(settings.queue.project)[-1:]:
            found = describe_overwritten(settings, catalog, project)
            if found:
                yield Check("pictures", False, found, MEND)


def _local_folder(client: LabelStudioClient, project: int, folder: ServedFolder) -> Check:
    if not folder.path.is_dir():
        return Check("images", True, f"{folder.path} is not there yet; `detseg preannotate` makes it")
    body = {"project": project, "path": str(folder.path), "use_blob_urls": True, "title": "detseg doctor"}
    try:
        client.session.send("POST", "/api/storages/localfiles/validate", body=body)
    except LabelStudioError as error:
        mend = (
            "start the embedded server anew (`detseg down`, `detseg up`); one of your own must run with "
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true, and label_studio.files must name its "
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT; or choose another way in queue.serve_images"
        )
        return Check("images", False, str(error), mend)
    return Check("images", True, f"the server can serve {folder.path}")
