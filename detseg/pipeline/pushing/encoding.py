"""Predictions of the catalog as the JSON that is sent. What does not fit is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from detseg.catalog import Assignment
from detseg.errors import FormatError, ImageError
from detseg.labelstudio.body import encode_json
from detseg.labelstudio.codec import EncodedTask, encode_regions, encode_task
from detseg.labelstudio.fitting import fit_regions
from detseg.labelstudio.session import Json
from detseg.labelstudio.shapes import NOTHING_DRAWN, ShapePolicy, ShapeReport
from detseg.labelstudio.shown import encode_shown, find_shown
from detseg.pipeline.experiments.decoys import plant
from detseg.pipeline.pushing.assigning import assign
from detseg.pipeline.pushing.origin import KEY, encode_origin
from detseg.pipeline.pushing.queue import Queue
from detseg.pipeline.pushing.report import ImageOutcome
from detseg.pipeline.reading import source_location
from detseg.taxonomy import Taxonomy
from detseg.types import Annotation, ImageId, ImageRef, ModelVersion, Region


@dataclass(frozen=True, slots=True)
class Parcel:
    """One image's JSON: a new task, or a prediction for ``task_id``. ``left_out`` says what is not in it,
    ``shapes`` what its regions are drawn as, ``shown`` what the page shows of them. ``assignment`` is the
    image's arm: a blind task comes without its prediction."""

    ref: ImageRef
    body: bytes
    task_id: int | None = None
    left_out: str = ""
    shapes: ShapeReport = NOTHING_DRAWN
    shown: str = ""
    assignment: Assignment | None = None

    @property
    def n_predictions(self) -> int:
        return 0 if self.assignment is not None and self.assignment.arm == "blind" else 1


def encode(
    queue: Queue, refs: Sequence[ImageRef], task_ids: Mapping[ImageId, int]
) -> Iterator[Parcel | ImageOutcome]:
    """A parcel per image, in order, or why there is none. ``task_ids`` are those that are tasks already."""
    by_id = {ref.id: ref for ref in refs}
    found = queue.catalog.images.entries(image for image in by_id if image not in task_ids)
    location = source_location(queue.settings)
    arms = queue.catalog.arms.of_images(queue.project.key, by_id)
    were_tasks = task_ids.keys() | queue.catalog.tasks.of_images(queue.project.key, by_id).keys()
    for prediction in queue.catalog.predictions.read(by_id, queue.version):
        ref = by_id.pop(prediction.image)
        try:
            origin = encode_origin(found.get(ref.id, ()), location)
            assignment = arms.get(ref.id) or (None if ref.id in were_tasks else assign(queue, prediction))
            yield _parcel(queue, ref, prediction, task_ids.get(ref.id), origin=origin, assignment=assignment)
        except (FormatError, ImageError) as error:
            yield ImageOutcome(ref, "refused", reason=str(error))
    for ref in by_id.values():
        yield ImageOutcome(ref, "unpredicted")


def _parcel(
    queue: Queue,
    ref: ImageRef,
    prediction: Annotation,
    task_id: int | None,
    *,
    origin: Json,
    assignment: Assignment | None,
) -> Parcel:
    url = queue.serving.url(ref) if task_id is None else ""
    regions = plant(prediction.regions, assignment.decoys) if assignment else prediction.regions
    encoded, left_out = encode_fitting(queue, ref, replace(prediction, regions=regions), url=url)
    task = encoded.task
    shown = encode_shown(find_shown(regions, task["predictions"][0]["result"], queue.policy))
    if task_id is not None:
        task = {"task": task_id, **task["predictions"][0]}
    else:
        task["data"][KEY] = origin
    if assignment is not None and assignment.arm == "blind":
        del task["predictions"]  # made all the same, so that no arm lacks images that the others refuse
        return Parcel(ref, encode_json(task), shown=shown, assignment=assignment)
    return Parcel(
        ref,
        encode_json(task),
        task_id,
        "; ".join(left_out),
        shapes=encoded.report,
        shown=shown,
        assignment=assignment,
    )


class Wanted(Protocol):
    """What a project takes: a queue says it, and a look at one."""

    @property
    def version(self) -> ModelVersion: ...

    @property
    def taxonomy(self) -> Taxonomy: ...

    @property
    def policy(self) -> ShapePolicy: ...

    @property
    def missing(self) -> frozenset[str]:
        """Labels that the project's interface lacks."""


def encode_fitting(
    wanted: Wanted, ref: ImageRef, prediction: Annotation, *, url: str
) -> tuple[EncodedTask, list[str]]:
    """The task of what fits of a prediction, and a line for each region that does not.

    Raises FormatError if it is not single regions that are wrong.
    """
    fitting = fit_regions(prediction.regions, wanted.missing, wanted.policy)
    try:
        return _encode(wanted, ref, prediction, fitting.regions, url=url), [*fitting.left_out]
    except FormatError:
        regions, broken = _sound(wanted.taxonomy, prediction, fitting.regions)
        if not broken:
            raise
        return _encode(wanted, ref, prediction, regions, url=url), [*fitting.left_out, *broken]


def _encode(
    wanted: Wanted, ref: ImageRef, prediction: Annotation, regions: Sequence[Region], *, url: str
) -> EncodedTask:
    return encode_task(
        ref,
        prediction.size,
        regions,
        version=wanted.version,
        taxonomy=wanted.taxonomy,
        image_url=url,
        policy=wanted.policy,
    )


def _sound(
    taxonomy: Taxonomy, prediction: Annotation, regions: Sequence[Region]
) -> tuple[list[Region], list[str]]:
    """The regions that can be encoded by themselves, and why the others cannot."""
    kept: list[Region] = []
    broken: list[str] = []
    for region in regions:
        try:
            encode_regions([region], prediction.size, taxonomy, where="left out")
        except FormatError as error:
            broken.append(str(error))
        else:
            kept.append(region)
    return kept, broken
