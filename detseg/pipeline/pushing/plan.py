"""The plan of a push: what is to become of every image, decided before anything is written.

    for page in pages(refs):
        plan = plan_page(spec, page)        # by the catalog and the server; writes to neither
        for one in plan_tasks(spec, plan):  # what is to be sent of each image, or why nothing is
            ...

A push carries such plans out, a dry run prints them (``foresee``): neither decides anything by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from detseg.catalog import Assignment
from detseg.errors import BrokenAnswer, FormatError
from detseg.labelstudio.codec import EncodedTask
from detseg.labelstudio.fitting import encode_fitting
from detseg.labelstudio.queued import TaskMark, check_mark, image_field, parse_queued
from detseg.labelstudio.shapes import NOTHING_DRAWN
from detseg.paging import pages
from detseg.pipeline import progress
from detseg.pipeline.experiments.decoys import plant
from detseg.pipeline.pushing.arms import assign, recover_assignments
from detseg.pipeline.pushing.existing import (
    ExistingTask,
    Missing,
    find_existing,
    find_known,
    find_missing,
    find_reviewed,
    find_tasks,
    is_control,
)
from detseg.pipeline.pushing.queue import PushSpec
from detseg.pipeline.pushing.report import ImageOutcome, Status
from detseg.pipeline.serving import check_servable
from detseg.pipeline.workspace import Sides
from detseg.types import Annotation, ImageId, ImageRef, Region


@dataclass(frozen=True, slots=True)
class PlannedPrediction:
    """A task that is to get the version's prediction: beside those that it has, or in the place of ours."""

    ref: ImageRef
    task_id: int
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class PagePlan:
    """The plan of a page of images; each is in one of the first three, in order.

    ``new`` become tasks, ``predictions`` go to tasks that are there, ``outcomes`` are of images of which
    nothing is sent. To be recorded before: ``marks`` and ``existing`` are tasks that are there and that the
    catalog does not know, ``assignments`` the arms of those, ``gone`` the numbers of tasks that it takes to
    be there and that are not.
    """

    new: tuple[ImageRef, ...] = ()
    predictions: tuple[PlannedPrediction, ...] = ()
    outcomes: tuple[ImageOutcome, ...] = ()
    marks: tuple[TaskMark, ...] = ()
    existing: tuple[ExistingTask, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    gone: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """The plan of one image: a new task, or a prediction for ``task_id``.

    ``encoded`` is the task without the image's URL; None where the version has not predicted the image yet.
    ``regions`` are those of the prediction, wrong ones that were planted among them. ``left_out`` has a line
    for each that is not in it.
    """

    ref: ImageRef
    status: Status
    task_id: int | None = None
    encoded: EncodedTask | None = None
    regions: tuple[Region, ...] = ()
    left_out: tuple[str, ...] = ()
    assignment: Assignment | None = None


def foresee(spec: PushSpec, refs: Iterable[ImageRef]) -> Iterator[ImageOutcome]:
    """Yield what a push would make of each image; those without a prediction would be predicted first."""
    for page in pages(refs):
        plan = plan_page(spec, page)
        yield from plan.outcomes
        progress.report("plan", advance=len(page))
        for one in plan_tasks(spec, plan):
            if isinstance(one, ImageOutcome):
                yield one
            elif one.encoded is None:
                yield ImageOutcome(one.ref, one.status)
            else:
                yield ImageOutcome(
                    one.ref, one.status, reason="; ".join(one.left_out), shapes=one.encoded.report
                )


def plan_page(spec: PushSpec, page: Sequence[ImageRef]) -> PagePlan:
    """Compare a page of images with the catalog and, where it may know more, with the server."""
    if spec.project is None:
        missing = Missing(tasks=tuple(page))
    else:
        missing = find_missing(spec.catalog, spec.project.key, page, spec.version, queue=spec.settings.queue)
    lost = [ref for ref in page if ref.id in spec.gone and ref not in missing.tasks]
    outcomes = [ImageOutcome(ref, "deleted") for ref in missing.deleted]
    outcomes += [ImageOutcome(ref, "present") for ref in missing.present if ref.id not in spec.gone]
    outcomes += [ImageOutcome(ref, "reviewed") for ref in missing.reviewed if ref.id not in spec.gone]
    plan = _plan_unknown(spec, (*missing.tasks, *lost))
    more = _plan_predictions(
        spec, [(ref, number) for ref, number in missing.predictions if ref.id not in spec.gone]
    )
    new, refused = _servable(spec, plan.new)
    return replace(
        plan,
        new=new,
        predictions=(*plan.predictions, *more.predictions),
        outcomes=(*outcomes, *plan.outcomes, *refused, *more.outcomes),
        gone=more.gone,
    )


def _plan_unknown(spec: PushSpec, refs: Sequence[ImageRef]) -> PagePlan:
    """Plan images that have no task by the catalog: somebody else may have made them one."""
    marks = _plan_marks(spec, refs)
    marked = {one.ref.id for one in marks.predictions} | {one.ref.id for one in marks.outcomes}
    refs = [ref for ref in refs if ref.id not in marked]
    if not (refs and spec.client and spec.project and spec.may_hold_external):
        return replace(marks, new=tuple(refs))
    sides = Sides(spec.client, spec.catalog, spec.project)
    found = find_tasks(sides, [ref.id for ref in refs])
    known = spec.catalog.tasks.of_images(spec.project.key, found.own)
    unknown = {
        image: tasks
        for image, tasks in found.own.items()
        if image not in known or known[image].state == "intent"
    }
    existing = find_existing(sides, unknown)
    assignments = recover_assignments(
        spec, {one.image: one.versions for one in existing if one.is_made_by_us}
    )
    there = {one.image: one for one in existing}
    known_arms = spec.catalog.arms.of_images(spec.project.key, there).values()
    control = {one.image for one in (*assignments, *known_arms) if one.arm == "control"}
    done = {one.image for one in existing if spec.version in one.versions or one.image in control}
    reviewed = {one.image for one in existing if one.task.reviewed and one.image not in done}
    left = set() if spec.settings.queue.predict_reviewed else reviewed
    return PagePlan(
        new=tuple(ref for ref in refs if ref.id not in there and ref.id not in found.external),
        predictions=(
            *marks.predictions,
            *(
                PlannedPrediction(ref, there[ref.id].task.id, _replaces(spec, there[ref.id]))
                for ref in refs
                if ref.id in there and ref.id not in done | left
            ),
        ),
        outcomes=(
            *marks.outcomes,
            *(ImageOutcome(ref, "held", found.external[ref.id]) for ref in refs if ref.id in found.external),
            *(ImageOutcome(ref, "present") for ref in refs if ref.id in done),
            *(ImageOutcome(ref, "reviewed") for ref in refs if ref.id in left),
        ),
        marks=marks.marks,
        existing=existing,
        assignments=assignments,
    )


def _plan_marks(spec: PushSpec, refs: Sequence[ImageRef]) -> PagePlan:
    """Plan the images that were found in tasks of this very project, which get a mark."""
    client, project = spec.client, spec.project
    here = [ref for ref in refs if project and parse_queued(ref.uri)[0] == project.server_id]
    if not (here and client and project):
        return PagePlan()
    sizes = spec.catalog.images.sizes(ref.id for ref in here)
    entries = spec.catalog.images.entries(ref.id for ref in here)
    field = image_field(project.label_config)
    marks: list[TaskMark] = []
    planned: list[PlannedPrediction] = []
    refused: list[ImageOutcome] = []
    for ref in here:
        task = parse_queued(ref.uri)[1]
        entry = next((one for one in entries.get(ref.id, ()) if one.uri == ref.uri), None)
        try:
            if entry is not None:  # a dry run records no images
                mark = TaskMark(entry, ref, sizes[ref.id], field)
                check_mark(client, mark)
                spec.broken.worked()
                marks.append(mark)
            planned.append(PlannedPrediction(ref, task))
        except BrokenAnswer as error:
            refused.append(ImageOutcome(ref, "refused", task, spec.broken.failed(error, spec.url, task)))
        except FormatError as error:
            refused.append(ImageOutcome(ref, "refused", task, str(error)))
    return PagePlan(predictions=tuple(planned), outcomes=tuple(refused), marks=tuple(marks))


def _replaces(spec: PushSpec, one: ExistingTask) -> bool:
    """Tell whether the prediction of a task that is to be imported gives way; all of them are ours then."""
    return spec.settings.queue.predictions == "replace" and one.task.gives_way(one.versions)


def _plan_predictions(spec: PushSpec, missing: Sequence[tuple[ImageRef, int]]) -> PagePlan:
    """Plan the predictions of tasks that the catalog knows; some may be gone or reviewed since it last
    heard of them."""
    if not (missing and spec.client and spec.project):
        return PagePlan(predictions=tuple(PlannedPrediction(ref, number) for ref, number in missing))
    sides = Sides(spec.client, spec.catalog, spec.project)
    ids = [ref.id for ref, _ in missing]
    replaced: Collection[ImageId] = ()
    if spec.settings.queue.predictions == "replace":
        tasks = find_known(sides, ids)
        ours = spec.catalog.task_predictions.versions(spec.project.key)
        replaced = {image for image, task in tasks.items() if task.gives_way(ours)}
        reviewed = {image: task.reviewed for image, task in tasks.items()}
    else:
        reviewed = find_reviewed(sides, ids)
    predictions: list[PlannedPrediction] = []
    outcomes: list[ImageOutcome] = []
    for ref, number in missing:
        if ref.id not in reviewed:
            outcomes.append(ImageOutcome(ref, "deleted", number))
        elif reviewed[ref.id] and not spec.settings.queue.predict_reviewed:
            outcomes.append(ImageOutcome(ref, "reviewed", number))
        else:
            predictions.append(PlannedPrediction(ref, number, ref.id in replaced))
    gone = tuple(number for ref, number in missing if ref.id not in reviewed)
    return PagePlan(predictions=tuple(predictions), outcomes=tuple(outcomes), gone=gone)


def _servable(
    spec: PushSpec, refs: Sequence[ImageRef]
) -> tuple[tuple[ImageRef, ...], tuple[ImageOutcome, ...]]:
    """The images that can reach the browser, and the outcomes of the others."""
    refused: list[ImageOutcome] = []
    for ref in refs:
        try:
            check_servable(spec.settings, ref)
        except FormatError as error:
            refused.append(ImageOutcome(ref, "refused", reason=str(error)))
    left_out = {one.ref for one in refused}
    return tuple(ref for ref in refs if ref not in left_out), tuple(refused)


def plan_tasks(spec: PushSpec, plan: PagePlan) -> Iterator[PlannedTask | ImageOutcome]:
    """Yield what is to be sent of the images of a page, or why nothing is; one by one, for they are large."""
    statuses: Mapping[bool, Status] = {False: "added", True: "replaced"}
    new = {ref.id: PlannedTask(ref, "pushed") for ref in plan.new}
    more = {one.ref.id: PlannedTask(one.ref, statuses[one.replaces], one.task_id) for one in plan.predictions}
    key = spec.project.key if spec.project else None
    recovered = {one.image: one for one in plan.assignments}
    for group in (new, more):
        assigned = spec.catalog.arms.of_images(key, group) if key is not None else {}
        had_tasks = set(spec.catalog.tasks.of_images(key, group)) if key is not None else set()
        for prediction in spec.catalog.predictions.read(group, spec.version):
            planned, image = group.pop(prediction.image), prediction.image
            assignment = assigned.get(image) or recovered.get(image)
            try:
                if assignment is None and planned.task_id is None and image not in had_tasks:
                    assignment = assign(spec, prediction)
                yield _fit(spec, planned, prediction, assignment)
            except FormatError as error:
                yield ImageOutcome(planned.ref, "refused", reason=str(error))
        yield from group.values()


def _fit(
    spec: PushSpec, planned: PlannedTask, prediction: Annotation, assignment: Assignment | None
) -> PlannedTask:
    """The planned task with what fits of the prediction."""
    regions = plant(prediction.regions, assignment.decoys) if assignment else prediction.regions
    encoded, left_out = encode_fitting(
        planned.ref,
        replace(prediction, regions=regions),
        missing=spec.missing,
        version=spec.version,
        taxonomy=spec.taxonomy,
        policy=spec.policy,
    )
    if is_control(assignment):  # made all the same, so that no arm lacks
        encoded, left_out = replace(encoded, report=NOTHING_DRAWN), ()  # images that the others refuse
    return replace(planned, encoded=encoded, regions=regions, left_out=left_out, assignment=assignment)
