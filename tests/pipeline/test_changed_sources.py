"""A picture that was overwritten after it was pushed is said, as long as its task is there."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.doctor import Check, look_at_label_studio
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import ImageId
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, write_image
from tests.sources.servers import Answer, web_server

ANY = {"Access-Control-Allow-Origin": "*"}


NUMBERS = itertools.count(10_000)


def write_new(path: Path) -> None:
    """A picture that no other test has: all share a server, which has one file for equal ones."""
    write_image(path, seed=next(NUMBERS))


@pytest.fixture
def folder(folder: Path) -> Path:
    write_new(folder / "1.png")
    return folder


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
    assert (first.warnings, collect_reviews(queue, catalog).warnings, broken(queue)) == ((), (), [])
    old = task_of(first, catalog, folder / "1.png")
    assert old is not None
    write_new(folder / "1.png")
    second = push_all(queue, catalog)
    assert second.counts["pushed"] == 1
    (line,) = second.warnings
    assert line.startswith(
        f"1 task of project {queue.queue.project!r} shows no picture any more, because the file"
    )
    assert f"was overwritten (task {old}): delete these tasks in Label Studio" in line
    with pytest.raises(LabelStudioError, match="HTTP 404"):
        client.fetch(client.task(old)["data"]["image"])
    assert collect_reviews(queue, catalog).warnings == (line,)
    (check,) = broken(queue)
    assert line == f"{check.found}: {check.mend}"
    client.delete_task(old)
    assert (collect_reviews(queue, catalog).warnings, push_all(queue, catalog).warnings, broken(queue)) == (
        (),
        (),
        [],
    )


@pytest.mark.parametrize("ends", ["deleted", "moved away"])
@pytest.mark.parametrize("notices", ["push", "collect"])
def test_what_is_overwritten_and_then_gone_is_not_shown(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, folder: Path, *, ends: str, notices: str
) -> None:
    """The page must not show bytes that were never scanned, though no listing has the file any more."""
    old = task_of(push_all(queue, catalog), catalog, folder / "1.png")
    assert old is not None
    url = client.task(old)["data"]["image"]
    (folder / "1.png").write_bytes(b"a password")
    if ends == "deleted":
        (folder / "1.png").unlink()
    else:
        (folder / "1.png").rename(folder.parent / "passwords")
    assert client.fetch(url) == b"a password"
    warnings = (push_all if notices == "push" else collect_reviews)(queue, catalog).warnings
    with pytest.raises(LabelStudioError, match="HTTP 404"):
        client.fetch(url)
    (line,) = warnings
    assert f"(task {old})" in line
    assert "shows no picture any more" in line


def test_what_is_deleted_as_it_was_goes_on_being_shown(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, folder: Path
) -> None:
    old = task_of(push_all(queue, catalog), catalog, folder / "1.png")
    before = (folder / "1.png").read_bytes()
    (folder / "1.png").unlink()
    for _ in range(2):
        assert (push_all(queue, catalog).warnings, collect_reviews(queue, catalog).warnings) == ((), ())
    assert old is not None
    assert client.fetch(client.task(old)["data"]["image"]) == before


def test_what_is_put_back_is_well_again(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, folder: Path
) -> None:
    old = task_of(push_all(queue, catalog), catalog, folder / "1.png")
    before = (folder / "1.png").read_bytes()
    write_new(folder / "1.png")
    new = task_of(push_all(queue, catalog), catalog, folder / "1.png")
    (folder / "1.png").write_bytes(before)
    (line,) = push_all(queue, catalog).warnings
    assert f"(task {new})" in line
    assert old is not None
    assert client.fetch(client.task(old)["data"]["image"]) == before


def test_what_is_replaced_and_not_written_to_goes_on_being_shown(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, folder: Path
) -> None:
    old = task_of(push_all(queue, catalog), catalog, folder / "1.png")
    before = (folder / "1.png").read_bytes()
    write_new(folder / "new.png")
    (folder / "new.png").replace(folder / "1.png")
    assert push_all(queue, catalog).warnings == ()
    assert old is not None
    assert client.fetch(client.task(old)["data"]["image"]) == before


def test_what_is_no_image_any_more_is_not_shown_and_said(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, folder: Path
) -> None:
    old = task_of(push_all(queue, catalog), catalog, folder / "1.png")
    (folder / "1.png").write_bytes(b"a password")
    (line,) = push_all(queue, catalog).warnings
    assert f"(task {old})" in line
    assert old is not None
    with pytest.raises(LabelStudioError, match="HTTP 404"):
        client.fetch(client.task(old)["data"]["image"])


def test_a_page_of_another_server_shows_what_is_there(
    queue: Settings, catalog: Catalog, folder: Path
) -> None:
    """By a URL, nobody of ours decides."""
    answers = {f"/{path.name}": Answer(path.read_bytes(), headers=ANY) for path in folder.iterdir()}
    with web_server(answers) as web:
        by_url = {
            "queue__serve_images": "url",
            "queue__image_url_prefix": web.url,
            "source__allow_private_addresses": True,
        }
        served = queue.updated(**by_url)
        push_all(served, catalog)
        write_new(folder / "1.png")
        web.answers["/1.png"] = Answer((folder / "1.png").read_bytes(), headers=ANY)
        (line,) = push_all(served, catalog).warnings
    assert "shows another picture than the one that was predicted, because the file was overwritten" in line


def test_of_two_equal_files_one_is_enough(queue: Settings, catalog: Catalog, folder: Path) -> None:
    push_all(queue, catalog)
    write_new(folder / "again.png")
    assert push_all(queue, catalog).warnings == ()


def test_copies_on_the_server_are_not_overwritten(queue: Settings, catalog: Catalog, folder: Path) -> None:
    uploading = queue.updated(queue__serve_images="upload")
    push_all(uploading, catalog)
    write_new(folder / "1.png")
    report = push_all(uploading, catalog)
    assert (report.counts["pushed"], report.warnings) == (1, ())
