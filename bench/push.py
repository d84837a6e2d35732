"""Tasks a second of a push, beside a bare HTTP client that posts the same JSON.

    python -m bench.push --tasks 10000 --kind boxes      # 10 boxes a task
    python -m bench.push --tasks 1000 --kind brushes     # 5 masks a task
    python -m bench.push --memory                        # peak of 1,000 and of 100,000 tasks
    python -m bench.push --tasks 2000 --writers          # several imports at once, server on PostgreSQL

The bare client is given the batches ready made, in the size that is best for it, and connects for every
request, which is best for it, too (``detseg.labelstudio.session`` says why). Both go into projects of their
own on one server, in slots.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np

from bench.nothing_new import write_images
from detseg.catalog import FoundImage, open_catalog
from detseg.config import Settings, load_settings
from detseg.geometry.masks import bitmap_to_mask
from detseg.labelstudio.codec import prediction_regions
from detseg.labelstudio.label_config import taxonomy_to_config
from detseg.labelstudio.server import SERVED, Connection, EmbeddedLabelStudio
from detseg.paging import pages
from detseg.pipeline.policies import shape_policy
from detseg.pipeline.push import push
from detseg.pipeline.pushing.payload import Payload, encode_planned
from detseg.pipeline.pushing.plan import plan_page, plan_tasks
from detseg.pipeline.pushing.queue import opened_queue
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Annotation, Box, ImageRef, Instance, ModelVersion, Size
from tests.catalog.reading import all_images
from tests.postgres import cluster

SIZE = Size(640, 480)
TAXONOMY = Taxonomy((LabelClass("bolt", "thing", "#e4572e"),))
VERSION = ModelVersion("bench@00000001")
_DISTINCT = 100  # sets of regions
BATCHES = (250, 1000, 2500, 10_000)
_FRESH = httpx.Limits(max_keepalive_connections=0)


@lru_cache
def boxes(seed: int, n: int = 10) -> tuple[Instance, ...]:
    """Boxes anywhere in the image."""
    made = []
    rng = np.random.default_rng(seed)
    for x, y, w, h, score in rng.random((n, 5)):
        left, top = x * 500, y * 400
        box = Box(left, top, left + 10 + w * 100, top + 10 + h * 60)
        made.append(Instance("bolt", "thing", box, None, round(float(score), 4), "detector"))
    return tuple(made)


@lru_cache
def brushes(seed: int) -> tuple[Instance, ...]:
    """Five ragged blobs."""
    made = []
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE.height, : SIZE.width]
    for x, y, radius in rng.random((5, 3)):
        ragged = rng.normal(0, 2, SIZE.height)[:, None]
        centre_x, centre_y, r = 100 + x * 400, 100 + y * 280, 40 + radius * 60
        bitmap = np.hypot(columns - centre_x + ragged, rows - centre_y) < r
        made.append(Instance("bolt", "thing", None, bitmap_to_mask(bitmap), 0.9, "segmenter"))
    return tuple(made)


def prepare(folder: Path, n_tasks: int, kind: str) -> Path:
    """A folder of images and a catalog that knows them and their predictions; the catalog's file."""
    file = folder / f"{kind}.sqlite3"
    makers: dict[str, Callable[[int], tuple[Instance, ...]]] = {
        "boxes": boxes,
        "brushes": brushes,
        "one box": lambda seed: boxes(seed, 1),
    }
    with open_catalog(f"sqlite:///{file}") as catalog:
        for page in pages(write_images(folder / "images", range(n_tasks)), 1000):
            catalog.images.record(FoundImage(image, SIZE, entry) for image, entry in page)
            catalog.predictions.record(
                Annotation(
                    image,
                    SIZE,
                    VERSION,
                    "labeled",
                    prediction_regions(image, VERSION, makers[kind](n % _DISTINCT)),
                )
                for n, (image, _) in enumerate(page)
            )
    return file


