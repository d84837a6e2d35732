"""Predictions of the catalog as the JSON that is sent. What does not fit is said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from detseg.errors import FormatError, ImageError
from detseg.labelstudio.codec import encode_regions, encode_task
from detseg.labelstudio.label_config import BOX_NAME, MASK_NAME
from detseg.labelstudio.session import Json
from detseg.pipeline.pushing.queue import Queue
from detseg.pipeline.pushing.report import ImageOutcome
from detseg.types import Annotation, ImageId, ImageRef, Region


@dataclass(frozen=True, slots=True)
class Parcel:
    """One image's JSON: a new task, or a prediction for ``task_id``. ``left_out`` says what is not in it."""

    ref: ImageRef
    body: bytes
    task_id: int | None = None
    left_out: str = ""


def encode(
    queue: Queue, refs: Sequence[ImageRef], task_ids: Mapping[ImageId, int]
) -> Iterator[Parcel | ImageOutcome]:
    """A parcel per image, in order, or why there is none. ``task_ids`` are those that are tasks already."""
    by_id = {ref.id: ref for ref in refs}
    for prediction in queue.catalog.predictions.read(by_id, queue.version):
        ref = by_id.pop(prediction.image)
        try:
            yield _parcel(queue, ref, prediction, task_ids.get(ref.id))
        except (FormatError, ImageError) as error:
            yield ImageOutcome(ref, "refused", reason=str(error))
    for ref in by_id.values():
        yield ImageOutcome(ref, "unpredicted")


def _parcel(queue: Queue, ref: ImageRef, prediction: Annotation, task_id: int | None) -> Parcel:
    regions, left_out = _offered(prediction.regions, queue.missing)
    try:
        task = _task(queue, ref, prediction, regions)
    except FormatError:
        regions, broken = _sound(queue, prediction, regions)
        if not broken:  # it is not one region that is wrong
            raise
        left_out += broken
        task = _task(queue, ref, prediction, regions)
    if task_id is not None:
        task = {"task": task_id, **task["predictions"][0]}
    body = json.dumps(task, separators=(",", ":"), allow_nan=False).encode()
    return Parcel(ref, body, task_id, "; ".join(left_out))


def _task(queue: Queue, ref: ImageRef, prediction: Annotation, regions: Sequence[Region]) -> Json:
    return encode_task(
        ref,
        prediction.size,
        regions,
        version=queue.version,
        taxonomy=queue.taxonomy,
        image_url=queue.serving.url(ref),
    )


def _offered(regions: Sequence[Region], missing: frozenset[str]) -> tuple[list[Region], list[str]]:
    """The regions, or halves of them, that an interface offers that somebody edited; and what it does not."""
    if not missing:
        return list(regions), []
    kept: list[Region] = []
    left_out: list[str] = []
    for region in regions:
        instance = region.instance
        box = instance.box if f"{BOX_NAME}: {instance.label}" not in missing else None
        mask = instance.mask if f"{MASK_NAME}: {instance.label}" not in missing else None
        if (box, mask) != (instance.box, instance.mask):
            left_out.append(
                f"region {region.id} ({instance.label}): the labeling interface has no place for it"
            )
        if box is not None or mask is not None:
            kept.append(replace(region, instance=replace(instance, box=box, mask=mask)))
    return kept, left_out


def _sound(queue: Queue, prediction: Annotation, regions: Sequence[Region]) -> tuple[list[Region], list[str]]:
    """The regions that can be encoded by themselves, and why the others cannot."""
    kept: list[Region] = []
    broken: list[str] = []
    for region in regions:
        try:
            encode_regions([region], prediction.size, queue.taxonomy, where="left out")
        except FormatError as error:
            broken.append(str(error))
        else:
            kept.append(region)
    return kept, broken
