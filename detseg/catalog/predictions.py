"""The answers of model versions about images. The first answer stays: people's edits are compared with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from detseg.catalog.database import Database, Row
from detseg.catalog.quarantine import clear_quarantine
from detseg.catalog.region_json import decode_labels, decode_regions, encode_regions, relabel, relabel_review
from detseg.catalog.tables import images, predictions
from detseg.paging import pages
from detseg.taxonomy import NO_CHANGES, Relabeling
from detseg.types import Annotation, ImageId, ModelVersion, RegionId, Size


@dataclass(frozen=True, slots=True)
class Predictions:
    """``catalog.predictions``"""

    database: Database
    clock: Callable[[], datetime]
    relabeling: Relabeling = NO_CHANGES

    def missing(self, ids: Iterable[ImageId], version: ModelVersion) -> tuple[ImageId, ...]:
        """Those images that this model version has not answered yet, in their order, each once."""
        missing: list[ImageId] = []
        for page in pages(dict.fromkeys(ids)):
            query = sa.select(predictions.c.image_id).where(
                predictions.c.image_id.in_(page), predictions.c.model_version == version
            )
            done = {row.image_id for row in self.database.read(query)}
            missing += [image for image in page if image not in done]
        return tuple(missing)

    def record(self, annotations: Iterable[Annotation]) -> int:
        """Records predictions in one transaction; answers how many are new.

        ``author`` is the model version. An image that this version answered before keeps its first answer.
        The images have to be recorded first.
        """
        now = self.clock()
        answered = tuple(annotations)
        rows = [
            {
                "image_id": annotation.image,
                "model_version": annotation.author,
                "state": annotation.state,
                "regions": encode_regions(annotation.regions),
                "created_at": annotation.updated_at or now,
            }
            for annotation in answered
        ]
        if not rows:
            return 0
        insert = self.database.insert(predictions).on_conflict_do_nothing()
        with self.database.writing() as connection:
            new = len(connection.execute(insert.returning(predictions.c.image_id), rows).all())
            clear_quarantine(connection, "predict", ids=[annotation.image for annotation in answered])
        return new

    def read(self, ids: Iterable[ImageId], version: ModelVersion) -> Iterator[Annotation]:
        """This model version's answers for those images, in the order of the ids.

        Images that it did not answer are left out. Holds one page in memory.
        """
        for page in pages(dict.fromkeys(ids)):
            query = (
                sa.select(predictions, images.c.width, images.c.height)
                .join(images, images.c.id == predictions.c.image_id)
                .where(predictions.c.image_id.in_(page), predictions.c.model_version == version)
            )
            rows = {row.image_id: row for row in self.database.read(query)}
            for image in page:
                if image in rows:
                    yield _annotation(rows[image], self.relabeling)

    def labels(self, ids: Iterable[ImageId]) -> dict[ImageId, dict[RegionId, str]]:
        """The label of every region that any model version saw on those images, by its id."""
        found: dict[ImageId, dict[RegionId, str]] = {}
        query = sa.select(predictions.c.image_id, predictions.c.regions)
        for row in self.database.read_pages(query, predictions.c.image_id, dict.fromkeys(ids)):
            labels = decode_labels(relabel(row.regions, self.relabeling))
            found.setdefault(ImageId(row.image_id), {}).update(labels)
        return found


def _annotation(row: Row, relabeling: Relabeling) -> Annotation:
    regions, state = relabel_review(row.regions, row.state, relabeling)
    return Annotation(
        image=ImageId(row.image_id),
        size=Size(row.width, row.height),
        author=row.model_version,
        state=state,
        regions=decode_regions(regions),
        updated_at=row.created_at,
    )
