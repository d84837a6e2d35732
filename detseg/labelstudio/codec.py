"""Our regions to Label Studio's tasks, and Label Studio's tasks to our annotations. Pure functions.

    regions = prediction_regions(image_id, version, instances)      # ids that never change
    task = encode_task(ref, size, regions, version=..., taxonomy=..., image_url=...).task
    review = decode_task(task, taxonomy)                            # TaskReview, one Review per annotation
    result = encode_regions(regions, size, taxonomy, where=...)     # what an annotation is submitted with

Edits are found by comparing values with what we sent; Label Studio's ``origin`` and ``score`` do not say what
was edited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from detseg.errors import FormatError
from detseg.labelstudio.joining import result_labels
from detseg.labelstudio.regions import read_regions
from detseg.labelstudio.results import encode_asked, encode_regions, region_id
from detseg.labelstudio.reviews import SIMULATED_AUTHOR, SIMULATED_EMAIL, Target, read_reviews
from detseg.labelstudio.shapes import DEFAULT_POLICY, ShapePolicy, ShapeReport
from detseg.taxonomy import Taxonomy
from detseg.types import Annotation, ImageId, ImageRef, Instance, ModelVersion, Region, Size

__all__ = [
    "SIMULATED_AUTHOR",
    "SIMULATED_EMAIL",
    "EncodedTask",
    "Review",
    "TaskReview",
    "decode_task",
    "encode_regions",
    "encode_task",
    "is_ours",
    "prediction_regions",
    "prediction_score",
]

Json = dict[str, Any]

_DISAGREEMENT = 0.5


@dataclass(frozen=True, slots=True)
class Review:
    """One annotation of a task. ``annotation_id`` is the server's number, ``updated_at`` is set."""

    annotation_id: int
    annotation: Annotation


@dataclass(frozen=True, slots=True)
class TaskReview:
    """People's reviews of a task: its annotations by ascending id. None: the task is unlabeled."""

    task_id: int
    image: ImageId
    size: Size
    updated_at: datetime
    reviews: tuple[Review, ...]

    @property
    def latest(self) -> tuple[Review, ...]:
        """The last annotation of each annotator, sorted by author."""
        by_author: dict[str, tuple[datetime | None, Review]] = {}
        for review in self.reviews:
            known = by_author.get(review.annotation.author)
            updated_at = review.annotation.updated_at
            if known is None or known[0] is None or (updated_at is not None and updated_at >= known[0]):
                by_author[review.annotation.author] = (updated_at, review)
        return tuple(by_author[author][1] for author in sorted(by_author))


def prediction_regions(
    image: ImageId, version: ModelVersion, instances: Sequence[Instance]
) -> tuple[Region, ...]:
    """Give instances ids that depend on image, model version and rank alone; their order stays."""
    return tuple(
        Region(region_id(image, version, rank), "model", instance) for rank, instance in enumerate(instances)
    )


def prediction_score(regions: Iterable[Region]) -> float:
    """Compute the model's confidence about an image, in [0, 1]; Label Studio can show the least certain
    first.

    The mean score of the regions, where one that only one of the two models saw counts half. 0 for an image
    without regions: "nothing there" is the claim that costs most when it is wrong.
    """
    scores = [_agreed_score(region.instance) for region in regions]
    return sum(scores) / len(scores) if scores else 0.0


@dataclass(frozen=True, slots=True)
class EncodedTask:
    """A task with one prediction as the server takes it, and what its regions were drawn as."""

    task: Json
    report: ShapeReport


def encode_task(
    ref: ImageRef,
    size: Size,
    regions: Sequence[Region],
    *,
    version: ModelVersion,
    taxonomy: Taxonomy,
    image_url: str,
    policy: ShapePolicy = DEFAULT_POLICY,
) -> EncodedTask:
    """Encode a task with one prediction as Label Studio imports it, and say what was chosen for its masks.

    ``size`` is that of the upright image in pixels, ``image_url`` what the annotator's browser loads. Raises
    FormatError, naming image and region, for what the server would take although it is wrong.
    """
    where = f"{ref.uri} ({ref.id[:19]})"
    encoded = encode_asked(regions, size, taxonomy, policy=policy, where=where)
    data = {"image": image_url, "image_id": ref.id, "width": size.width, "height": size.height}
    prediction = {"model_version": version, "score": prediction_score(regions), "result": encoded.results}
    return EncodedTask({"data": data, "predictions": [prediction]}, encoded.report)


def is_ours(task: Mapping[str, Any]) -> bool:
    """Tell whether a task's data has our image id; others were put into the project by somebody else."""
    data = task.get("data")
    return isinstance(data, Mapping) and isinstance(data.get("image_id"), str)


def decode_task(task: Mapping[str, Any], taxonomy: Taxonomy) -> TaskReview:
    """Decode what people made of a task, from the server's JSON with annotations and predictions.

    Regions that we sent have origin "model" and keep the model's score, others have origin "person" and
    none. Skipped annotations have no regions; drafts are not looked at. Raises FormatError, naming task and
    region, for what is not ours to understand: nothing is dropped silently.
    """
    where = f"task {task.get('id')}"
    try:
        data = task["data"]
        image, size = ImageId(str(data["image_id"])), Size(int(data["width"]), int(data["height"]))
        task_id, updated_at = int(task["id"]), datetime.fromisoformat(task["updated_at"])
        annotations = sorted(task["annotations"], key=lambda annotation: int(annotation["id"]))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{where}: no image_id, width, height, updated_at or annotations that can be read ({error!r}): "
            "it was not pushed by detseg, or its data was changed"
        ) from error
    labels = {
        region.id: region.instance.label
        for prediction in task.get("predictions", ())
        for region in read_regions(prediction.get("result"), size, taxonomy, sent={}, where=where).regions
    }
    readings = read_reviews(
        {**task, "annotations": annotations}, Target(image, size, result_labels(labels)), taxonomy
    )
    for reading in readings:
        if reading.unread:
            raise FormatError(reading.unread[0])
    reviews = tuple(Review(reading.annotation_id, reading.annotation) for reading in readings)
    return TaskReview(task_id, image, size, updated_at, reviews)


def _agreed_score(instance: Instance) -> float:
    score = 1.0 if instance.score is None else instance.score
    return score if instance.seen_by in (None, "both") else score * _DISAGREEMENT
