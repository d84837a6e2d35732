"""Images whose truth is known. The catalog keeps it, so that people are measured while its file is gone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.catalog.records import ReviewCounts
from detseg.catalog.region_json import decode_regions, encode_regions, relabel_review
from detseg.catalog.tables import gold, images
from detseg.paging import pages
from detseg.taxonomy import NO_CHANGES, Relabeling
from detseg.types import Annotation, ImageId, Size

GOLD_AUTHOR = "gold"


@dataclass(frozen=True, slots=True)
class Gold:
    """``catalog.gold``"""

    database: Database
    relabeling: Relabeling = NO_CHANGES

    def record(self, truths: Iterable[Annotation], name: str = "") -> ReviewCounts:
        """Record truths, each in the place of an earlier one, and count what is new, and what is another now.

        The images have to be recorded first.

        ``name`` is that of an import; those of the file that the settings name have none.
        """
        new = updated = unchanged = 0
        for page in pages(truths):
            rows = [
                {
                    "image_id": one.image,
                    "state": one.state,
                    "regions": encode_regions(one.regions),
                    "name": name,
                }
                for one in page
            ]
            ids = [row["image_id"] for row in rows]
            query = sa.select(gold.c.image_id, gold.c.state, gold.c.regions).where(gold.c.image_id.in_(ids))
            with self.database.writing() as connection:
                known = {one.image_id: (one.state, one.regions) for one in connection.execute(query)}
                self.database.upsert(connection, gold, rows)
            same = sum(known.get(row["image_id"]) == (row["state"], row["regions"]) for row in rows)
            new, updated = new + len(rows) - len(known), updated + len(known) - same
            unchanged += same
        return ReviewCounts(new, updated, unchanged)

    def imported(self) -> frozenset[ImageId]:
        """Return the images whose truth was imported."""
        return self._images(gold.c.name != "")

    def of_file(self) -> frozenset[ImageId]:
        """Return the images whose truth came from the file that the settings name."""
        return self._images(gold.c.name == "")

    def _images(self, where: sa.ColumnElement[bool]) -> frozenset[ImageId]:
        query = sa.select(gold.c.image_id).where(where)
        return frozenset(ImageId(row.image_id) for row in self.database.read(query))

    def remove(self, name: str) -> int:
        """Forget the truths of an import; how many there were."""
        with self.database.writing() as connection:
            return connection.execute(sa.delete(gold).where(gold.c.name == name)).rowcount

    def read(self, ids: Iterable[ImageId]) -> dict[ImageId, Annotation]:
        """The known truth of those images, by the author "gold"; images without one are left out."""
        found: dict[ImageId, Annotation] = {}
        query = sa.select(gold, images.c.width, images.c.height).join(images, images.c.id == gold.c.image_id)
        for row in self.database.read_pages(query, gold.c.image_id, ids):
            image, size = ImageId(row.image_id), Size(row.width, row.height)
            text, state = relabel_review(row.regions, row.state, self.relabeling)
            found[image] = Annotation(image, size, GOLD_AUTHOR, state, decode_regions(text))
        return found
