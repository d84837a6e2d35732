"""The pairs of a prediction and the review that it is measured against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from detseg.metrics.cases import age
from detseg.types import Annotation, ImageId


@dataclass(frozen=True, slots=True)
class Pair:
    """A person's review of an image, and a model's prediction of it."""

    truth: Annotation
    prediction: Annotation


def pair_annotations(truth: Iterable[Annotation], predictions: Iterable[Annotation]) -> tuple[Pair, ...]:
    """The reviewed images that were predicted, sorted by image.

    Where several people reviewed an image, the latest review counts. Only labeled and empty images are
    truth: what nobody reviewed, or was skipped, says nothing about the model. ValueError for two
    predictions of one image: they are of two model versions, measure one at a time.
    """
    latest = {annotation.image: annotation for annotation in sorted(truth, key=age)}
    reviewed = {image: a for image, a in latest.items() if a.state in ("labeled", "empty")}
    predicted: dict[ImageId, Annotation] = {}
    for prediction in predictions:
        if predicted.setdefault(prediction.image, prediction) is not prediction:
            raise ValueError(f"two predictions of image {prediction.image}")
    return tuple(
        Pair(reviewed[image], predicted[image]) for image in sorted(reviewed.keys() & predicted.keys())
    )
