"""Near duplicates on a real Label Studio: one task for a cluster, and the next one where people skip it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.samples.scenes import generate_scene
from detseg.types import ImageId, Size
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor
from tests.pipeline.reviewing import submit

SCENE = Size(240, 160)


def _fill(folder: Path) -> None:
    """A scene, the same one recompressed, and another one."""
    for path in folder.iterdir():
        path.unlink()
    for seed in (1, 2):
        scene = Image.fromarray(generate_scene(seed, SCENE).image)
        scene.save(folder / f"{seed}.png")
        if seed == 1:
            scene.save(folder / "1 again.jpg", quality=85)


def _push(queue: Settings, catalog: Catalog) -> PushReport:
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(VERSION), refs)
    return push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)


def _tasks(client: LabelStudioClient, report: PushReport) -> dict[ImageId, int]:
    tasks = [client.task(number) for number in client.task_ids(report.project_id)]
    return {ImageId(task["data"]["image_id"]): task["id"] for task in tasks}


def test_one_image_of_a_cluster_waits_until_people_skip_the_other(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, folder: Path
) -> None:
    _fill(folder)
    queue = queue.updated(queue={"near_duplicates": "once"})
    first = _push(queue, catalog)
    files = {one.id: Path(one.uri).name for one in scan(queue, catalog).images}
    tasks = _tasks(client, first)
    assert (len(tasks), first.counts["duplicate"]) == (2, 1)
    assert [files[image] for image in tasks].count("2.png") == 1
    (shown,) = (image for image in tasks if files[image] != "2.png")
    again = _push(queue, catalog)
    assert (again.counts["duplicate"], _tasks(client, again)) == (1, tasks)
    submit(client, client.task(tasks[shown]), was_cancelled=True)
    collect_reviews(queue, catalog)
    last = _push(queue, catalog)
    assert (last.counts["duplicate"], last.counts["pushed"]) == (0, 1)
    assert set(_tasks(client, last)) == set(files)