def settings_of(folder: Path, server: Connection, catalog: Path, title: str) -> Settings:
    return load_settings(
        None,
        environ={"DETSEG_LABEL_STUDIO__TOKEN": server.token},
        source__location=str(folder / "images"),
        state_dir=str(folder / "state"),
        catalog=f"sqlite:///{catalog}",
        label_studio__url=server.url,
        label_studio__files=str(folder / "server" / SERVED),
        queue__project=title,
        experiments__control_share=0.0,
    )


def all_refs(settings: Settings) -> Iterator[ImageRef]:
    with open_catalog(settings.catalog_url) as catalog:
        for page in pages(all_images(catalog)):
            yield from catalog.images.refs(page).values()


def push_all(folder: Path, server: Connection, prepared: Path, title: str, **settings_given: int) -> float:
    """Pushes everything into a new project, which is made first, with a copy of the catalog; seconds."""
    copy = prepared.with_name(f"{title}.sqlite3")
    shutil.copy(prepared, copy)
    settings = settings_of(folder, server, copy, title).updated(**settings_given)
    refs = tuple(all_refs(settings))
    with open_catalog(settings.catalog_url) as catalog:
        push(settings, catalog, refs=(), version=VERSION, taxonomy=TAXONOMY)
        begun = time.perf_counter()
        report = push(settings, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
        seconds = time.perf_counter() - begun
    if report.counts["pushed"] != len(refs):
        raise RuntimeError(f"pushed {report.counts} of {len(refs)}: {report.failures[:1]} {report.warnings}")
    return seconds


def bodies(folder: Path, server: Connection, prepared: Path) -> list[bytes]:
    """The JSON of every task, as a push sends it."""
    settings = settings_of(folder, server, prepared, "bench encode")
    refs = tuple(all_refs(settings))
    with (
        open_catalog(settings.catalog_url) as catalog,
        opened_queue(settings, catalog, version=VERSION, taxonomy=TAXONOMY) as queue,
    ):
        plan = plan_page(queue, refs)
        queue.serving.prepare(plan.new)
        made = encode_planned(queue, plan_tasks(queue, plan), plan.new)
        return [one.body for one in made if isinstance(one, Payload)]


def post_all(server: Connection, tasks: Sequence[bytes], n_batch: int, title: str) -> float:
    """Posts ready made batches into a new project with a bare client; seconds."""
    headers = {"Authorization": f"Token {server.token}", "Content-Type": "application/json"}
    batches = [b"[" + b",".join(batch) + b"]" for batch in pages(tasks, n_batch)]
    config = taxonomy_to_config(TAXONOMY, shape_policy(load_settings(None, environ={}).labels))
    with httpx.Client(
        base_url=server.url, headers=headers, timeout=600, trust_env=False, limits=_FRESH
    ) as client:
        made = client.post("/api/projects/", json={"title": title, "label_config": config})
        path = f"/api/projects/{made.raise_for_status().json()['id']}/import"
        begun = time.perf_counter()
        for batch in batches:
            client.post(path, params={"return_task_ids": "true"}, content=batch).raise_for_status()
        return time.perf_counter() - begun


def compare(folder: Path, n_tasks: int, kind: str, rounds: int) -> dict[str, object]:
    prepared = prepare(folder, n_tasks, kind)
    embedded = EmbeddedLabelStudio(folder / "server")
    server = embedded.up()
    try:
        tasks = bodies(folder, server, prepared)
        warm = min(n_tasks, 1000)
        post_all(server, tasks[:warm], 250, "bench warm")
        sizes = [size for size in BATCHES if size <= n_tasks] or [n_tasks]
        first = {size: n_tasks / post_all(server, tasks, size, f"bench raw {size}") for size in sizes}
        best = max(first, key=lambda size: first[size])
        raw, ours = [], []
        for number in range(rounds):
            raw.append(n_tasks / post_all(server, tasks, best, f"bench raw round {number}"))
            ours.append(n_tasks / push_all(folder, server, prepared, f"bench push {number}"))
            print(f"round {number}: raw {raw[-1]:.0f}/s, ours {ours[-1]:.0f}/s", file=sys.stderr)
    finally:
        embedded.down()
    return {
        "kind": kind,
        "tasks": n_tasks,
        "bytes_per_task": round(sum(map(len, tasks)) / n_tasks),
        "raw_by_batch": {size: round(rate, 1) for size, rate in first.items()},
        "raw": round(statistics.median(raw), 1),
        "ours": round(statistics.median(ours), 1),
        "ratio": round(statistics.median(ours) / statistics.median(raw), 3),
        "ratios": [round(our_rate / raw_rate, 3) for our_rate, raw_rate in zip(ours, raw, strict=True)],
    }


def peak(folder: Path, server: Connection, n_tasks: int) -> float:
    """The most memory of a process that pushes so many tasks of one box, in MB."""
    command = [sys.executable, "-m", "bench.push", "--child", str(folder), server.url, server.token]
    done = subprocess.run([*command, str(n_tasks)], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def memory(folder: Path, few: int, many: int) -> dict[str, object]:
    embedded = EmbeddedLabelStudio(folder / "server")
    server = embedded.up()
    try:
        peaks = {}
        for n_tasks in (few, many):
            (folder / str(n_tasks)).mkdir()
            prepare(folder / str(n_tasks), n_tasks, "one box")
            peaks[n_tasks] = peak(folder / str(n_tasks), server, n_tasks)
    finally:
        embedded.down()
    return {"peak_mb": peaks, "ratio": round(peaks[many] / peaks[few], 3)}


def writers(folder: Path, n_tasks: int, kind: str) -> dict[str, object]:
    """Tasks a second on PostgreSQL by the number of imports at once, of 100 tasks each."""
    prepared = prepare(folder, n_tasks, kind)
    with cluster() as postgres:
        parts = urlsplit(postgres.make_database("labelstudio"))
        variables = {"DJANGO_DB": "default", "POSTGRE_HOST": parts.hostname or "", "POSTGRE_PASSWORD": ""}
        variables |= {"POSTGRE_PORT": str(parts.port), "POSTGRE_USER": parts.username or ""}
        variables |= {"POSTGRE_NAME": parts.path[1:]}
        embedded = EmbeddedLabelStudio(folder / "server", variables=variables)
        server = embedded.up()
        try:
            push_all(folder, server, prepared, "bench warm")
            rates = {
                n: n_tasks
                / push_all(
                    folder,
                    server,
                    prepared,
                    f"bench writers {n}",
                    label_studio__writers=n,
                    label_studio__batch_tasks=100,
                )
                for n in (1, 2, 4)
            }
        finally:
            embedded.down()
    return {"kind": kind, "tasks": n_tasks, "rates": {n: round(rate, 1) for n, rate in rates.items()}}


def child(folder: Path, url: str, token: str, n_tasks: int) -> None:
    """Pushes in this process, with refs as they come, and prints its peak."""
    settings = settings_of(folder, Connection(url, token), folder / "one box.sqlite3", f"memory {n_tasks}")
    with open_catalog(settings.catalog_url) as catalog:
        report = push(settings, catalog, refs=all_refs(settings), version=VERSION, taxonomy=TAXONOMY)
    if report.counts["pushed"] != n_tasks:
        raise RuntimeError(f"pushed {report.counts}")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.push", description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--kind", choices=("boxes", "brushes"), default="boxes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--writers", action="store_true")
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        folder, url, token, n_tasks = options.child
        child(Path(folder), url, token, int(n_tasks))
        return
    with tempfile.TemporaryDirectory(prefix="detseg-bench-") as folder:
        if options.writers:
            figures = writers(Path(folder), options.tasks, options.kind)
        elif options.memory:
            figures = memory(Path(folder), 1_000, options.many)
        else:
            figures = compare(Path(folder), options.tasks, options.kind, options.rounds)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
