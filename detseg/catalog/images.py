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
            with self.database.reading() as connection:
                for row in connection.execute(query):
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
        found: dict[str, ImageId] = {}
        for page in pages(uris):
            query = sa.select(locations.c.uri, locations.c.image_id).where(locations.c.uri.in_(page))
            with self.database.reading() as connection:
                found |= {row.uri: ImageId(row.image_id) for row in connection.execute(query)}
        return found

    def places(self) -> Iterator[tuple[str, ImageId]]:
        """Yield every place and the image that was found there, sorted by place. Holds one page in memory."""
        last = ""
        while True:
            query = (
                sa.select(locations.c.uri, locations.c.image_id)
                .where(locations.c.uri > last)
                .order_by(locations.c.uri)
                .limit(5_000)
            )
            with self.database.reading() as connection:
                page = connection.execute(query).all()
            yield from ((row.uri, ImageId(row.image_id)) for row in page)
            if not page:
                return
            last = page[-1].uri

    def sizes(self, ids: Iterable[ImageId]) -> dict[ImageId, Size]:
        """The upright sizes of those images that the catalog knows."""
        found: dict[ImageId, Size] = {}
        for page in pages(ids):
            with self.database.reading() as connection:
                for row in connection.execute(sa.select(images).where(images.c.id.in_(page))):
                    found[ImageId(row.id)] = Size(row.width, row.height)
        return found

    def refs(self, ids: Iterable[ImageId]) -> dict[ImageId, ImageRef]:
        """Return where each of those images is; the first uri in alphabetical order where it has several."""
        found: dict[ImageId, ImageRef] = {}
        for page in pages(ids):
            query = (
                sa.select(locations.c.image_id, sa.func.min(locations.c.uri).label("uri"))
                .where(locations.c.image_id.in_(page))
                .group_by(locations.c.image_id)
            )
            with self.database.reading() as connection:
                for row in connection.execute(query):
                    found[ImageId(row.image_id)] = ImageRef(ImageId(row.image_id), row.uri)
        return found

    def entries(self, ids: Iterable[ImageId]) -> dict[ImageId, tuple[Entry, ...]]:
        """Every place where each of those images was found, as it was listed; sorted by uri."""
        found: dict[ImageId, tuple[Entry, ...]] = {}
        for page in pages(ids):
            query = sa.select(locations).where(locations.c.image_id.in_(page)).order_by(locations.c.uri)
            with self.database.reading() as connection:
                for row in connection.execute(query):
                    entry = Entry(row.uri, row.byte_size, row.stamp, row.metadata)
                    found[ImageId(row.image_id)] = (*found.get(ImageId(row.image_id), ()), entry)
        return found

    def first_places(self, ids: Iterable[ImageId]) -> dict[ImageId, tuple[str, str]]:
        """The first of ``entries`` of each of those images, its uri and its metadata alone."""
        found: dict[ImageId, tuple[str, str]] = {}
        columns = (locations.c.image_id, locations.c.uri, locations.c.metadata)
        for page in pages(ids):
            query = sa.select(*columns).where(locations.c.image_id.in_(page)).order_by(locations.c.uri)
            with self.database.reading() as connection:
                for image, uri, metadata in connection.execute(query).all():
                    found.setdefault(ImageId(image), (uri, metadata))
        return found

    def count(self) -> int:
        """Count the images that the catalog knows."""
        with self.database.reading() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(images)) or 0
