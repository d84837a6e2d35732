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
from tests.e2e.faults import runs
from tests.e2e.faults.person import Server
from tests.e2e.faults.proxy import FaultProxy, fault_proxy
from tests.e2e.faults.world import Images, Place, make_images
from tests.postgres import Cluster, cluster

_TEMPLATE = "migrated"
_DEATH_S = 60.0
_SMALL_DISK = 6 * 2**20


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
    """Servers of our own in that folder, gone afterwards."""
    with ExitStack() as stack:
        label_studio = EmbeddedLabelStudio(folder / "server", port=18480)
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
            small_disk=stack.enter_context(_small_disk(folder / "small disk")),
            colleague=server.second_user(),
        )


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system in memory that is soon full; not everybody may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
