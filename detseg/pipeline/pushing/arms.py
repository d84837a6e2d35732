"""The arms of images that are about to become tasks, and of tasks whose catalog was lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from detseg.catalog import Assignment
from detseg.errors import FormatError
from detseg.labelstudio.codec import encode_regions
from detseg.labelstudio.fitting import fit_regions
from detseg.labelstudio.shapes import asked
from detseg.pipeline.experiments.decoys import make_decoy
from detseg.pipeline.experiments.lottery import lottery_of
from detseg.pipeline.pushing.queue import PushSpec
from detseg.types import Annotation, Decoy, ImageId


def assign(spec: PushSpec, prediction: Annotation) -> Assignment:
    """The arm of an image that never was a task.

    An image that no decoy can be planted on stays in that arm, without one: if it were assisted, the assisted
    images would be others than the control images.
    """
    image, settings = prediction.image, spec.settings
    lottery = lottery_of(settings.experiments, settings.queue.project)
    if spec.gold is not None and image in spec.gold.images:
        return Assignment(image, "gold")
    arm = lottery.arm(image)
    if arm != "decoy":
        return Assignment(image, arm)
    decoy = make_decoy(prediction, spec.taxonomy, lottery.draw(image, "decoy"))
    if decoy is None or not _fits(spec, prediction, decoy):
        return Assignment(image, arm)
    return Assignment(image, arm, (decoy,))


def _fits(spec: PushSpec, prediction: Annotation, decoy: Decoy) -> bool:
    """Check that the labeling interface takes the decoy as a whole, and that annotators are asked about
    it."""
    if asked(decoy.region.instance, spec.policy.annotate) is None:
        return False
    if fit_regions([decoy.region], spec.missing, spec.policy).left_out:
        return False
    try:
        encode_regions([decoy.region], prediction.size, spec.taxonomy, where="decoy")
    except FormatError:
        return False
    return True


def recover_assignments(
    spec: PushSpec, versions: Mapping[ImageId, Collection[str]]
) -> tuple[Assignment, ...]:
    """The arms of tasks that an earlier catalog made, which is lost: lots can be drawn again.

    ``versions`` are the model versions on the tasks. A task with any has no control image; one without
    has, if its lot says so. Decoys are those that this model version's prediction gets: where they are not on
    the task, none of them is in any review either.
    """
    if not versions:
        return ()
    assignments = (
        assign(spec, prediction) for prediction in spec.catalog.predictions.read(versions, spec.version)
    )
    return tuple(one for one in assignments if (one.arm == "control") == (not versions[one.image]))
