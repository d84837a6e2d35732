"""The cases that QA measures: one image that people were asked about, with everything that was said about it.

A model is measured by pairs of a prediction and the review that counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from detseg.types import Annotation, Arm, Decoy, ImageId, ModelVersion, Region


@dataclass(frozen=True, slots=True)
class Case:
    """One image of a project: what the model says, what was shown, what people made of it.

    ``prediction`` is the model's answer in the shapes in which it is shown, also in the control arm, where
    nobody saw it; ``predicted`` is that answer whole, with the box of a thing whose mask alone is shown.
    ``decoys`` were planted beside it. ``reviews`` holds the latest one of each person, sorted
    by author, in all four states; reviews of which a part could not be read are left out. ``gold`` is the
    known truth. ``uri`` is where the image was found, ``task_url`` opens it in Label Studio.
    """

    image: ImageId
    uri: str
    task_id: int
    task_url: str
    arm: Arm
    model_version: ModelVersion
    prediction: Annotation
    reviews: tuple[Annotation, ...] = ()
    decoys: tuple[Decoy, ...] = ()
    gold: Annotation | None = None
    simulated: bool = False
    predicted: tuple[Region, ...] = ()

    @property
    def shown(self) -> tuple[Region, ...]:
        """The regions that people found on the page."""
        if self.arm == "control":
            return ()
        return (*self.prediction.regions, *(decoy.region for decoy in self.decoys))

    @property
    def truth(self) -> Annotation | None:
        """The review that counts: the latest labeled or empty one; None if nobody judged the image."""
        judged = [review for review in self.reviews if review.state in ("labeled", "empty")]
        return max(judged, key=age) if judged else None


def age(annotation: Annotation) -> tuple[float, str]:
    """Sorts annotations by the time of their last change; equal ones by author."""
    return (annotation.updated_at.timestamp() if annotation.updated_at else 0.0, annotation.author)


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
