"""The cases that QA measures: one image that people were asked about, with everything that was said about
it."""

from __future__ import annotations

from dataclasses import dataclass

from detseg.types import ARMS, Annotation, Arm, Decoy, ImageId, ModelVersion, Region

__all__ = ["ARMS", "Arm", "Case", "age"]


@dataclass(frozen=True, slots=True)
class Case:
    """One image of a project: what the model says, what was shown, what people made of it.

    ``prediction`` is the model's answer in the shapes in which it is shown, also in the control arm, where
    nobody saw it; ``decoys`` were planted beside it. ``reviews`` holds the latest one of each person, sorted
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
