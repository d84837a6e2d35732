"""The images that wait for review, out of the catalog: what their pages show, without the drawing of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from detseg.labelstudio.shapes import Part, split_parts
from detseg.labelstudio.shown import Shown, decode_shown, parts_left_out
from detseg.metrics.expected_edits import ShownRegion
from detseg.metrics.waiting import WaitingImage
from detseg.pipeline.qa.cases import task_url

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Project, RegionOutline
    from detseg.labelstudio.shapes import Annotate


def read_waiting(catalog: Catalog, project: Project, annotate: Annotate) -> Iterator[WaitingImage]:
    """Every image that waits, sorted by id. Holds one page in memory.

    ``annotate`` is what annotators are asked for now, which stands in where it was not kept.
    """
    decoded = lru_cache(maxsize=64)(decode_shown)  # most are alike
    for task in catalog.waiting.of_project(project.key):
        shown = Shown(annotate) if task.shown is None else decoded(task.shown)
        regions = (shown_region(outline, shown) for outline in task.regions)
        yield WaitingImage(
            image=task.image,
            task_id=task.task_id,
            task_url=task_url(project, task.task_id),
            uri=task.uri,
            model_version=task.model_version,
            regions=tuple(region for region in regions if region is not None),
        )


def shown_region(outline: RegionOutline, shown: Shown) -> ShownRegion | None:
    """Reduce a region to what ``as_shown`` leaves of it; None for nothing."""
    has: dict[Part, bool] = {"box": outline.has_box, "mask": outline.has_mask}
    left, _ = split_parts(
        outline.kind,
        {part for part, is_there in has.items() if is_there},
        shown.annotate,
        left_out=parts_left_out(outline.id, shown),
    )
    return ShownRegion(outline.label, "mask" in left, outline.score) if left else None
