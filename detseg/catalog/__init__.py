"""The catalog: the one truth of what was done. The only room that knows SQL."""

from detseg.catalog.records import (
    IMPORTED_BY,
    NOTHING_SHOWN,
    Assignment,
    FoundImage,
    Incomplete,
    Project,
    ProjectKey,
    Quarantined,
    RegionOutline,
    ReviewCounts,
    ReviewRecord,
    Stage,
    Task,
    TaskState,
    WaitingTask,
    is_same_task,
)
from detseg.catalog.store import Catalog, open_catalog

__all__ = [
    "IMPORTED_BY",
    "NOTHING_SHOWN",
    "Assignment",
    "Catalog",
    "FoundImage",
    "Incomplete",
    "Project",
    "ProjectKey",
    "Quarantined",
    "RegionOutline",
    "ReviewCounts",
    "ReviewRecord",
    "Stage",
    "Task",
    "TaskState",
    "WaitingTask",
    "is_same_task",
    "open_catalog",
]
