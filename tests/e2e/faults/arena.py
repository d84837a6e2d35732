"""What all faults share: servers that may be killed, the proxy, the images, where processes come from."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path
from urllib.parse import urlsplit

from detseg.catalog import open_catalog
from detseg.labelstudio.server import Connection, EmbeddedLabelStudio
from detseg.processes import is_port_free
from flows import server as prefect
from tests.e2e.faults import runs
from tests.e2e.faults.person import Server
from tests.e2e.faults.proxy import FaultProxy, fault_proxy
from tests.e2e.faults.world import Images, Place, make_images
from tests.postgres import Cluster, cluster
from tests.ram_disk import ram_disk
from tests.workers import first_port

_TEMPLATE = "migrated"
_DEATH_S = 600.0
_SMALL_DISK_BYTES = 6 * 2**20
_ARENA_BYTES = 2**30


@dataclass
class Arena:
    """``small_disk`` is a file system of 6 MB, None where we may not mount one."""

    folder: Path
    label_studio: EmbeddedLabelStudio
    connection: Connection
    server: Server
    proxy: FaultProxy
    postgres: Cluster
    images: Images
    context: ForkServerContext
    small_disk: Path | None
    colleague: int
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new_place(self, *, on_postgres: bool, on_small_disk: bool = False) -> Place:
        """A project, a catalog and a state folder that nobody had before."""
        number = next(self._numbers)
        state_dir = self.folder / f"state-{number}"
        if on_small_disk and self.small_disk is not None:
            state_dir = self.small_disk / f"state-{number}"
        state_dir.mkdir()
        catalog = f"sqlite:///{state_dir / 'catalog.sqlite3'}"
        if on_postgres:
            catalog = self.postgres.make_database(f"place-{number}", template=_TEMPLATE)
        return Place(
            title=f"faults {os.getpid()}-{number}",
            state_dir=state_dir,
            catalog=catalog,
            url=self.proxy.url,
            token=self.connection.token,
            source=self.images.folder / "first",
            files=self.label_studio.document_root,
        )

    def kill_server(self) -> None:
        """SIGKILL to Label Studio and all that it started; its port is free again afterwards."""
        pid = self.label_studio.status().pid
        assert pid is not None
        os.killpg(pid, signal.SIGKILL)
        deadline = time.monotonic() + _DEATH_S
        while not is_port_free(urlsplit(self.connection.url).port or 0):
            assert time.monotonic() < deadline, "Label Studio does not die"
            time.sleep(0.02)

    def pause_server(self, seconds: float) -> None:
        """SIGSTOP to Label Studio, and SIGCONT after a while."""
        pid = self.label_studio.status().pid
        assert pid is not None
        os.killpg(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.killpg(pid, signal.SIGCONT)

    @contextmanager
    def prefect(self) -> Iterator[Path]:
        """The state folder of a Prefect server that runs inside the block."""
        state_dir = self.folder / "prefect"
        prefect.up(state_dir)
        try:
            yield state_dir
        finally:
            prefect.down(state_dir)

    def kill_prefect(self) -> None:
        """SIGKILL to the Prefect server and all that it started."""
        running = prefect.status(self.folder / "prefect")
        assert running is not None
        os.killpg(running.pid, signal.SIGKILL)

    @contextmanager
    def read_only(self, place: Place) -> Iterator[None]:
        """Nobody can write into the catalog inside the block; nor into the state folder, on SQLite."""
        if place.catalog.startswith("postgresql"):
            self.postgres.set_read_only(place.catalog.rpartition("/")[2], read_only=True)
            try:
                yield
            finally:
                self.postgres.set_read_only(place.catalog.rpartition("/")[2], read_only=False)
        elif self.small_disk is not None:
            subprocess.run(["mount", "-o", "remount,ro", str(self.small_disk)], check=True)
            try:
                yield
            finally:
                subprocess.run(["mount", "-o", "remount,rw", str(self.small_disk)], check=True)
        else:
            paths = [place.state_dir, *place.state_dir.glob("catalog.*")]
            modes = [path.stat().st_mode for path in paths]
            for path in paths:
                path.chmod(0o500 if path.is_dir() else 0o400)
            try:
                yield
            finally:
                for path, mode in zip(paths, modes, strict=True):
                    path.chmod(mode)

    def restart_server(self) -> None:
        """As a supervisor would: the same data, the same port."""
        assert self.label_studio.up() == self.connection

    def clean_up(self, place: Place) -> None:
        """The server's list of projects stays short, the small disk empty."""
        for project in self.server.projects(place.title):
            self.server.send("DELETE", f"/api/projects/{project['id']}/")
        for folder in place.state_dir.parent.glob(f"{place.state_dir.name}*"):
            shutil.rmtree(folder)


@contextmanager
def arena(folder: Path) -> Iterator[Arena]:
    """Servers of our own in that folder, gone afterwards.

    All of it is in memory where that is allowed: the server on SQLite waits for a disk ten times per request.
    """
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(ram_disk(folder, _ARENA_BYTES))
        disk = folder / "small disk"
        disk.mkdir()
        label_studio = EmbeddedLabelStudio(folder / "server", port=first_port(18480))
        stack.callback(label_studio.down)
        connection = label_studio.up()
        server = Server(connection.url, connection.token)
        stack.callback(server.close)
        postgres = stack.enter_context(cluster(15480))
        with open_catalog(postgres.make_database(_TEMPLATE)):
            pass
        yield Arena(
            folder=folder,
            label_studio=label_studio,
            connection=connection,
            server=server,
            proxy=stack.enter_context(fault_proxy(connection.url)),
            postgres=postgres,
            images=make_images(folder / "images"),
            context=runs.context(),
            small_disk=disk if stack.enter_context(ram_disk(disk, _SMALL_DISK_BYTES)) else None,
            colleague=server.second_user(),
        )
