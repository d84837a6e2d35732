"""Queues with experiments in them, and what became of their tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from detseg.catalog import Catalog, Project
from detseg.config import Settings
from detseg.labelstudio.session import Json
from detseg.pipeline.experiments.lottery import Lottery
from detseg.pipeline.push import PushReport
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import Arm, ModelVersion
from tests.pipeline.conftest import VERSION, FixedPredictor, write_image
from tests.pipeline.experiments.test_gold import BOX, write_gold
from tests.pipeline.foreseen import push_as_foreseen


def push_all(queue: Settings, catalog: Catalog, version: ModelVersion = VERSION) -> PushReport:
    """Scans, predicts and pushes."""
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(version), refs)
    return push_as_foreseen(queue, catalog, refs, version)


def statuses(report: PushReport) -> dict[str, int]:
    return {status: n for status, n in report.counts.items() if n}


def known(catalog: Catalog) -> Project:
    (project,) = catalog.projects.all()
    return project


def arms_of(catalog: Catalog) -> dict[str, Arm]:
    """The arm of every task's image."""
    project = known(catalog)
    images = [task.image for task in catalog.tasks.of_project(project.key)]
    found = catalog.arms.of_images(project.key, images)
    return {image: found[image].arm if image in found else "assisted" for image in images}


def versions_by_arm(catalog: Catalog, tasks: Sequence[Json]) -> dict[Arm, set[tuple[str, ...]]]:
    """Which predictions the tasks of each arm have."""
    arms = arms_of(catalog)
    found: dict[Arm, set[tuple[str, ...]]] = {}
    for task in tasks:
        versions = tuple(
            one["model_version"] for one in sorted(task["predictions"], key=lambda one: one["id"])
        )
        found.setdefault(arms[task["data"]["image_id"]], set()).add(versions)
    return found


def make_mixed(queue: Settings, catalog: Catalog, folder: Path, gold: Path) -> Settings:
    """A queue with tasks of every arm."""
    for n in range(10, 30):
        write_image(folder / f"{n}.png", seed=n)
    write_gold(gold, {f"{n}.png": [BOX] for n in range(10, 16)})
    shares = {
        "experiments__control_share": 0.3,
        "experiments__decoy_share": 0.3,
        "experiments__gold_share": 0.2,
        "experiments__gold": gold,
    }
    ids = [ref.id for ref in scan(queue, catalog).images]
    for seed in count():
        lottery = Lottery(queue.queue.project, seed, control_share=0.3, decoy_share=0.3)
        drawn = Counter(lottery.arm(image) for image in ids)
        settings = queue.updated(**shares, experiments__seed=seed)
        n_gold = len(scan(settings, catalog).images) - (len(ids) - 6)
        if min(drawn["control"], drawn["decoy"], drawn["assisted"]) >= 8 and n_gold >= 3:
            return settings
    raise AssertionError("no seed fits")
