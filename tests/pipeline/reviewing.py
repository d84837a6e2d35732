"""A queue with five tasks in it, and people who work on them through the server's API, as the page does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.session import Json
from detseg.pipeline.push import push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor

KEYPOINT: Json = {
    "id": "odd",
    "type": "keypointlabels",
    "from_name": "keypoint",
    "to_name": "image",
    "value": {"x": 1, "y": 1, "width": 1, "keypointlabels": ["bolt"]},
}
"""A region of a type that is no box and no mask, as a prompt for SAM leaves it behind."""

UNREADABLE: Json = {
    "id": "odd",
    "type": "rectanglelabels",
    "from_name": "box",
    "to_name": "image",
    "value": {"x": "left", "y": 1, "width": 1, "height": 1, "rectanglelabels": ["bolt"]},
}
"""A box that is somewhere, but nobody can say where."""


def fill_queue(queue: Settings, catalog: Catalog) -> int:
    """Scans, predicts and pushes; the project's number on the server."""
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(), refs)
    return push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY).project_id


def tasks_of(client: LabelStudioClient, project: int) -> list[Json]:
    """The tasks with predictions and annotations, by id."""
    return sorted(client.tasks(project), key=lambda task: int(task["id"]))


def predicted(task: Json) -> list[Json]:
    """The results of a task's prediction, as the page would submit them."""
    results: list[Json] = task["predictions"][0]["result"]
    return results


def submit(client: LabelStudioClient, task: Json, result: Sequence[Json] | None = None, **fields: Any) -> int:
    """Submits a task as it was predicted, or with other results."""
    results = predicted(task) if result is None else result
    return client.create_annotation(int(task["id"]), results, **{"lead_time_s": 5.0, **fields})
