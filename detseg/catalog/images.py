"""Images by content, and the places where they were found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.catalog.quarantine import clear_quarantine
from detseg.catalog.records import FoundImage
from detseg.catalog.tables import images, locations
from detseg.paging import pages
from detseg.types import Entry, ImageId, ImageRef, Size


@dataclass(frozen=True, slots=True)
class Images:
    """``catalog.images``"""

    database: Database
    clock: Callable[[], datetime]

    def known(self, entries: Iterable[Entry]) -> dict[str, ImageId]:
        """The image of each uri that is listed as it was when it was read: size, stamp and metadata.

        What is missing in the answer is new or changed, and has to be read.
        """
        found: dict[str, ImageId] = {}
        for page in pages(entries):
            wanted = {entry.uri: (entry.byte_size, entry.stamp, entry.metadata) for entry in page}
            query = sa.select(locations).where(locations.c.uri.in_(wanted))
            for row in self.database.read(query):
                if wanted[row.uri] == (row.byte_size, row.stamp, row.metadata):
                    found[row.uri] = ImageId(row.image_id)
        return found

    def record(self, found: Iterable[FoundImage]) -> int:
        """Records images that were read and where; answers how many of them are new.

        Equal bytes in two places are one image. A file whose bytes changed points to its new image. What
        was in quarantine because it could not be read leaves it.
        """
        read = list(found)
        if not read:
            return 0
        now = self.clock()
        rows = [
            {"id": image.id, "width": image.size.width, "height": image.size.height, "first_seen": now}
            for image in {image.id: image for image in read}.values()
        ]
        places = [
            {
                "uri": image.entry.uri,
                "image_id": image.id,
                "byte_size": image.entry.byte_size,
                "stamp": image.entry.stamp,
                "metadata": image.entry.metadata,
            }
            for image in {image.entry.uri: image for image in read}.values()
        ]
        insert = self.database.insert(images).on_conflict_do_nothing().returning(images.c.id)
        with self.database.writing() as connection:
            new = len(connection.execute(insert, rows).all())
            self.database.upsert(connection, locations, places)
            clear_quarantine(connection, "read", uris=[image.entry.uri for image in read])
        return new

    def forget(self, uris: Iterable[str]) -> None:
        """Records that those places hold none of the images that are known."""
        with self.database.writing() as connection:
            for page in pages(uris):
                connection.execute(sa.delete(locations).where(locations.c.uri.in_(page)))

    def at(self, uris: Iterable[str]) -> dict[str, ImageId]:
        """The image that was found at each of those places; places that are not known are left out."""
        query = sa.select(locations.c.uri, locations.c.image_id)
        rows = self.database.read_pages(query, locations.c.uri, uris)
        return {row.uri: ImageId(row.image_id) for row in rows}

    def places(self) -> Iterator[tuple[str, ImageId]]:
        """Yield every place and the image that was found there, sorted by place. Holds one page in memory."""
        query = sa.select(locations.c.uri, locations.c.image_id)
        rows = self.database.read_along(query, locations.c.uri, size=5_000)
        return ((row.uri, ImageId(row.image_id)) for row in rows)

    def sizes(self, ids: Iterable[ImageId]) -> dict[ImageId, Size]:
        """The upright sizes of those images that the catalog knows."""
        rows = self.database.read_pages(sa.select(images), images.c.id, ids)
        return {ImageId(row.id): Size(row.width, row.height) for row in rows}

    def refs(self, ids: Iterable[ImageId]) -> dict[ImageId, ImageRef]:
        """Return where each of those images is; the first uri in alphabetical order where it has several."""
        query = sa.select(locations.c.image_id, sa.func.min(locations.c.uri).label("uri"))
        rows = self.database.read_pages(query.group_by(locations.c.image_id), locations.c.image_id, ids)
        return {ImageId(row.image_id): ImageRef(ImageId(row.image_id), row.uri) for row in rows}

    def entries(self, ids: Iterable[ImageId]) -> dict[ImageId, tuple[Entry, ...]]:
        """Every place where each of those images was found, as it was listed; sorted by uri."""
        found: dict[ImageId, tuple[Entry, ...]] = {}
        query = sa.select(locations).order_by(locations.c.uri)
        for row in self.database.read_pages(query, locations.c.image_id, ids):
            entry = Entry(row.uri, row.byte_size, row.stamp, row.metadata)
            found[ImageId(row.image_id)] = (*found.get(ImageId(row.image_id), ()), entry)
        return found

    def first_places(self, ids: Iterable[ImageId]) -> dict[ImageId, tuple[str, str]]:
        """The first of ``entries`` of each of those images, its uri and its metadata alone."""
        found: dict[ImageId, tuple[str, str]] = {}
        query = sa.select(locations.c.image_id, locations.c.uri, locations.c.metadata)
        rows = self.database.read_pages(query.order_by(locations.c.uri), locations.c.image_id, ids)
        for image, uri, metadata in rows:
            found.setdefault(ImageId(image), (uri, metadata))
        return found

    def count(self) -> int:
        """Count the images that the catalog knows."""
        with self.database.reading() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(images)) or 0
