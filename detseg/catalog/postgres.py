"""Connections to PostgreSQL that give up a server which has stopped answering.

A server that hangs (stopped, out of memory, cut off) looks like one that computes for long: nothing comes.
So after a while of silence the server is asked, apart from the connection, whether it still takes new ones.
The kernel keeps the connections of a stopped process alive, so TCP's keepalives find a lost machine alone.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.abc import RV, PQGen

from detseg.errors import CatalogError
from detseg.waits import waiting

_OPTIONS = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class WatchedConnection(psycopg.Connection[Any]):
    """Raises OperationalError, and is closed, where the server neither answers nor takes connections."""

    what: str
    silent_s: float

    def wait(self, gen: PQGen[RV], *args: Any, **options: Any) -> RV:
        """Wait for the server's answer, and say so where it takes long."""
        with waiting(self.what):
            return super().wait(self._watched(gen), *args, **options)

    def _watched(self, gen: PQGen[RV]) -> PQGen[RV]:
        """The generator, which psycopg resumes several times a second, with a look at the clock."""
        heard_at = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at >= self.silent_s:
                    self._check_server()
                    heard_at = time.monotonic()
                wanted = gen.send(ready)
        except StopIteration as end:
            value: RV = end.value
            return value

    def _check_server(self) -> None:
        try:
            psycopg.connect(self.info.dsn).close()
        except psycopg.errors.ConnectionTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server has not answered for {self.silent_s:g} s and takes no connections"
            ) from None
        except psycopg.OperationalError:  # it refuses us, without a password for instance: so it is there
            return


def make_engine(url: sa.URL, *, busy_s: float, silent_s: float) -> sa.Engine:
    """A pool of such connections, which wait ``busy_s`` for other writers."""
    # one query more when a connection is taken, and none that a restart of the server has closed
    engine = sa.create_engine(url, pool_pre_ping=True, connect_args={**_OPTIONS, **url.query})
    if engine.dialect.driver != "psycopg":
        raise CatalogError(
            f"the catalog's driver is psycopg, not {engine.dialect.driver}: write postgresql://"
        )
    what = f"the catalog {url.render_as_string(hide_password=True)}"

    def connect(_dialect: object, _record: object, cargs: list[Any], cparams: dict[str, Any]) -> Any:
        with waiting(what):
            connection = WatchedConnection.connect(*cargs, **cparams)
        connection.what, connection.silent_s = what, silent_s
        return connection

    def prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {max(1.0, busy_s * 1000):.0f}")  # 0 is for ever
        connection.commit()

    sa.event.listen(engine, "do_connect", connect)
    sa.event.listen(engine, "connect", prepare)
    return engine
