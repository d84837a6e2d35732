import json
import os
import queue
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from detseg.catalog import Catalog, open_catalog
from detseg.catalog.database import Database
from detseg.errors import CatalogError
from detseg.waits import heard_by
from tests.catalog.made import VERSION, found, image_id, image_ids, prediction, record_project

ROOT = Path(__file__).resolve().parents[2]


def start(what: str, url: str, number: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.catalog.processes", what, url, str(number)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def refusal(url: str) -> str:
    with pytest.raises(CatalogError) as caught, open_catalog(url, busy_s=0.1) as catalog:
        catalog.cursors.set("a", "1")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_four_processes_share_one_new_catalog(url: str) -> None:
    processes = [start("claim", url, number) for number in range(4)]
    claimed: Counter[str] = Counter()
    for process in processes:
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        claimed.update(json.loads(out))
    assert claimed == Counter(image_ids(200))  # everything once, nothing twice
    with open_catalog(url) as catalog:
        assert catalog.images.count() == 200
        assert catalog.predictions.missing(image_ids(200), VERSION) == ()
        assert len(catalog.projects.all()) == 1
        assert [catalog.cursors.get(f"process {number}") for number in range(4)] == ["19"] * 4


def test_threads_share_one_catalog(catalog: Catalog) -> None:
    project = record_project(catalog).key
    claimed: list[str] = []
    failures: list[CatalogError] = []

    def work() -> None:
        try:
            for shard in range(6):
                images = range(shard * 10, shard * 10 + 10)
                catalog.images.record(found(n) for n in images)
                catalog.predictions.record(prediction(n) for n in images)
                claimed.extend(catalog.tasks.open_push(project, [image_id(n) for n in images], VERSION))
        except CatalogError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(20)]  # more than the pool has connections
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Counter(claimed) == Counter(image_ids(60))


def test_a_process_killed_in_a_transaction_leaves_nothing_of_it(file_url: str, tmp_path: Path) -> None:
    with open_catalog(file_url) as catalog:
        catalog.cursors.set("before", "1")
    process = start("die", file_url, 1)
    _out, err = process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL, err
    assert (tmp_path / "catalog.db-wal").stat().st_size > 1_000_000  # it had written
    with open_catalog(file_url) as catalog:
        assert catalog.cursors.get("before") == "1"
        assert catalog.cursors.get("half 1 0") is None
        catalog.cursors.set("after", "1")


def test_a_full_disk_is_one_line_and_loses_nothing(file_url: str) -> None:
    process = start("fill", file_url, 1_000_000)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    written, words = json.loads(out)
    assert written > 10
    assert "check the disk" in words
    assert "\n" not in words
    with open_catalog(file_url) as catalog:
        assert all(catalog.cursors.get(f"cursor {n}") for n in range(written))
        catalog.cursors.set("after", "1")


def test_who_waits_for_another_writer_says_so(file_url: str, tmp_path: Path) -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    with open_catalog(file_url, busy_s=1200.0) as catalog, heard_by(heard.put):
        writer = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None, check_same_thread=False)
        writer.execute("BEGIN IMMEDIATE")

        def commit_once_it_was_said() -> str:
            line = heard.get(timeout=600)
            writer.execute("COMMIT")
            return line

        with ThreadPoolExecutor(1) as pool:
            line = pool.submit(commit_once_it_was_said)
            catalog.cursors.set("a", "1")
        assert re.fullmatch(
            rf"waiting for the catalog {file_url} \(\d+ s so far, 1200 s at most\)", line.result()
        )
        writer.close()


def test_readers_do_not_wait_for_a_writer(file_url: str, tmp_path: Path) -> None:
    with open_catalog(file_url, busy_s=0.1) as catalog:
        catalog.cursors.set("a", "1")
        writer = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE cursors SET value = '2'")
        assert catalog.cursors.get("a") == "1"
        with pytest.raises(CatalogError, match=r"locked.*another process holds it"):
            catalog.cursors.set("a", "3")
        writer.execute("COMMIT")
        writer.close()
        assert catalog.cursors.get("a") == "2"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"This is a letter to the editor, not a database.\n" * 50, "file is not a database"),
        (b"\xff\xd8\xff\xe0" + b"\x00" * 5000, "file is not a database"),
    ],
)
def test_a_file_that_is_no_database(file_url: str, tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "catalog.db"
    path.write_bytes(content)
    assert reason in refusal(file_url)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_catalog(file_url: str, tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"")
    with open_catalog(file_url) as catalog:
        catalog.cursors.set("a", "1")


def test_a_catalog_cut_off_in_the_middle(file_url: str, tmp_path: Path) -> None:
    with open_catalog(file_url) as catalog:
        catalog.images.record(found(n) for n in range(3_000))
    path = tmp_path / "catalog.db"
    path.write_bytes(path.read_bytes()[:30_000])
    with pytest.raises(CatalogError, match=r"malformed.*restore a copy"), open_catalog(file_url) as catalog:
        catalog.images.count()


def test_a_folder_in_its_place(file_url: str, tmp_path: Path) -> None:
    (tmp_path / "catalog.db").mkdir()
    assert "unable to open" in refusal(file_url)


def test_a_file_that_may_not_be_written(file_url: str, tmp_path: Path) -> None:
    with open_catalog(file_url):
        pass
    # for root no file is write-protected, so SQLite is told that this one is
    assert "readonly" in refusal(f"sqlite:///file:{tmp_path / 'catalog.db'}?mode=ro&uri=true")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("catalog.db", "is not a SQLAlchemy URL: write sqlite:///path/catalog.db"),
        ("", "is not a SQLAlchemy URL"),
        ("sqlite://", "a catalog is a file"),
        ("sqlite:///:memory:", "a catalog is a file"),
        ("sqlite:////nowhere/at/all/catalog.db", "the catalog's folder /nowhere/at/all does not exist"),
        ("mysql://user:secret@host/name", "SQLite or PostgreSQL, not mysql"),
        ("nonsense://host/name", "SQLite or PostgreSQL, not nonsense"),
        ("postgresql+nonsense://user:secret@host/name", "driver is not installed"),
        ("postgresql+psycopg2://user:secret@host/name", r"driver is not installed .*detseg\[postgres\]"),
    ],
)
def test_a_url_that_cannot_be_a_catalog(url: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message) as caught, open_catalog(url):
        pass
    assert "secret" not in str(caught.value)


def test_an_error_without_words_is_one_line_too(file_url: str) -> None:
    database = Database(file_url)
    with pytest.raises(CatalogError, match=r"cannot be used \(OperationalError\)"), database.explained():
        raise DBAPIError("SELECT 1", None, sqlite3.OperationalError())
    database.close()


def test_the_url_of_a_catalog_is_there_to_be_shown(file_url: str) -> None:
    with open_catalog(file_url) as catalog:
        assert catalog.url == file_url
    assert os.path.exists(file_url.removeprefix("sqlite:///"))
