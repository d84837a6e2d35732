"""Clears up what earlier runs left: pushes without an answer, and what therefore came to be there twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from detseg.errors import Refused
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.predictions import delete_prediction, look_up
from detseg.paging import pages
from detseg.pipeline.pushing.finding import adopt, find_added, find_known, find_sent, find_tasks
from detseg.pipeline.pushing.waiting import GIVEN_UP, ask_until, seconds_left
from detseg.types import ImageId, ModelVersion

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Project


def settle_intents(
    client: LabelStudioClient, catalog: Catalog, project: Project, *, patience_s: float = 20.0
) -> tuple[str, ...]:
    """Asks the server about every push that was begun and not confirmed, and records what it says.

    What the server does not have is given free, but not before ``patience_s`` after it was begun: the server
    may still be at it. What was sent again and is there twice is made once, unless people worked on both:
    answers a line for each of those.
    """
    _settle_tasks(client, catalog, project, patience_s)
    _settle_predictions(client, catalog, project, patience_s)
    return _mend_doubles(client, catalog, project)


def _settle_tasks(client: LabelStudioClient, catalog: Catalog, project: Project, patience_s: float) -> None:
    intents = catalog.tasks.open_intents(project.key)
    for page in pages(intents):
        found = ask_until(
            len(page),
            partial(find_sent, client, catalog, project, page),
            patience_s=seconds_left(max(intents[image] for image in page), patience_s),
        )
        catalog.tasks.confirm_push(project.key, found)
        lost = [image for image in page if image not in found]
        catalog.doubts.record(project.key, lost)
        catalog.tasks.drop_intents(project.key, lost)


def _settle_predictions(
    client: LabelStudioClient, catalog: Catalog, project: Project, patience_s: float
) -> None:
    intents = catalog.task_predictions.open_intents(project.key)
    by_version: defaultdict[ModelVersion, list[ImageId]] = defaultdict(list)
    for image, version in intents:
        by_version[version].append(image)
    for version, images in by_version.items():
        for page in pages(images):
            arrived = ask_until(
                len(page),
                partial(find_added, client, catalog, project, page, version=version),
                patience_s=seconds_left(max(intents[image, version] for image in page), patience_s),
            )
            ours = catalog.task_predictions.versions(project.key) - {version}
            alone = {image for image, task in arrived.items() if not task.versions & ours}
            catalog.task_predictions.confirm_push(project.key, sorted(arrived.keys() - alone), version)
            catalog.task_predictions.confirm_push(project.key, sorted(alone), version, replaces=True)
            lost = [image for image in page if image not in arrived]
            catalog.doubts.record(project.key, lost, version)
            catalog.task_predictions.drop_intents(project.key, lost, version)


def _mend_doubles(client: LabelStudioClient, catalog: Catalog, project: Project) -> tuple[str, ...]:
    doubts = catalog.doubts.all(project.key)
    words: list[str] = []
    for images in pages(doubt.image for doubt in doubts if doubt.version is None):
        for image, own in find_tasks(client, catalog, project, images).own.items():
            words += _mend_tasks(client, catalog, project, image=image, own=own)
    for some in pages((doubt for doubt in doubts if doubt.version is not None), 50):
        on_server = find_known(client, catalog, project, [doubt.image for doubt in some])
        for doubt in some:
            task = on_server.get(doubt.image)
            same = [one for one in task.predictions if one.model_version == doubt.version] if task else []
            spare = [one for one in same if not one.is_parent]
            for prediction in spare if len(spare) < len(same) else spare[1:]:
                delete_prediction(client.session, prediction.id)
    catalog.doubts.forget(project.key, datetime.now(UTC) - GIVEN_UP)
    return tuple(words)


def _mend_tasks(
    client: LabelStudioClient, catalog: Catalog, project: Project, *, image: ImageId, own: Sequence[int]
) -> list[str]:
    """Leaves one task of an image's: the one that people worked on, else the one that the catalog knows."""
    task = catalog.tasks.find(project.key, image)
    if task is None and own:
        adopt(client, catalog, project, {image: own})
        task = catalog.tasks.find(project.key, image)
    if task is None or task.task_id is None or task.state != "pushed" or len(own) < 2:
        return []
    on_server = look_up(client.session, project.server_id, own)
    touched = [one for one in own if one in on_server and on_server[one].touched]
    if len(touched) > 1:
        return [
            f"image {image} is tasks {', '.join(map(str, touched))} of project {project.title!r}, and people "
            "worked on each of them: delete all but one in Label Studio"
        ]
    kept = touched[0] if touched else task.task_id if task.task_id in own else own[0]
    catalog.tasks.move(project.key, image, kept)
    for spare in own:
        if spare != kept:
            _delete_task(client, spare)
    return []


def _delete_task(client: LabelStudioClient, task: int) -> None:
    try:
        client.delete_task(task)
    except Refused as error:
        if error.status != 404:  # gone already
            raise
