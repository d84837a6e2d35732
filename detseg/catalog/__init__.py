"""The catalog: the one truth of what was done. The only room that knows SQL."""

from detseg.catalog.records import (
    Assignment,
    FoundImage,
    Incomplete,
    Project,
    ProjectKey,
    Quarantined,
    RegionOutline,
    ReviewCounts,
    ReviewRecord,
    Run,
    Stage,
    Task,
    TaskState,
    WaitingTask,
)
from detseg.catalog.store import Catalog, open_catalog

__all__ = [
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
    "Run",
    "Stage",
    "Task",
    "TaskState",
    "WaitingTask",
    "open_catalog",
]
