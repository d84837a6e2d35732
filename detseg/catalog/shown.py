"""The part of each prediction that the pages of tasks show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.catalog.records import ProjectKey
from detseg.catalog.tables import shown
from detseg.types import ImageId, ModelVersion


@dataclass(frozen=True, slots=True)
class ShownPredictions:
    """``catalog.shown``. The texts are those of ``detseg.labelstudio.shown``."""

    database: Database

    def of_images(
        self, project: ProjectKey, ids: Iterable[ImageId], version: ModelVersion
    ) -> dict[ImageId, str]:
        """Return what is shown of this version's predictions of those images, as far as it was recorded."""
        query = sa.select(shown).where(shown.c.project == project, shown.c.model_version == version)
        rows = self.database.read_pages(query, shown.c.image_id, ids)
        return {ImageId(row.image_id): row.shown for row in rows}


def record_shown(
    database: Database,
    connection: sa.Connection,
    project: ProjectKey,
    version: ModelVersion,
    *,
    texts: Mapping[ImageId, str],
) -> None:
    """Records it inside the transaction that claims the predictions; the latest stays."""
    rows = [
        {"project": project, "image_id": image, "model_version": version, "shown": text}
        for image, text in texts.items()
    ]
    database.upsert(connection, shown, rows)
