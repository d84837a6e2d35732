"""Pushes whose answer was lost: the server is asked what became of them, as long as it may be at it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sized
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from detseg.paging import pages
from detseg.pipeline.pushing.existing import find_added, find_last_creation, find_sent
from detseg.types import ImageId, ModelVersion
from detseg.waits import waiting

if TYPE_CHECKING:
    from detseg.pipeline.workspace import Sides


def settle_intents(sides: Sides, *, patience_s: float = 20.0) -> None:
    """Asks the server about every push that was begun and not confirmed, and records what it says.

    What the server does not have is given free, but not before ``patience_s`` after it was begun: the server
    may still be at it.
    """
    catalog, project = sides.catalog, sides.project
    undated = sides.client.seen_tasks(project.server_id, catalog.tasks.undated(project.key))
    catalog.server_tasks.recognise(project.key, undated)
    _settle_tasks(sides, patience_s)
    _settle_predictions(sides, patience_s)


def _settle_tasks(sides: Sides, patience_s: float) -> None:
    catalog, project = sides.catalog, sides.project
    intents = catalog.tasks.open_intents(project.key)
    for page in pages(intents):
        found = ask_until(
            len(page),
            partial(find_sent, sides, page),
            patience_s=seconds_left(max(intents[image] for image in page), patience_s),
        )
        created_by = find_last_creation(sides, found)
        catalog.tasks.confirm_push(project.key, found, created_by=created_by)
        lost = [image for image in page if image not in found]
        catalog.possible_duplicates.record(project.key, lost)
        catalog.tasks.drop_intents(project.key, lost)


def _settle_predictions(sides: Sides, patience_s: float) -> None:
    catalog, project = sides.catalog, sides.project
    intents = catalog.task_predictions.open_intents(project.key)
    by_version: defaultdict[ModelVersion, list[ImageId]] = defaultdict(list)
    for image, version in intents:
        by_version[version].append(image)
    for version, images in by_version.items():
        for page in pages(images):
            arrived = ask_until(
                len(page),
                partial(find_added, sides, page, version),
                patience_s=seconds_left(max(intents[image, version] for image in page), patience_s),
            )
            ours = catalog.task_predictions.versions(project.key) - {version}
            alone = {image for image, task in arrived.items() if not task.versions & ours}
            catalog.task_predictions.confirm_push(project.key, sorted(arrived.keys() - alone), version)
            catalog.task_predictions.confirm_push(project.key, sorted(alone), version, replaces=True)
            lost = [image for image in page if image not in arrived]
            catalog.possible_duplicates.record(project.key, lost, version)
            catalog.task_predictions.drop(project.key, lost, version)


_Found = TypeVar("_Found", bound=Sized)

_POLL_S = 0.5

GIVEN_UP = timedelta(hours=1)
"""After that, no server still works on a request: its proxies and ours have given it up long ago."""


def ask_until(n: int, ask: Callable[[], _Found], *, patience_s: float) -> _Found:
    """The first answer with that many entries, or the last one when the time is over. Asks at least once."""
    with waiting("Label Studio to show what was sent to it", longest_s=patience_s) as wait:
        while True:
            found = ask()
            if len(found) >= n or wait.is_over:
                return found
            wait.pause(_POLL_S)


def seconds_left(begun: datetime, patience_s: float) -> float:
    """Return what is left of the patience with a request that was begun then; negative when it is over.

    Never more than the patience, also where the clock that dated the request ran ahead of ours.
    """
    return min(patience_s, patience_s - (datetime.now(UTC) - begun).total_seconds())
