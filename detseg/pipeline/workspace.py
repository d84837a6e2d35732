"""The first things that every use case opens: the catalog, and the way to Label Studio of the settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detseg.errors import CatalogError, ConfigError, LabelStudioError, Refused
from detseg.files import parse_json, private_folder
from detseg.taxonomy import Change, change_from_json

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Project
    from detseg.config import Settings
    from detseg.config.settings import ServerAccess
    from detseg.labelstudio import client as label_studio
    from detseg.labelstudio.server import Connection

INVITE = "sign in on its page once as that user, or ask an owner there for an invitation"


@dataclass(frozen=True, slots=True)
class Sides:
    """A project on both sides: on the server, and in the catalog, which is to know what is there."""

    client: label_studio.LabelStudioClient
    catalog: Catalog
    project: Project


@contextmanager
def opened_catalog(settings: Settings) -> Iterator[Catalog]:
    """Open the catalog of the settings; make it, and the state folder, where they are missing.

    Labels are read in the classes of now, as the settings' taxonomy says. Raises CatalogError for a database
    that cannot be opened, ConfigError for changes that do not lead to the settings' classes.
    """
    from detseg.catalog import open_catalog

    relabeling = settings.relabeling
    private_folder(settings.state_path)
    with open_catalog(settings.catalog_url, relabeling=relabeling) as catalog:
        private_folder(settings.state_path)  # SQLite makes files that others may read
        yield catalog


def find_connection(server: ServerAccess) -> Connection:
    """Find Label Studio and the way in: the server of the settings, else the embedded one.

    Raises ConfigError when the token is missing, LabelStudioError when the embedded server does not run.
    """
    from detseg.labelstudio.server import Connection, EmbeddedLabelStudio

    if server.url is not None:
        return Connection(server.url.rstrip("/"), _token(server))
    connection = EmbeddedLabelStudio(server.state_path).connection()
    if connection is None:
        raise LabelStudioError(
            f"no Label Studio runs for {server.state_path}: start it with `detseg up` (or go to the "
            "folder of your detseg.toml), or set label_studio.url"
        )
    return connection


def open_client(server: ServerAccess) -> label_studio.LabelStudioClient:
    """Return a client of the Label Studio that ``find_connection`` finds; who asks closes it."""
    from detseg.labelstudio.client import LabelStudioClient

    connection = find_connection(server)
    return LabelStudioClient(connection.url, connection.token)


def _token(server: ServerAccess) -> str:
    from detseg.labelstudio.auth import SET_TOKEN, read_token

    if server.token is not None:
        return server.token.get_secret_value()
    if server.token_file is not None:
        return read_token(server.token_file)
    raise ConfigError(
        f"label_studio.url is {server.url}, but there is no token: {SET_TOKEN} (in Label "
        "Studio: Account & Settings, Access Token)"
    )


def check_label_studio(server: ServerAccess) -> None:
    """Ask Label Studio who we are, so that a wrong URL or token is said before any work is done.

    Not where the token is in a block of Prefect's, which only a flow reads. Raises ConfigError, Unreachable
    or LabelStudioError.
    """
    if server.token_is_in_block:
        return
    with open_client(server) as client:
        user = client.whoami()
    if user.get("active_organization", 0) is None:  # it could make a project, which nobody else would see
        raise LabelStudioError(
            f"{user['email']} belongs to no organisation of {client.url}, so it sees no project: {INVITE}"
        )


def own_projects(catalog: Catalog, found: Sequence[label_studio.Project]) -> tuple[label_studio.Project, ...]:
    """The one of these projects that the catalog knows; all of them where it knows none, or several."""
    known = {(project.server_id, project.created_at) for project in catalog.projects.all()}
    own = tuple(project for project in found if (project.id, project.created_at) in known)
    return own if len(own) == 1 else tuple(found)


def describe_namesakes(
    url: str, found: Sequence[label_studio.Project], own: label_studio.Project
) -> Iterator[str]:
    """A line about projects that have the title of ours."""
    others = ", ".join(str(project.id) for project in found if project.id != own.id)
    if others:
        yield (
            f"{len(found)} projects on {url} are called {own.title!r}: the one that the catalog knows is id "
            f"{own.id}; rename or delete the others (id {others}), which somebody made, or a request of ours "
            "that was carried out twice"
        )


def find_project(client: label_studio.LabelStudioClient, title: str) -> label_studio.Project:
    """The one project of that title. Raises LabelStudioError if there is none, or several."""
    found = client.find_projects(title)
    if len(found) != 1:
        raise LabelStudioError(
            f"{len(found)} projects on {client.url} are called {title!r}, expected one: "
            + ("rename all but one of them" if found else "`detseg preannotate` makes it")
        )
    return found[0]


def new_title(client: label_studio.LabelStudioClient, catalog: Catalog, title: str) -> str | None:
    """Return the title that the catalog's latest project of that title has now.

    None if it is the same, or the project is gone. Raises LabelStudioError where the server does not say.
    """
    for known in catalog.projects.titled(title)[-1:]:
        try:
            now = client.project(known.server_id)
        except Refused as error:
            if error.status not in (403, 404):
                raise
            return None
        if now.created_at == known.created_at and now.title != title:
            return now.title
    return None


def check_not_renamed(client: label_studio.LabelStudioClient, catalog: Catalog, title: str) -> None:
    """Raise LabelStudioError where our project has another title now.

    For where none on the server has that title: a new one would have people do everything again.
    """
    now = new_title(client, catalog, title)
    if now is not None:
        raise LabelStudioError(
            f"project {title!r} on {client.url} is called {now!r} now: set queue.project to that, or rename "
            "it back in Label Studio (a new project needs another title)"
        )


def known_project(catalog: Catalog, title: str, *, on_server: bool = False) -> Project:
    """The catalog's latest project of that title; ``on_server``: that tasks were pushed to.

    Raises CatalogError if there is none.
    """
    pushed = next(reversed(catalog.projects.titled(title)), None)
    found = pushed if on_server else catalog.projects.latest(title)
    if found is None:
        raise CatalogError(
            f"the catalog {catalog.url} knows no project {title!r}: `detseg preannotate` makes it and "
            "`detseg collect` brings the reviews, `detseg import` takes labels in; or name another in "
            "queue.project"
        )
    return found


def has_queue(settings: Settings) -> bool:
    """Tell whether tasks were ever pushed to the project of the settings."""
    with opened_catalog(settings) as catalog:
        return bool(catalog.projects.titled(settings.queue.project))


def notice_changes(changes: Sequence[Change], catalog: Catalog, project: Project) -> Iterator[str]:
    """Yield a line where the run before knew changes of the classes that the settings' lack, and remember
    these: two machines with other files would read labels in two ways."""
    name = f"taxonomy:{project.key}"
    stored, now = catalog.cursors.get(name), json.dumps([one.to_json() for one in changes])
    if stored == now or (stored is None and not changes):
        return
    catalog.cursors.set(name, now)
    before = map(change_from_json, parse_json(stored, "the changes of the run before") if stored else ())
    known = {(one.kind, one.old, one.new) for one in changes}
    lost = [one for one in before if (one.kind, one.old, one.new) not in known]
    if lost:
        ids = ", ".join(one.id for one in lost)
        yield (
            f"the run before knew changes of the classes that these settings lack ({ids}): labels are read "
            "without them now; give every machine the same [[taxonomy.changes]]"
        )


def record_project(catalog: Catalog, url: str, project: label_studio.Project) -> Project:
    """The catalog's project for one on the server at that URL."""
    return catalog.projects.record(
        project.id,
        url=url,
        title=project.title,
        created_at=project.created_at,
        label_config=project.label_config,
    )
