"""Shards on a real Dask cluster of two processes, one of which is killed in the middle."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from distributed import Client, LocalCluster

from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from detseg.pipeline import predictors
from detseg.taxonomy import Taxonomy
from flows.preannotate import preannotate
from flows.recording import run_flow
from tests.models import tiny
from tests.pipeline.conftest import FixedPredictor, write_image

N_IMAGES = 6


def make_plugin(*, taxonomy: Taxonomy | None = None, **_: object) -> FixedPredictor:
    """A detector for which a worker need not load torch, as ``plugin:fixed``."""
    return FixedPredictor(taxonomy=taxonomy or FixedPredictor.taxonomy)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The detector's name, installed for this process and the workers that it starts."""
    info = tmp_path / "site" / "fixed-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fixed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[detseg.predictors]\nfixed = {__name__}:make_plugin\n")
    monkeypatch.syspath_prepend(info.parent)
    return "plugin:fixed"


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """A folder with a tiny detector."""
    return str(tiny.save("detr", tmp_path / "detector"))


def kill_a_worker(catalog: Path) -> int:
    """Once a shard is recorded; its result may be in the worker alone, and the others are still to come."""
    while n_predicted(catalog) == 0:
        time.sleep(0.01)
    family = psutil.Process().children(recursive=True)
    worker = next(process for process in family if "spawn_main" in " ".join(process.cmdline()))
    worker.kill()
    return worker.pid


def n_predicted(catalog: Path) -> int:
    try:
        with closing(sqlite3.connect(f"{catalog.as_uri()}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM predictions").fetchone()[0])
    except sqlite3.OperationalError:  # not made yet
        return 0


@pytest.fixture
def write_config(
    tmp_path: Path, label_studio: Connection, new_title: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], Path]:
    """Settings for a queue of its own with that detector and task runner: as many shards as images."""
    for number in range(N_IMAGES):
        write_image(tmp_path / "images" / f"{number}.png", seed=number)
    monkeypatch.setenv("DETSEG_LABEL_STUDIO__TOKEN", label_studio.token)

    def write(detector: str, task_runner: str) -> Path:
        values = {
            "queue.project": new_title(),
            "label_studio.url": label_studio.url,
            "model.detector": detector,
            "model.segmenter": "",
            "engine.device": "cpu",
            "run.task_runner": task_runner,
            "queue.serve_images": "upload",
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        config = tmp_path / "detseg.toml"
        config.write_text("\n".join([*lines, "run.shard_size = 1", "experiments.control_share = 0"]))
        return config

    return write


@pytest.mark.usefixtures("prefect_url")
def test_every_image_is_in_the_queue_once_though_a_worker_dies(
    tmp_path: Path, client: LabelStudioClient, write_config: Callable[[str, str], Path], plugin: str
) -> None:
    config, notes = write_config(plugin, "dask"), list[str]()
    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill_a_worker, tmp_path / ".detseg" / "catalog.sqlite3")
        report = run_flow(notes.append, preannotate, config)
        assert killing.result()
    assert notes == []
    assert (report.predicted, report.pushed, report.already_done) == (N_IMAGES, N_IMAGES, 0)
    assert report.project_id is not None
    tasks = [client.task(task) for task in client.task_ids(report.project_id)]
    assert [[one["model_version"] for one in task["predictions"]] for task in tasks] == [
        [report.model_version]
    ] * N_IMAGES


@pytest.mark.usefixtures("prefect_url")
def test_workers_of_a_running_cluster_load_the_model_once(
    write_config: Callable[[str, str], Path], checkpoint: str
) -> None:
    notes: list[str] = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as dask,
    ):
        config = write_config(checkpoint, f"dask:{cluster.scheduler_address}")
        report = run_flow(notes.append, preannotate, config)
        loads = dask.run(predictors._load.cache_info)
    assert notes == []
    assert (report.predicted, report.pushed) == (N_IMAGES, N_IMAGES)
    assert [load.misses for load in loads.values()] == [1, 1]
    assert sum(load.hits for load in loads.values()) == N_IMAGES - 2
