"""A real Label Studio whose disk is full: one line, nothing lost, nothing doubled when it has room again."""

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection, EmbeddedLabelStudio
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, settings_for
from tests.ram_disk import ram_disk
from tests.workers import first_port

_DISK_BYTES = 64 * 2**20  # an empty server takes 2 MB; a write-ahead log may grow
FULL = r"HTTP 500: .*(disk|space).*: make room on the server's disk and run again"


class SmallServer:
    """A server whose data lie on a small file system of their own, where we may mount one."""

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.mounted = mounted
        self._folder = folder
        self.document_root = folder.with_name("served")  # elsewhere: the images have room
        self._server = EmbeddedLabelStudio(
            folder / "state", port=first_port(18580), document_root=self.document_root
        )
        self.connection: Connection = self._server.up()

    def close(self) -> None:
        self._server.down()

    @contextmanager
    def full(self) -> Iterator[None]:
        """No room at all; where there is no small disk, no file may become larger than the database."""
        filler = self._folder / "filler"
        if self.mounted:
            disk = os.statvfs(self._folder)
            filler.write_bytes(bytes(disk.f_bavail * disk.f_frsize))
        else:
            self._limit(max(file.stat().st_size for file in self._folder.rglob("*.sqlite3")))
        try:
            yield
        finally:
            filler.unlink(missing_ok=True)
            self._limit(resource.RLIM_INFINITY)

    def _limit(self, n_bytes: int) -> None:
        pid = self._server.status().pid
        assert pid is not None
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallServer]:
    folder = tmp_path_factory.mktemp("small")
    with ram_disk(folder, _DISK_BYTES) as mounted, closing(SmallServer(folder, mounted=mounted)) as server:
        yield server


@pytest.fixture
def queue(settings: Settings, small: SmallServer, new_title: Callable[[], str]) -> Settings:
    to, title = small.connection, new_title()
    made = settings_for(settings, to.url, to.token, title=title, files=small.document_root)
    return made.updated(label_studio__patience_s=0.5, label_studio__batch_tasks=1)


@pytest.fixture
def client(small: SmallServer) -> Iterator[LabelStudioClient]:
    with LabelStudioClient(small.connection.url, small.connection.token) as client:
        yield client


def push_all(queue: Settings, catalog: Catalog) -> PushReport:
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(), refs)
    return push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)


def check_complete(client: LabelStudioClient, queue: Settings, n_images: int) -> list[int]:
    """Each image is one task with one prediction; the tasks' ids."""
    (project,) = client.find_projects(queue.queue.project)
    tasks = list(client.tasks(project.id))
    assert Counter(len(task["predictions"]) for task in tasks) == {1: n_images}
    assert len({task["data"]["image_id"] for task in tasks}) == n_images
    return [int(task["id"]) for task in tasks]


def test_a_push_is_refused_in_one_line_and_completed_later(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, small: SmallServer
) -> None:
    with small.full(), pytest.raises(LabelStudioError, match=FULL) as caught:
        push_all(queue, catalog)
    assert "\n" not in str(caught.value)
    push_all(queue, catalog)
    assert push_all(queue, catalog).counts["present"] == 5
    check_complete(client, queue, 5)


def test_a_second_push_and_a_collect_in_between_lose_nothing(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, small: SmallServer, folder: Path
) -> None:
    kept = [path.rename(path.with_suffix(".later")) for path in sorted(folder.iterdir())[:2]]
    n_first = push_all(queue, catalog).counts["pushed"]
    (task, *_) = check_complete(client, queue, n_first)
    client.create_annotation(task, [], lead_time_s=1.0)
    for path in kept:
        path.rename(path.with_suffix(".png"))
    with small.full():
        with pytest.raises(LabelStudioError, match=FULL):
            push_all(queue, catalog)
        assert collect_reviews(queue, catalog).new == 1  # reading needs no room
    assert push_all(queue, catalog).counts["pushed"] == 5 - n_first
    assert collect_reviews(queue, catalog).new == 0
    check_complete(client, queue, 5)


def test_copies_of_images_that_have_no_room_are_made_once_later(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, small: SmallServer
) -> None:
    queue = queue.updated(queue__serve_images="upload")
    scanned = push_all(queue.updated(queue__project=f"{queue.queue.project} first"), catalog)
    assert scanned.counts["pushed"] == 5
    with small.full(), pytest.raises(LabelStudioError, match=FULL):
        push_all(queue, catalog)
    assert push_all(queue, catalog).counts["pushed"] == 5
    check_complete(client, queue, 5)
    (project,) = client.find_projects(queue.queue.project)
    assert len(client.uploads(project.id)) == 5
