"""The catalog's tables. A change here needs a migration in ``migrations/versions`` (a test compares)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Named,
    String,
    Table,
    Text,
    TypedColumns,
    TypeDecorator,
    UniqueConstraint,
)

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)

_ID = 71  # len("sha256:") + 64 hex digits


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: timezone-aware in, UTC out. SQLite keeps no timezone, so UTC is what is stored."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment in the catalog has a timezone, {value.isoformat()} has none")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        moment: datetime = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return moment


class ImageColumns(TypedColumns):
    id = Column(String(_ID), primary_key=True)
    width: Named[int]
    height: Named[int]
    first_seen: Named[datetime] = Column(UtcDateTime)


class LocationColumns(TypedColumns):
    uri = Column(Text, primary_key=True)
    image_id: Named[str] = Column(String(_ID), ForeignKey("images.id"), index=True)
    byte_size: Named[int] = Column(BigInteger)
    stamp: Named[str] = Column(Text)
    metadata: Named[str] = Column(Text)


class PredictionColumns(TypedColumns):
    image_id = Column(String(_ID), ForeignKey("images.id"), primary_key=True)
    model_version = Column(String(200), primary_key=True)
    state: Named[str] = Column(String(20))
    regions: Named[str] = Column(Text)
    created_at: Named[datetime] = Column(UtcDateTime)


class FeatureColumns(TypedColumns):
    image_id = Column(String(_ID), ForeignKey("images.id"), primary_key=True)
    hash: Named[bytes] = Column(LargeBinary)
    thumbnail: Named[bytes] = Column(LargeBinary)
    model: Named[str] = Column(String(200))
    embedding: Named[bytes] = Column(LargeBinary)


class SplitGroupColumns(TypedColumns):
    image_id = Column(String(_ID), ForeignKey("images.id"), primary_key=True)
    group: Named[str] = Column(String(_ID))
    since: Named[datetime] = Column(UtcDateTime)


class ProjectColumns(TypedColumns):
    key = Column(Integer, primary_key=True)
    server_id: Named[int]
    created_at: Named[datetime] = Column(UtcDateTime)
    url: Named[str] = Column(Text)
    title: Named[str] = Column(Text)
    label_config: Named[str] = Column(Text)


class TaskColumns(TypedColumns):
    project = Column(Integer, ForeignKey("projects.key"), primary_key=True)
    image_id = Column(String(_ID), ForeignKey("images.id"), primary_key=True)
    task_id: Named[int | None] = Column(BigInteger)
    former_id: Named[int | None] = Column(BigInteger)
    created_at: Named[datetime | None] = Column(UtcDateTime)
    state: Named[str] = Column(String(20))
    model_version: Named[str] = Column(String(200))
    intended_at: Named[datetime] = Column(UtcDateTime)
    pushed_at: Named[datetime | None] = Column(UtcDateTime)


class CopyColumns(TypedColumns):
    project = Column(Integer, primary_key=True)
    task_id = Column(BigInteger, primary_key=True, autoincrement=False)
    image_id: Named[str] = Column(String(_ID))
    created_at: Named[datetime] = Column(UtcDateTime)


class TaskPredictionColumns(TypedColumns):
    project = Column(Integer, primary_key=True)
    image_id = Column(String(_ID), primary_key=True)
    model_version = Column(String(200), primary_key=True)
    state: Named[str] = Column(String(20))
    intended_at: Named[datetime] = Column(UtcDateTime)
    pushed_at: Named[datetime | None] = Column(UtcDateTime)


class ArmColumns(TypedColumns):
    project = Column(Integer, ForeignKey("projects.key"), primary_key=True)
    image_id = Column(String(_ID), ForeignKey("images.id"), primary_key=True)
    arm: Named[str] = Column(String(20))
    decoys: Named[str] = Column(Text)


class GoldColumns(TypedColumns):
    image_id = Column(String(_ID), ForeignKey("images.id"), primary_key=True)
    state: Named[str] = Column(String(20))
    regions: Named[str] = Column(Text)
    name: Named[str] = Column(Text)


class PossibleDuplicateColumns(TypedColumns):
    project = Column(Integer, ForeignKey("projects.key"), primary_key=True)
    image_id = Column(String(_ID), primary_key=True)
    model_version = Column(String(200), primary_key=True)
    since: Named[datetime] = Column(UtcDateTime)


class ShownColumns(TypedColumns):
    project = Column(Integer, ForeignKey("projects.key"), primary_key=True)
    image_id = Column(String(_ID), ForeignKey("images.id"), primary_key=True)
    model_version = Column(String(200), primary_key=True)
    shown: Named[str] = Column(Text)


class ReviewColumns(TypedColumns):
    project = Column(Integer, ForeignKey("projects.key"), primary_key=True)
    annotation_id = Column(BigInteger, primary_key=True, autoincrement=False)
    created_at = Column(UtcDateTime, primary_key=True)
    task_id: Named[int] = Column(BigInteger)
    image_id: Named[str] = Column(String(_ID))
    author: Named[str] = Column(Text)
    state: Named[str] = Column(String(20))
    regions: Named[str] = Column(Text)
    lead_time_s: Named[float | None] = Column(Float)
    updated_at: Named[datetime] = Column(UtcDateTime)
    deleted: Named[bool] = Column(Boolean)
    simulated: Named[bool] = Column(Boolean)
    unread: Named[str] = Column(Text)


class QuarantineColumns(TypedColumns):
    uri = Column(Text, primary_key=True)
    image_id: Named[str | None] = Column(String(_ID), index=True)
    reason: Named[str] = Column(Text)
    stage: Named[str] = Column(String(20))
    at: Named[datetime] = Column(UtcDateTime)


class CursorColumns(TypedColumns):
    name = Column(String(200), primary_key=True)
    value: Named[str] = Column(Text)


class ModelColumns(TypedColumns):
    name = Column(String(200), primary_key=True)
    digest: Named[str] = Column(String(_ID))
    path: Named[str] = Column(Text)
    answers: Named[str] = Column(String(20))
    base: Named[str] = Column(Text)
    parent: Named[str | None] = Column(String(200), ForeignKey("models.name"))
    dataset: Named[str] = Column(Text)
    dataset_id: Named[str] = Column(String(_ID))
    seed: Named[int] = Column(BigInteger)
    steps: Named[int] = Column(BigInteger)
    seconds: Named[float] = Column(Float)
    figures: Named[str] = Column(Text)
    registered_at: Named[datetime] = Column(UtcDateTime)
    removed_at: Named[datetime | None] = Column(UtcDateTime)


class PromotionColumns(TypedColumns):
    number = Column(Integer, primary_key=True)
    model: Named[str | None] = Column(String(200), ForeignKey("models.name"))
    kind: Named[str] = Column(String(20))
    at: Named[datetime] = Column(UtcDateTime)
    judgement: Named[str | None] = Column(Text)
    box_thresholds: Named[str] = Column(Text)
    mask_thresholds: Named[str] = Column(Text)
    score_maps: Named[str] = Column(Text, server_default="{}")


class LookColumns(TypedColumns):
    dataset_id = Column(String(_ID), primary_key=True)
    split = Column(String(200), primary_key=True)
    candidate = Column(String(200), primary_key=True)
    present = Column(String(200), primary_key=True)
    at: Named[datetime] = Column(UtcDateTime)
    result: Named[str] = Column(Text)
    images: Named[bytes | None] = Column(LargeBinary, nullable=True)


images = Table("images", metadata, ImageColumns)
locations = Table("locations", metadata, LocationColumns)
predictions = Table("predictions", metadata, PredictionColumns)
features = Table("features", metadata, FeatureColumns)
split_groups = Table("split_groups", metadata, SplitGroupColumns)
projects = Table("projects", metadata, ProjectColumns, UniqueConstraint("server_id", "created_at"))
tasks = Table("tasks", metadata, TaskColumns, UniqueConstraint("project", "task_id"))
copies = Table(
    "copies",
    metadata,
    CopyColumns,
    ForeignKeyConstraint(["project", "image_id"], ["tasks.project", "tasks.image_id"]),
    Index(None, "project", "image_id"),
)
task_predictions = Table(
    "task_predictions",
    metadata,
    TaskPredictionColumns,
    ForeignKeyConstraint(["project", "image_id"], ["tasks.project", "tasks.image_id"]),
)
shown = Table("shown", metadata, ShownColumns)
arms = Table("arms", metadata, ArmColumns)
gold = Table("gold", metadata, GoldColumns)
possible_duplicates = Table("doubts", metadata, PossibleDuplicateColumns)  # as it was first called
reviews = Table(
    "reviews",
    metadata,
    ReviewColumns,
    ForeignKeyConstraint(["project", "image_id"], ["tasks.project", "tasks.image_id"]),
    Index(None, "project", "image_id", "author", "updated_at"),
    Index(None, "project", "task_id"),
)
quarantine = Table("quarantine", metadata, QuarantineColumns)
cursors = Table("cursors", metadata, CursorColumns)
models = Table("models", metadata, ModelColumns, UniqueConstraint("digest", "path"))
promotions = Table("promotions", metadata, PromotionColumns)
looks = Table("looks", metadata, LookColumns)
