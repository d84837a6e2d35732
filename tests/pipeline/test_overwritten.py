"""A picture that was overwritten after it was pushed is said, as long as its task is there."""

from __future__ import annotations

from pathlib import Path

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.checks import Check
from detseg.pipeline.collect import collect
from detseg.pipeline.doctor_queue import look_at_label_studio
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import ImageId
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, write_image


def push_all(queue: Settings, catalog: Catalog) -> PushReport:
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(), refs)
    return push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)


def broken(queue: Settings) -> list[Check]:
    return [check for check in look_at_label_studio(queue) if not check.ok]


def task_of(report: PushReport, catalog: Catalog, path: Path) -> int | None:
    def is_there(image: ImageId) -> bool:
        return catalog.images.refs([image])[image].uri == str(path)

    return next(task for image, (_, task) in report.changed.items() if is_there(image))


def test_an_overwritten_picture_is_said_until_its_task_is_gone(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, folder: Path
) -> None:
    first = push_all(queue, catalog)
    assert (first.warnings, collect(queue, catalog).warnings, broken(queue)) == ((), (), [])
    old = task_of(first, catalog, folder / "1.png")
    write_image(folder / "1.png", seed=77)
    second = push_all(queue, catalog)
    assert second.counts["pushed"] == 1
    (line,) = second.warnings
    assert "1 task shows another picture than the one that was predicted" in line
    assert f"(task {old} of project {queue.project!r}): delete these tasks in Label Studio" in line
    assert collect(queue, catalog).warnings == (line,)
    (check,) = broken(queue)
    assert line == f"{check.found}: {check.mend}"
    assert old is not None
    client.delete_task(old)
    assert (collect(queue, catalog).warnings, push_all(queue, catalog).warnings, broken(queue)) == (
        (),
        (),
        [],
    )


def test_what_is_put_back_is_well_again(queue: Settings, catalog: Catalog, folder: Path) -> None:
    push_all(queue, catalog)
    before = (folder / "1.png").read_bytes()
    write_image(folder / "1.png", seed=77)
    new = task_of(push_all(queue, catalog), catalog, folder / "1.png")
    (folder / "1.png").write_bytes(before)
    (line,) = push_all(queue, catalog).warnings
    assert f"(task {new} of project" in line


def test_of_two_equal_files_one_is_enough(queue: Settings, catalog: Catalog, folder: Path) -> None:
    push_all(queue, catalog)
    write_image(folder / "again.png", seed=77)
    assert push_all(queue, catalog).warnings == ()


def test_copies_on_the_server_are_not_overwritten(queue: Settings, catalog: Catalog, folder: Path) -> None:
    uploading = queue.model_copy(update={"serve_images": "upload"})
    push_all(uploading, catalog)
    write_image(folder / "1.png", seed=77)
    report = push_all(uploading, catalog)
    assert (report.counts["pushed"], report.warnings) == (1, ())
