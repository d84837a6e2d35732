"""The shipped checkpoints, as the training measures them."""

from __future__ import annotations

from transformers import AutoImageProcessor, AutoModelForObjectDetection, AutoModelForUniversalSegmentation

from detseg.models.checkpoints import Checkpoint
from detseg.samples.checkpoints import Role, checkpoint_path
from detseg.samples.scenes import SAMPLE_CLASSES
from detseg.taxonomy import LabelClass


def load_sample(role: Role) -> Checkpoint:
    """The shipped detector or segmenter."""
    auto = AutoModelForObjectDetection if role == "detector" else AutoModelForUniversalSegmentation
    path = checkpoint_path(role)
    model = auto.from_pretrained(path).eval()
    return Checkpoint(f"sample {role}", model, AutoImageProcessor.from_pretrained(path))


def sample_classes(role: Role) -> tuple[LabelClass, ...]:
    """The classes that it answers, in the order of its label ids."""
    return tuple(one for one in SAMPLE_CLASSES if role == "segmenter" or one.kind == "thing")
