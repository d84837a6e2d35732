"""What other processes do to a catalog in the tests: ``python -m tests.catalog.processes WHAT URL NUMBER``.

``claim`` claims 20 shards of images and prints what it got; ``die`` ends without warning in the middle of a
transaction that has written; ``hold`` holds the lock "push" until it is killed;
``fill`` writes until no file may grow any more, and prints how many were written and what the catalog says.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import sys
import time

import sqlalchemy as sa

from detseg.catalog import open_catalog
from detseg.catalog.database import Database
from detseg.catalog.tables import cursors
from detseg.errors import CatalogError
from tests.catalog.made import VERSION, found, image_id, prediction, record_project


def claim(url: str, number: int) -> None:
    claimed: list[str] = []
    with open_catalog(url) as catalog:
        project = record_project(catalog).key
        for shard in range(20):
            images = range(shard * 10, shard * 10 + 10)
            catalog.images.record(found(n) for n in images)
            catalog.predictions.record(prediction(n) for n in images)
            claimed += catalog.tasks.open_push(project, [image_id(n) for n in images], VERSION)
            catalog.cursors.set(f"process {number}", str(shard))
    print(json.dumps(claimed))


def die(url: str, number: int) -> None:
    database = Database(url)
    with database.writing() as connection:
        rows = [{"name": f"half {number} {n}", "value": "x" * 10_000} for n in range(2_000)]
        connection.execute(sa.insert(cursors), rows)  # 20 MB: more than what stays in memory
        os.kill(os.getpid(), signal.SIGKILL)


def hold(url: str, number: int) -> None:
    with open_catalog(url) as catalog, catalog.locks.hold("push"):
        print("held", flush=True)
        time.sleep(600 + number)


def fill(url: str, number: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (number, resource.RLIM_INFINITY))
    with open_catalog(url) as catalog:
        for n in itertools.count():
            try:
                catalog.cursors.set(f"cursor {n}", "x" * 1_000)
            except CatalogError as error:
                print(json.dumps([n, str(error)]))
                return


if __name__ == "__main__":
    {"claim": claim, "die": die, "hold": hold, "fill": fill}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
