"""The images of a project that were reviewed or wait for it, out of the catalog.

They come page by page, so that memory does not grow with their number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

from detseg.labelstudio.shapes import Part, split_parts
from detseg.labelstudio.shown import Shown, as_shown, decode_shown, parts_left_out, plan_shown
from detseg.metrics.cases import Case
from detseg.metrics.expected_edits import ShownRegion
from detseg.metrics.waiting import WaitingImage
from detseg.paging import pages
from detseg.types import Annotation, Arm, Decoy, ImageId, ImageRef, ModelVersion

if TYPE_CHECKING:
    from detseg.catalog import Assignment, Catalog, Project, RegionOutline, ReviewRecord, Task
    from detseg.labelstudio.shapes import Annotate, ShapePolicy


@dataclass(frozen=True, slots=True)
class CaseReader:
    """The images of a project that people reviewed. ``policy`` is what annotators are asked for
    now, which stands in where it was not kept what they were shown.

    Left out are reviews of which a part could not be read, labels that were imported, whose authors saw
    nothing of what a model said, and images that no model answered.
    """

    catalog: Catalog
    project: Project
    policy: ShapePolicy

    def all(self) -> Iterator[Case]:
        """Every case, sorted by image. Holds one page in memory."""
        return self._cases(self.catalog.reviews.latest(self.project.key))

    def of_images(self, ids: Iterable[ImageId]) -> dict[ImageId, Case]:
        """The cases of a few images, by image."""
        records = self.catalog.reviews.of_images(self.project.key, sorted(ids))
        return {case.image: case for case in self._cases(records)}

    def _cases(self, records: Iterable[ReviewRecord]) -> Iterator[Case]:
        complete = (record for record in records if not (record.unread or record.imported))
        by_image = (tuple(group) for _, group in groupby(complete, key=lambda one: one.annotation.image))
        for page in pages(by_image):
            yield from self._page({records[0].annotation.image: records for records in page})

    def _page(self, reviews: Mapping[ImageId, Sequence[ReviewRecord]]) -> Iterator[Case]:
        tasks = self.catalog.tasks.of_images(self.project.key, reviews)
        refs = self.catalog.images.refs(reviews)
        predictions = self._predictions(tasks)
        arms = self.catalog.arms.of_images(self.project.key, reviews)
        gold = self.catalog.gold.read(image for image, one in arms.items() if one.arm == "gold")
        for image, records in reviews.items():
            task = tasks[image]
            if image not in predictions or task.task_id is None:
                continue
            (predicted, shown), assigned = predictions[image], arms.get(image)
            yield Case(
                image=image,
                uri=refs.get(image, ImageRef(image, image)).uri,
                task_id=task.task_id,
                task_url=task_url(self.project, task.task_id),
                arm=_arm(assigned, records),
                model_version=task.model_version,
                prediction=replace(predicted, regions=as_shown(predicted.regions, shown)),
                predicted=predicted.regions,
                reviews=tuple(record.annotation for record in records),
                decoys=_decoys_as_shown(assigned.decoys, shown) if assigned else (),
                gold=gold.get(image),
                simulated=any(record.simulated for record in records),
            )

    def _predictions(self, tasks: Mapping[ImageId, Task]) -> dict[ImageId, tuple[Annotation, Shown]]:
        """Read what the models of those tasks answered first, and how it was shown."""
        images: defaultdict[ModelVersion, list[ImageId]] = defaultdict(list)
        for image, task in tasks.items():
            images[task.model_version].append(image)
        found: dict[ImageId, tuple[Annotation, Shown]] = {}
        for version, ids in images.items():
            kept = self.catalog.shown.of_images(self.project.key, ids, version)
            for prediction in self.catalog.predictions.read(ids, version):
                found[prediction.image] = prediction, self._shown(prediction, kept.get(prediction.image))
        return found

    def _shown(self, prediction: Annotation, kept: str | None) -> Shown:
        """Return what was kept when it was sent, else what annotators would be asked for now."""
        return decode_shown(kept) if kept else plan_shown(prediction.regions, self.policy)


def _arm(assigned: Assignment | None, records: Sequence[ReviewRecord]) -> Arm:
    """Return the arm in which people worked: who changed a model's regions did not draw by hand.

    Annotations that were exported and imported elsewhere come without the predictions that they began with.
    """
    if assigned is None:
        return "assisted"
    regions = (region for record in records for region in record.annotation.regions)
    began_with_model = assigned.arm == "control" and any(region.origin == "model" for region in regions)
    return "assisted" if began_with_model else assigned.arm


def task_url(project: Project, task_id: int) -> str:
    """Opens the task in Label Studio."""
    return f"{project.url}/projects/{project.server_id}/data?task={task_id}"


def _decoys_as_shown(decoys: Iterable[Decoy], shown: Shown) -> tuple[Decoy, ...]:
    return tuple(
        replace(decoy, region=region) for decoy in decoys for region in as_shown([decoy.region], shown)
    )


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
