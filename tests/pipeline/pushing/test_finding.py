"""What a project lacks, by everything that can have become of a task and of its prediction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from detseg.catalog import Assignment, Catalog, open_catalog
from detseg.config.sections import QueueSettings
from detseg.pipeline.pushing.existing import find_missing
from detseg.types import ImageRef, ModelVersion
from tests.catalog.made import VERSION, found, image_id, record_project, review

NEWER = ModelVersion("newer@00000002")

REFS = tuple(ImageRef(image_id(n), f"{n}.png") for n in range(8))
NOT_A_TASK, CLAIMED, WITH_THIS, WITH_OTHER, REPLACED, CLAIMED_TOO, DELETED, CONTROL = REFS


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """Image n of 8 is task 100 + n, unless its name says otherwise."""
    with open_catalog(f"sqlite:///{tmp_path / 'catalog.db'}") as opened:
        opened.images.record(found(n) for n in range(8))
        key = record_project(opened).key
        opened.tasks.open_push(key, [WITH_THIS.id, REPLACED.id, DELETED.id], NEWER)
        opened.tasks.open_push(
            key, [one.id for one in REFS[1:]], VERSION, arms=[Assignment(CONTROL.id, "control")]
        )
        opened.tasks.confirm_push(key, {image_id(n): 100 + n for n in range(2, 8)})
        opened.task_predictions.open_push(key, [REPLACED.id], VERSION)
        opened.task_predictions.confirm_push(key, [REPLACED.id], VERSION, replaces=True)
        opened.task_predictions.open_push(key, [CLAIMED_TOO.id], NEWER)
        opened.server_tasks.mark_deleted(key, [106])
        yield opened


@pytest.mark.parametrize("restore", [False, True])
@pytest.mark.parametrize("predict_reviewed", [False, True])
def test_every_image_needs_one_thing(catalog: Catalog, restore: bool, predict_reviewed: bool) -> None:
    (project,) = catalog.projects.all()
    skipped = review(3, 3, state="skipped", regions=())
    catalog.reviews.record(project.key, [skipped, *(review(n, n) for n in (2, 4, 6, 7))])
    queue = QueueSettings(restore=restore, predict_reviewed=predict_reviewed)
    missing = find_missing(catalog, project.key, REFS, NEWER, queue=queue)
    more = ((WITH_OTHER, 103), (REPLACED, 104), (CLAIMED_TOO, 105))
    assert missing.present == (WITH_THIS, CONTROL)
    assert missing.predictions == (more if predict_reviewed else (more[0], more[2]))
    assert missing.reviewed == (() if predict_reviewed else (REPLACED,))
    assert missing.tasks == (NOT_A_TASK, CLAIMED, *([DELETED] if restore else []))
    assert missing.deleted == (() if restore else (DELETED,))


def test_without_images_nothing_is_missing(catalog: Catalog) -> None:
    (project,) = catalog.projects.all()
    missing = find_missing(catalog, project.key, [], NEWER, queue=QueueSettings())
    assert (missing.tasks, missing.predictions, missing.present, missing.deleted) == ((), (), (), ())
