"""A catalog that was lost or restored from a backup finds its tasks by image id, on a real Label Studio."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from detseg.catalog import Catalog, open_catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.collect import collect_reviews
from tests.pipeline.test_push import NEWER, on_server, push_all, statuses


def test_a_catalog_that_was_lost_finds_its_tasks_again(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, tmp_path: Path
) -> None:
    project = push_all(queue, catalog).project_id
    (other,) = client.import_tasks(project, [{"data": {"image": "/nowhere.png"}}])
    with open_catalog(f"sqlite:///{tmp_path / 'new.sqlite3'}") as fresh:
        report = push_all(queue, fresh)
        assert statuses(report) == {"present": 5}
        (line,) = [line for line in report.warnings if "somebody else" in line]
        assert line.startswith("1 task in project")
        client.delete_task(other)
        assert statuses(push_all(queue, fresh, NEWER)) == {"added": 5}
    assert [len(task.predictions) for task in on_server(client, project)] == [2] * 5


def test_a_catalog_from_a_backup_finds_what_was_pushed_later(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, folder: Path, tmp_path: Path
) -> None:
    kept = [path.rename(path.with_suffix(".later")) for path in sorted(folder.iterdir())[:2]]
    n_first = push_all(queue, catalog).counts["pushed"]
    backup = tmp_path / "backup.sqlite3"
    live = sqlite3.connect(queue.state_path / "catalog.sqlite3")
    with closing(live), closing(sqlite3.connect(backup)) as copy:
        live.backup(copy)
    for path in kept:
        path.rename(path.with_suffix(".png"))
    assert push_all(queue, catalog).counts["pushed"] == 5 - n_first
    project = client.find_projects(queue.queue.project)[0].id
    for task in client.task_ids(project):
        client.create_annotation(task, [], lead_time_s=1.0)
    with open_catalog(f"sqlite:///{backup}") as restored:
        assert statuses(push_all(queue, restored)) == {"present": 5}
        assert collect_reviews(queue, restored, full=True).new == 5
        assert collect_reviews(queue, restored).new == 0
    assert len(client.task_ids(project)) == 5
