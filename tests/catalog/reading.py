"""What a catalog holds, beside what its own methods answer."""

from __future__ import annotations

import sqlalchemy as sa

from detseg.catalog import Catalog, ProjectKey
from detseg.catalog.tables import images, reviews, task_predictions
from detseg.types import ImageId, ModelVersion


def all_images(catalog: Catalog) -> list[ImageId]:
    """Every image, sorted by id."""
    with catalog.images.database.reading() as connection:
        return [ImageId(one) for one in connection.scalars(sa.select(images.c.id).order_by(images.c.id))]


def review_ids(catalog: Catalog, project: ProjectKey) -> frozenset[int]:
    """The annotation ids of the reviews that are not marked as deleted."""
    query = sa.select(reviews.c.annotation_id).where(
        reviews.c.project == project, reviews.c.deleted.is_(False)
    )
    with catalog.reviews.database.reading() as connection:
        return frozenset(connection.scalars(query))


def prediction_states(catalog: Catalog, project: ProjectKey, image: ImageId) -> dict[ModelVersion, str]:
    """The model versions whose predictions the image's task has, and how far each is pushed."""
    query = sa.select(task_predictions).where(
        task_predictions.c.project == project, task_predictions.c.image_id == image
    )
    with catalog.task_predictions.database.reading() as connection:
        return {ModelVersion(row.model_version): row.state for row in connection.execute(query)}
