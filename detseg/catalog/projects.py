"""The projects on Label Studio servers that the catalog knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from detseg.catalog.database import Database, Row
from detseg.catalog.records import Project, ProjectKey
from detseg.catalog.tables import projects


@dataclass(frozen=True, slots=True)
class Projects:
    """``catalog.projects``"""

    database: Database

    def record(
        self, server_id: int, *, url: str, title: str, created_at: datetime, label_config: str
    ) -> Project:
        """The catalog's project for one on a server, made at the first call.

        The server's id and its ``created_at`` say which project it is, so a server that moved to another
        port is the same one, and a new server that counts from 1 again is another one.
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
        return _project(row)

    def all(self) -> tuple[Project, ...]:
        """Every project that the catalog knows, oldest first."""
        with self.database.reading() as connection:
            return tuple(map(_project, connection.execute(sa.select(projects).order_by(projects.c.key))))

    def titled(self, title: str) -> tuple[Project, ...]:
        """Every project of that title, oldest first: several where a server was set up anew."""
        return tuple(project for project in self.all() if project.title == title)


def _project(row: Row) -> Project:
    return Project(ProjectKey(row.key), row.server_id, row.url, row.title, row.created_at, row.label_config)
