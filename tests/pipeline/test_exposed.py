"""Queues of earlier versions: their folders are closed, and every task goes on showing its image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from detseg.catalog import Catalog, open_catalog
from detseg.config import Settings, load_settings
from detseg.errors import LabelStudioError
from detseg.images import image_id
from detseg.labelstudio.client import LOCAL_FILES, LabelStudioClient
from detseg.labelstudio.server import EmbeddedLabelStudio
from detseg.pipeline.doctor import look_at_label_studio
from detseg.pipeline.exposed import close_all_exposed
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, write_image
from tests.workers import first_port


def push_all(queue: Settings, catalog: Catalog) -> PushReport:
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(), refs)
    return push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)


def as_before(client: LabelStudioClient, catalog: Catalog, project: int, root: Path) -> dict[int, Any]:
    """Makes a queue what an earlier version made of it: files where they are, a row for their folder."""
    folders = set()
    for task in client.tasks(project):
        image = task["data"]["image_id"]
        path = Path(catalog.images.refs([image])[image].uri)
        url = LOCAL_FILES + quote(str(path.relative_to(root)))
        client.update_task(task["id"], data=task["data"] | {"image": url})
        folders.add(str(path.parent))
    for row in client.storages(project, "localfiles"):
        client.delete_storage("localfiles", row["id"])
    for folder in folders:
        client.create_local_storage(project, folder)
    return {task["id"]: task for task in client.tasks(project)}


def are_shown(client: LabelStudioClient, project: int) -> list[bool]:
    """Whether each task's image loads, and is the one that was predicted."""

    def is_shown(task: Any) -> bool:
        try:
            return image_id(client.fetch(task["data"]["image"])) == task["data"]["image_id"]
        except LabelStudioError:
            return False

    return [is_shown(task) for task in client.tasks(project)]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("earlier") / "state"
    yield folder
    EmbeddedLabelStudio(folder).down()


def test_a_server_of_an_earlier_version_starts_anew_and_its_queue_is_moved(state: Path, folder: Path) -> None:
    before = EmbeddedLabelStudio(state, port=first_port(18680), document_root=Path("/"))
    connection = before.up()
    queue = load_settings(
        None,
        environ={},
        source__location=str(folder),
        state_dir=str(state),
        queue__project="earlier",
        queue__serve_images="upload",
    )
    with (
        open_catalog(queue.catalog_url) as catalog,
        LabelStudioClient(connection.url, connection.token) as client,
    ):
        project = push_all(queue, catalog).project_id
        tasks = as_before(client, catalog, project, Path("/"))
        reviewed = min(tasks)
        client.create_annotation(reviewed, [], lead_time_s=1.0)
        assert are_shown(client, project) == [True] * 5
        pid = before.status().pid
        after = EmbeddedLabelStudio(state)
        assert after.up() == connection
        assert after.status().pid != pid
        assert are_shown(client, project) == [False] * 5
        assert list(close_all_exposed(queue)) == []
        assert are_shown(client, project) == [True] * 5
        assert client.local_storages(project) == (str(state / "served" / "detseg-images"),)
        for task in client.tasks(project):
            assert task["predictions"][0]["result"] == tasks[task["id"]]["predictions"][0]["result"]
            assert len(task["annotations"]) == (task["id"] == reviewed)
            data = tasks[task["id"]]["data"]
            assert {**task["data"], "image": ""} == {**data, "image": ""}
        running = after.status().pid
        assert after.up() == connection
        assert after.status().pid == running
        served = queue.updated(queue__serve_images="local-files")
        assert push_all(served, catalog).counts["present"] == 5


def test_a_folder_below_the_document_root_is_closed_by_a_push(
    queue: Settings,
    catalog: Catalog,
    client: LabelStudioClient,
    document_root: Path,
    new_title: Callable[[], str],
) -> None:
    source = document_root / new_title()
    for number in range(3):
        write_image(source / f"{number}.png", seed=2000 + number)
    queue = queue.updated(source__location=str(source))
    project = push_all(queue, catalog).project_id
    as_before(client, catalog, project, document_root)
    (source / "id_rsa").write_text("secret")
    secret = f"{LOCAL_FILES}{quote(source.name)}/id_rsa"
    assert client.fetch(secret) == b"secret"
    (check,) = [check for check in look_at_label_studio(queue) if not check.ok]
    assert f"may read all files below {source}, by the local storage" in check.found
    write_image(source / "0.png", seed=2100)
    report = push_all(queue, catalog)
    assert report.counts["pushed"] == 1
    lost, overwritten = report.warnings
    assert "has 1 of our tasks that show no image" in lost
    assert "shows no picture any more" in overwritten
    assert are_shown(client, project) == [False, True, True, True]
    assert client.local_storages(project) == (str(document_root / "detseg-images"),)
    with pytest.raises(LabelStudioError, match="HTTP 404"):
        client.fetch(secret)
    assert len(push_all(queue, catalog).warnings) == 1


def test_what_others_need_stays_and_is_said(
    queue: Settings,
    catalog: Catalog,
    client: LabelStudioClient,
    document_root: Path,
    new_title: Callable[[], str],
) -> None:
    project = push_all(queue, catalog).project_id
    theirs = document_root / new_title()
    theirs.mkdir()
    client.create_local_storage(project, str(theirs))
    named = {"project": project, "path": str(theirs), "use_blob_urls": True, "title": "by hand"}
    (task,) = client.import_tasks(project, [{"data": {"image": f"{LOCAL_FILES}{theirs.name}/a.png"}}])
    for _ in range(2):
        (warning,) = [line for line in push_all(queue, catalog).warnings if "local storage" in line]
        assert str(theirs) in warning
        assert len(client.local_storages(project)) == 2
        assert client.task(task)["data"]["image"] == f"{LOCAL_FILES}{theirs.name}/a.png"
    client.delete_task(task)
    assert push_all(queue, catalog).warnings == ()
    assert len(client.local_storages(project)) == 1
    client.create_storage("localfiles", named)
    (warning,) = push_all(queue, catalog).warnings
    assert "the local storage 'by hand' of project" in warning


def test_a_task_that_got_a_number_of_ours_is_not_changed(
    queue: Settings,
    catalog: Catalog,
    client: LabelStudioClient,
    document_root: Path,
    new_title: Callable[[], str],
) -> None:
    project = push_all(queue, catalog).project_id
    theirs = document_root / new_title()
    theirs.mkdir()
    client.create_local_storage(project, str(theirs))
    newest = client.task_ids(project)[-1]
    client.delete_task(newest)
    url = f"{LOCAL_FILES}{theirs.name}/a.png"
    assert client.import_tasks(project, [{"data": {"image": url}}]) == (newest,)  # given again
    (warning,) = [line for line in push_all(queue, catalog).warnings if "local storage" in line]
    assert str(theirs) in warning
    assert client.task(newest)["data"] == {"image": url}
