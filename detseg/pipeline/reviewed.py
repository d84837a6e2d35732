"""The boxes of people's reviews as a detector, out of the catalog: ``--detector reviews``.

A run reads them once, at its beginning; its shards take what was read then. A process that has not read them
does so, and is told by the model version if they have changed since.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from detseg.errors import ModelError
from detseg.models.reviewed import REVIEWS, ReviewedBoxes, collect_boxes, is_reviews
from detseg.pipeline.labels import label_rules, read_labels
from detseg.pipeline.workspace import opened_catalog
from detseg.types import Box, ImageId, ModelVersion

if TYPE_CHECKING:
    from detseg.catalog import Catalog
    from detseg.config import Settings
    from detseg.config.sections import QueueSettings

_of_runs: dict[ModelVersion, ReviewedBoxes] = {}
"""What the latest run of this process has read."""


def read_reviewed(detector: str | None, queue: QueueSettings, catalog: Catalog) -> ReviewedBoxes | None:
    """The boxes of the labels of a project; None where ``detector`` is another one.

    The project is that behind ``reviews:``, else that of the queue. Its labels are those that would be
    exported. ModelError for a project that the catalog does not know, or without labels.
    """
    if not is_reviews(detector):
        return None
    title = (detector or "").partition(":")[2] or queue.project
    found = catalog.projects.titled(title)
    if not found:
        raise ModelError(
            f"the catalog {catalog.url} knows no project {title!r}, whose reviews were to be the detector: "
            f"name one as --detector '{REVIEWS}:TITLE', and run `detseg collect` for it first"
        )

    def boxes() -> Iterator[tuple[ImageId, list[tuple[str, Box]]]]:
        for label in read_labels(catalog, found[-1], label_rules(queue)):
            things = (one.instance for one in label.annotation.regions if one.instance.kind == "thing")
            yield label.image, [(one.label, one.box) for one in things if one.box is not None]

    reviewed = collect_boxes(boxes())
    if not reviewed.boxes:
        raise ModelError(
            f"nobody has reviewed an image of the project {title!r} yet, as far as the catalog knows: run "
            "`detseg collect`"
        )
    return reviewed


def find_reviewed(settings: Settings) -> ReviewedBoxes | None:
    """As ``read_reviewed``, out of the catalog of the settings, which is opened only if it is asked."""
    if not is_reviews(settings.model.detector):
        return None
    with opened_catalog(settings) as catalog:
        return read_reviewed(settings.model.detector, settings.queue, catalog)


def keep_reviewed(version: ModelVersion, reviewed: ReviewedBoxes | None) -> None:
    """Keeps what a run has read, for its shards in this process."""
    _of_runs.clear()
    if reviewed is not None:
        _of_runs[version] = reviewed


def reviewed_of_run(
    detector: str | None, queue: QueueSettings, catalog: Catalog, version: ModelVersion
) -> ReviewedBoxes | None:
    """What the run of that model version has read; read now where that was in another process."""
    return _of_runs.get(version) or read_reviewed(detector, queue, catalog)
