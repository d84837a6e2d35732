"""Features of images: perceptual hashes and thumbnails of their pixels, embeddings of a model's backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import sqlalchemy as sa

from detseg.catalog.database import Database, Row
from detseg.catalog.tables import features, split_groups
from detseg.paging import pages
from detseg.types import Embedding, Fingerprint, ImageFeatures, ImageId

_HALF = np.dtype("<f2")


@dataclass(frozen=True, slots=True)
class Features:
    """``catalog.features``"""

    database: Database
    clock: Callable[[], datetime]

    def record(self, found: Iterable[ImageFeatures]) -> None:
        """Records the features of images, in the place of earlier ones. The images have to be recorded first.

        Without an embedding, the one of an earlier model stays.
        """
        for page in pages({one.image: one for one in found}.values()):
            for with_embedding in (True, False):
                rows = [_row(one) for one in page if (one.embedding is not None) == with_embedding]
                if not rows:
                    continue
                statement = self.database.insert(features)
                kept = {"image_id"} if with_embedding else {"image_id", "model", "embedding"}
                values = {name: statement.excluded[name] for name in rows[0] if name not in kept}
                statement = statement.on_conflict_do_update(index_elements=["image_id"], set_=values)
                with self.database.writing() as connection:
                    connection.execute(statement, rows)

    def missing(self, ids: Iterable[ImageId]) -> tuple[ImageId, ...]:
        """Those images that have no features, in their order, each once."""
        missing: list[ImageId] = []
        for page in pages(dict.fromkeys(ids)):
            query = sa.select(features.c.image_id).where(features.c.image_id.in_(page))
            known = {row.image_id for row in self.database.read(query)}
            missing += [image for image in page if image not in known]
        return tuple(missing)

    def read(self, ids: Iterable[ImageId]) -> Iterator[ImageFeatures]:
        """The features of those images, in the order of the ids; images that have none are left out.

        Holds one page in memory.
        """
        for page in pages(dict.fromkeys(ids)):
            query = sa.select(features).where(features.c.image_id.in_(page))
            rows = {row.image_id: row for row in self.database.read(query)}
            for image in page:
                if image in rows:
                    yield _features(rows[image])

    def read_all(self) -> Iterator[ImageFeatures]:
        """All features, by ascending image id. Holds one page in memory."""
        return map(_features, self.database.read_along(sa.select(features), features.c.image_id))

    def split_groups(self) -> dict[ImageId, ImageId]:
        """The group of each image whose side in splits is settled, those that were settled first before."""
        query = sa.select(split_groups).order_by(split_groups.c.since, split_groups.c.image_id)
        return {ImageId(row.image_id): ImageId(row.group) for row in self.database.read(query)}

    def settle_split_groups(self, groups: Mapping[ImageId, ImageId]) -> None:
        """Records the groups of images, for good: an image that has one keeps it."""
        since = self.clock()
        insert = self.database.insert(split_groups).on_conflict_do_nothing()
        with self.database.writing() as connection:
            for page in pages(groups.items()):
                rows = [{"image_id": image, "group": group, "since": since} for image, group in page]
                connection.execute(insert, rows)


def _row(one: ImageFeatures) -> dict[str, object]:
    embedding = one.embedding
    return {
        "image_id": one.image,
        "hash": one.fingerprint.hash,
        "thumbnail": one.fingerprint.thumbnail,
        "model": embedding.model if embedding else "",
        "embedding": embedding.values.astype(_HALF).tobytes() if embedding else b"",
    }


def _features(row: Row) -> ImageFeatures:
    embedding = Embedding(row.model, np.frombuffer(row.embedding, _HALF)) if row.embedding else None
    return ImageFeatures(ImageId(row.image_id), Fingerprint(row.hash, row.thumbnail), embedding)
