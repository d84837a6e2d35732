"""``python -m bench.collect``: how long collecting takes, and how much memory it holds.

Makes a Label Studio of its own, a project with reviewed tasks (sent in bulk, which the server takes as if
people had submitted them) and a catalog that pushed them. Then it collects, each in a process of its own:
all of it, nothing new, 35 changed. Before "nothing new" and "35 changed" it waits until the last change is
older than the overlap with which changes are asked for. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from detseg.catalog import Catalog, FoundImage, open_catalog
from detseg.config import load_settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import encode_task, prediction_regions
from detseg.labelstudio.json_body import encode_json
from detseg.labelstudio.label_config import taxonomy_to_config
from detseg.labelstudio.server import Connection, EmbeddedLabelStudio
from detseg.paging import pages
from detseg.pipeline.collect import _OVERLAP
from detseg.pipeline.workspace import record_project
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Annotation, Box, Entry, ImageId, ImageRef, Instance, ModelVersion, Size
from tests.catalog.reading import review_ids

SIZE = Size(640, 480)
VERSION = ModelVersion("bench@00000001")
TAXONOMY = Taxonomy((LabelClass("bolt", colour="#e4572e"), LabelClass("nut", colour="#5c6b73")))
TITLE = "bench collect"
N_BOXES = 10
N_CHANGED = 35
_TASKS_PER_REQUEST = 250

_COLLECT = """
import json, re, sys, time
from pathlib import Path
from detseg.config import load_settings
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.workspace import opened_catalog

settings = load_settings(Path(sys.argv[1]))
with opened_catalog(settings) as catalog:
    begun = time.perf_counter()
    report = collect_reviews(settings, catalog, full=sys.argv[2] == "full")
    seconds = time.perf_counter() - begun
status = Path("/proc/self/status").read_text()
peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", status).group(1))  # getrusage counts the parent's, too
print(json.dumps({"seconds": seconds, "peak_bytes": peak, "read": report.n_tasks, "new": report.new,
                  "updated": report.updated, "deleted": report.deleted}))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.collect", description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[10_000], help="sizes of the projects")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--port", type=int, default=18_900)
    options = parser.parse_args(arguments)
    results = {}
    for n_tasks in options.tasks:
        with tempfile.TemporaryDirectory(prefix="detseg-bench-collect-") as folder:
            results[str(n_tasks)] = _measure(Path(folder), n_tasks, options.rounds, port=options.port)
    print(json.dumps(results, indent=1))
    return 0


def _measure(folder: Path, n_tasks: int, rounds: int, *, port: int) -> dict[str, Any]:
    server = EmbeddedLabelStudio(folder / "server", port=port)
    connection = server.up()
    try:
        config = _write_config(folder, connection)
        with LabelStudioClient(connection.url, connection.token) as client:
            _note(f"making {n_tasks} reviewed tasks")
            annotations = _make(config, client, n_tasks)
            _note("collecting all")
            everything = [_collect(config, forget=True) for _ in range(rounds)]
            quiet = _OVERLAP.total_seconds() + 5
            _note(f"waiting {quiet:.0f} s")
            time.sleep(quiet)
            _collect(config)  # the last that sees the making within the overlap
            nothing = [_collect(config) for _ in range(rounds)]
            few = []
            for _ in range(rounds):
                for annotation in annotations[:: max(len(annotations) // N_CHANGED, 1)][:N_CHANGED]:
                    client.update_annotation(annotation, lead_time=random.random())
                few.append(_collect(config))
            return {
                "all": everything,
                "nothing": nothing,
                f"{N_CHANGED} changed": few,
                "full": [_collect(config, full=True)],
            }
    finally:
        server.down()


def _write_config(folder: Path, connection: Connection) -> Path:
    config = folder / "detseg.toml"
    values = {
        "label_studio.url": connection.url,
        "label_studio.token": connection.token,
        "queue.project": TITLE,
        "state_dir": "state",
    }
    config.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items()))
    return config


def _collect(config: Path, *, full: bool = False, forget: bool = False) -> dict[str, Any]:
    """Collects in a process of its own; ``forget``: as if nothing had been collected before."""
    if forget:
        settings = load_settings(config)
        with open_catalog(settings.catalog_url) as catalog:
            key = catalog.projects.all()[0].key
            catalog.cursors.set(f"collect:{key}", "2001-01-01T00:00:00+00:00")
            catalog.reviews.mark_deleted(key, review_ids(catalog, key))
    command = [sys.executable, "-c", _COLLECT, str(config), "full" if full else "changes"]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(answer)
    _note(json.dumps(result))
    return result


def _make(config: Path, client: LabelStudioClient, n_tasks: int) -> list[int]:
    """The project's annotations, one of each task; the catalog knows the tasks as pushed."""
    settings = load_settings(config)
    settings.state_path.mkdir()
    project = client.create_project(TITLE, taxonomy_to_config(TAXONOMY))
    with open_catalog(settings.catalog_url) as catalog:
        key = record_project(catalog, client.url, project).key
        for numbers in pages(range(n_tasks), _TASKS_PER_REQUEST):
            predictions = [_prediction(number) for number in numbers]
            _record_predictions(catalog, predictions)
            ids = [prediction.image for prediction in predictions]
            catalog.tasks.open_push(key, ids, VERSION)
            tasks = _send(client, project.id, [_task(prediction) for prediction in predictions])
            catalog.tasks.confirm_push(key, dict(zip(ids, tasks, strict=True)))
    return list(_annotations(client, project.id))


def _prediction(number: int) -> Annotation:
    image = ImageId(f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}")
    rng = random.Random(number)
    boxes = [(rng.uniform(0, 500), rng.uniform(0, 400)) for _ in range(N_BOXES)]
    instances = [
        Instance("bolt" if i % 2 else "nut", "thing", Box(x, y, x + 60, y + 50), None, rng.random())
        for i, (x, y) in enumerate(boxes)
    ]
    return Annotation(image, SIZE, VERSION, "labeled", prediction_regions(image, VERSION, instances))


def _record_predictions(catalog: Catalog, predictions: Sequence[Annotation]) -> None:
    catalog.images.record(
        FoundImage(one.image, one.size, Entry(f"file:///bench/{one.image[7:20]}.png", 1, "1"))
        for one in predictions
    )
    catalog.predictions.record(predictions)


def _task(prediction: Annotation) -> dict[str, Any]:
    """The task with its prediction and a review in which one box was moved and one deleted."""
    ref = ImageRef(prediction.image, f"/bench/{prediction.image[7:20]}.png")
    task = encode_task(
        ref,
        SIZE,
        prediction.regions,
        version=VERSION,
        taxonomy=TAXONOMY,
        image_url=f"http://x.invalid{ref.uri}",
    ).task
    result = json.loads(encode_json(task["predictions"][0]["result"]))[:-1]
    result[0]["value"]["x"] /= 2
    return task | {"annotations": [{"result": result, "was_cancelled": False, "lead_time": 5.0}]}


def _send(client: LabelStudioClient, project: int, tasks: Sequence[dict[str, Any]]) -> list[int]:
    answer = client.session.json(
        "POST",
        f"/api/projects/{project}/import",
        params={"return_task_ids": "true"},
        body=list(tasks),
        timeout=httpx.Timeout(300.0),
    )
    return [int(task) for task in answer["task_ids"]]


def _annotations(client: LabelStudioClient, project: int) -> Iterator[int]:
    from detseg.labelstudio.changes import TaskReader

    for page in TaskReader(client.session, project).by_id():
        for task in page:
            yield from (int(annotation["id"]) for annotation in task["annotations"])


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
