"""Small records to put into a catalog."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from detseg.catalog import Catalog, FoundImage, Project, ReviewRecord
from detseg.types import (
    Annotation,
    Box,
    Entry,
    ImageId,
    Instance,
    Mask,
    ModelVersion,
    Region,
    RegionId,
    Size,
    State,
)

SIZE = Size(64, 48)
VERSION = ModelVersion("sample@0123abcd")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def image_id(n: int) -> ImageId:
    return ImageId(f"sha256:{n:064x}")


def image_ids(n: int) -> list[ImageId]:
    return [image_id(i) for i in range(n)]


def entry(n: int, *, byte_size: int = 1000, stamp: str = "5", metadata: str = "") -> Entry:
    return Entry(f"file:///photos/{n}.jpg", byte_size, stamp, metadata)


def found(n: int) -> FoundImage:
    return FoundImage(image_id(n), SIZE, entry(n))


REGIONS = (
    Region(
        RegionId("r1"),
        "model",
        Instance("bolt", "thing", box=Box(1.5, 2.25, 30.125, 40.0), score=0.75, seen_by="both"),
    ),
    Region(
        RegionId("r2"),
        "model",
        Instance("belt", "stuff", mask=Mask(SIZE, (10, 20, SIZE.area - 30)), score=0.5),
    ),
)


def prediction(n: int, *, version: ModelVersion = VERSION, regions: Iterable[Region] = REGIONS) -> Annotation:
    return Annotation(image_id(n), SIZE, version, "labeled", tuple(regions), updated_at=NOON)


def review(
    annotation_id: int,
    n: int,
    *,
    author: str = "person 1",
    state: State = "labeled",
    minute: int = 0,
    regions: Iterable[Region] = REGIONS,
    lead_time_s: float | None = 12.5,
) -> ReviewRecord:
    return ReviewRecord(
        annotation_id=annotation_id,
        created_at=NOON,
        task_id=100 + n,
        annotation=Annotation(
            image=image_id(n),
            size=SIZE,
            author=author,
            state=state,
            regions=tuple(regions),
            lead_time_s=lead_time_s,
            updated_at=NOON + timedelta(minutes=minute),
        ),
    )


def record_project(
    catalog: Catalog,
    *,
    server_id: int = 1,
    url: str = "http://127.0.0.1:8080",
    title: str = "parts",
    created_at: datetime = NOON,
) -> Project:
    return catalog.projects.record(
        server_id, url=url, title=title, created_at=created_at, label_config="<View></View>"
    )
