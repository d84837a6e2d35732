"""A PostgreSQL server of the tests' own: on loopback, in a temporary folder, gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from detseg.processes import free_port
from tests.leftovers import cleared
from tests.ram_disk import SHARED_MEMORY, can_hold_all
from tests.workers import first_port

_DEBIAN = Path("/usr/lib/postgresql")
_START_S = 600.0
_SETTINGS = (
    *("fsync=off", "full_page_writes=off", "log_min_messages=fatal", "max_connections=200"),
    "dynamic_shared_memory_type=mmap",  # in the folder, not in /dev/shm, where it outlives a kill
)


class Cluster:
    """One server; ``account`` is whom it runs as, because PostgreSQL refuses to be root."""

    def __init__(self, folder: Path, port: int, account: str | None) -> None:
        self._folder, self._port, self._account = folder, port, account
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        options = [part for setting in _SETTINGS for part in ("-c", setting)]
        place = ["-p", str(self._port), "-h", "127.0.0.1", "-k", str(self._folder)]
        command = [_program("postgres"), "-D", str(self._folder / "data"), *place, *options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, user=self._account, cwd=self._folder, stderr=log)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to every process of it, as the kernel does when memory is short."""
        assert self._process is not None
        family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children()]
        for process in family:
            process.kill()
        self._process.wait()
        deadline = time.monotonic() + _START_S
        while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family):
            assert time.monotonic() < deadline, "PostgreSQL does not die"
            time.sleep(0.01)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP to every process of it: the kernel goes on taking connections, and nobody answers."""
        assert self._process is not None
        main = psutil.Process(self._process.pid)
        main.suspend()  # first, so that it makes no more
        family = [main, *main.children()]
        try:
            for process in family:
                process.suspend()
            yield
        finally:
            for process in family:
                with suppress(psutil.NoSuchProcess):  # it had ended already, and its parent has seen so now
                    process.resume()

    def stop(self) -> None:
        """SIGQUIT, which ends every connection at once."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def make_database(self, name: str, *, template: str = "template0") -> str:
        """The SQLAlchemy URL of a new database, a copy of another one that nobody is connected to."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, (name, template)))
            )
        return f"postgresql+psycopg://detseg@127.0.0.1:{self._port}/{name}"

    def set_read_only(self, name: str, *, read_only: bool) -> None:
        """Refuses what later sessions write into that database, or takes it again."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            words = "ALTER DATABASE {} SET default_transaction_read_only = {}"
            connection.execute(sql.SQL(words).format(sql.Identifier(name), sql.Literal(read_only)))

    @property
    def _dsn(self) -> str:
        return f"postgresql://detseg@127.0.0.1:{self._port}/postgres"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._dsn).close()
        except psycopg.OperationalError:  # not yet: it starts, or mends itself after a crash
            return False
        return True


@contextmanager
def cluster(port: int = 15432) -> Iterator[Cluster]:
    """A fresh server on the first free port from there on."""
    account = "nobody" if os.geteuid() == 0 else None
    place = SHARED_MEMORY if can_hold_all() else None  # a database of a test's own is 300 files
    folder = Path(tempfile.mkdtemp(prefix="detseg-postgres-", dir=place))
    with cleared(folder, remove=True):
        if account is not None:
            shutil.chown(folder, account)
        initdb = [_program("initdb"), "-D", str(folder / "data"), "-U", "detseg", "-A", "trust", "-N"]
        initdb += ["-E", "UTF8", "--locale", "C.UTF-8"]
        subprocess.run(initdb, check=True, user=account, cwd=folder, stdout=subprocess.DEVNULL)
        server = Cluster(folder, free_port(first_port(port)), account)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _program(name: str) -> str:
    """Debian keeps the server's programs off the PATH, a folder per version."""
    packaged = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    found = shutil.which(name) or next((str(path) for path in reversed(packaged)), None)
    assert found, f"there is no {name}: install PostgreSQL (Debian, Ubuntu: apt-get install postgresql)"
    return found
