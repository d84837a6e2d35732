"""The projects on Label Studio servers that the catalog knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from detseg.catalog.database import Database, Row
from detseg.catalog.imports import move_imports
from detseg.catalog.records import Project, ProjectKey
from detseg.catalog.tables import projects

NO_SERVER = 0
"""The ``server_id`` of a project that is on no server yet; servers count from 1."""


@dataclass(frozen=True, slots=True)
class Projects:
    """``catalog.projects``"""

    database: Database
    clock: Callable[[], datetime]

    def record(
        self, server_id: int, *, url: str, title: str, created_at: datetime, label_config: str
    ) -> Project:
        """The catalog's project for one on a server, made at the first call.

        The server's id and its ``created_at`` say which project it is, so a server that moved to another
        port is the same one, and a new server that counts from 1 again is another one. Labels that were
        imported into former ones of that title are the new one's.
        """
        values = {
            "server_id": server_id,
            "url": url,
            "title": title,
            "created_at": created_at,
            "label_config": label_config,
        }
        statement = self.database.insert(projects)
        statement = statement.on_conflict_do_update(
            index_elements=["server_id", "created_at"],
            set_={name: statement.excluded[name] for name in ("url", "title", "label_config")},
        )
        with self.database.writing() as connection:
            row = connection.execute(statement.returning(*projects.c), values).one()
            same = sa.and_(projects.c.title == title, projects.c.key < row.key)
            former = connection.scalars(sa.select(projects.c.key).where(same)).all()
            if former:
                move_imports(self.database, connection, former, to=ProjectKey(row.key), now=self.clock())
                connection.execute(sa.delete(projects).where(same, projects.c.server_id == NO_SERVER))
        return _project(row)

    def record_unserved(self, title: str, *, label_config: str) -> Project:
        """Make a project that is on no server, for labels that are there before any task is."""
        values = {
            "server_id": NO_SERVER,
            "url": "",
            "title": title,
            "created_at": self.clock(),
            "label_config": label_config,
        }
        with self.database.writing() as connection:
            statement = self.database.insert(projects).returning(*projects.c)
            return _project(connection.execute(statement, values).one())

    def all(self, *, unserved: bool = False) -> tuple[Project, ...]:
        """Every project on a server that the catalog knows, oldest first; with ``unserved`` also those that
        have labels and no server yet."""
        return tuple(one for one in self._read() if unserved or one.server_id != NO_SERVER)

    def titled(self, title: str) -> tuple[Project, ...]:
        """Every project on a server of that title, oldest first: several where one was set up anew."""
        return tuple(project for project in self.all() if project.title == title)

    def latest(self, title: str) -> Project | None:
        """The newest project of that title, also if it is on no server yet."""
        return next((one for one in reversed(self._read()) if one.title == title), None)

    def _read(self) -> tuple[Project, ...]:
        return tuple(map(_project, self.database.read(sa.select(projects).order_by(projects.c.key))))


def _project(row: Row) -> Project:
    return Project(ProjectKey(row.key), row.server_id, row.url, row.title, row.created_at, row.label_config)
