"""The payload of an image, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from detseg.catalog import Assignment
from detseg.errors import FormatError, ImageError
from detseg.labelstudio.interface import address
from detseg.labelstudio.json_body import encode_json
from detseg.labelstudio.session import Json
from detseg.labelstudio.shapes import NOTHING_DRAWN, ShapeReport
from detseg.labelstudio.shown import encode_shown, find_shown
from detseg.pipeline.policies import cost_model
from detseg.pipeline.pushing.existing import is_control
from detseg.pipeline.pushing.origin import KEY, encode_origin
from detseg.pipeline.pushing.plan import PlannedTask
from detseg.pipeline.pushing.queue import Queue
from detseg.pipeline.pushing.report import ImageOutcome
from detseg.pipeline.reading import source_location
from detseg.types import ImageRef


@dataclass(frozen=True, slots=True)
class Payload:
    """One image's JSON: a new task, or a prediction for ``task_id``.

    ``left_out`` says what is not in it, ``shapes`` what its regions are drawn as, ``shown`` what the page
    shows of them. ``assignment`` is the image's arm: a control image comes without its prediction.
    """

    ref: ImageRef
    body: bytes
    task_id: int | None = None
    left_out: str = ""
    shapes: ShapeReport = NOTHING_DRAWN
    shown: str = ""
    assignment: Assignment | None = None

    @property
    def n_predictions(self) -> int:
        return 0 if is_control(self.assignment) else 1


def encode_planned(
    queue: Queue, planned: Iterable[PlannedTask | ImageOutcome], new: Iterable[ImageRef]
) -> Iterator[Payload | ImageOutcome]:
    """A payload for each planned task, or the outcome of an image that there is none for.

    ``new`` are the images among them that become tasks.
    """
    entries = queue.catalog.images.entries(ref.id for ref in new)
    location = source_location(queue.settings)
    for one in planned:
        if isinstance(one, ImageOutcome):
            yield one
        elif one.encoded is None:
            yield ImageOutcome(one.ref, "unpredicted")
        else:
            try:
                origin = encode_origin(entries.get(one.ref.id, ()), location)
                yield _encode(queue, one, one.encoded.task, origin)
            except (FormatError, ImageError) as error:
                yield ImageOutcome(one.ref, "refused", reason=str(error))


def _encode(queue: Queue, planned: PlannedTask, task: Json, origin: Json) -> Payload:
    (prediction,) = task["predictions"]
    shown = encode_shown(find_shown(planned.regions, prediction["result"], queue.policy))
    prediction["result"] = address(prediction["result"], queue.interface)
    if planned.task_id is not None:
        body: Json = {"task": planned.task_id, **prediction}
    else:
        body = {"data": _data(queue, planned, task["data"], origin)}
        if not is_control(planned.assignment):
            body["predictions"] = [prediction]
    return Payload(
        planned.ref,
        encode_json(body),
        planned.task_id,
        "; ".join(planned.left_out),
        shapes=planned.encoded.report if planned.encoded else NOTHING_DRAWN,
        shown=shown,
        assignment=planned.assignment,
    )


def _data(queue: Queue, planned: PlannedTask, data: Json, origin: Json) -> Json:
    """A new task's data. The page shows its columns in this order."""
    seconds = cost_model(queue.settings.costs).reviewing_s(
        [one.instance for one in planned.regions], shown=not is_control(planned.assignment)
    )
    url, field = queue.serving.url(planned.ref), queue.interface.image_field or "image"
    first = {field: url, "file": _file_name(planned.ref, origin), "expected_seconds": round(seconds)}
    return first | data | {"image": url, field: url, KEY: origin}


def _file_name(ref: ImageRef, origin: Json) -> str:
    """Return the name by which the image was found first."""
    return str(next(iter(origin["names"]), ref.uri.rsplit("/", 1)[-1]))
