"""A model's thresholds and scores, chosen by labeled images that it did not learn from."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from detseg.datasets.splits import CHOSEN_BY
from detseg.datasets.store import DatasetStore
from detseg.metrics.tuning import RegionTally, Tuning, tune
from detseg.pipeline.policies import cost_model
from detseg.pipeline.predicted_split import predict_samples, read_answers, read_split, record_images

if TYPE_CHECKING:
    from detseg.catalog import Catalog
    from detseg.config import Settings
    from detseg.datasets.version import Version
    from detseg.metrics.paired import Difference
    from detseg.types import Region

LOWEST = 0.05
"""Regions with a lower score are not looked at: thresholds are chosen above it."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The settings by which a model is used, and what was chosen of them: of its boxes, or of its masks."""

    settings: Settings
    shape: Literal["box", "mask"]
    tuning: Tuning

    def tuned_settings(self) -> dict[str, Any]:
        """What was chosen, and nothing of the settings: thresholds of one shape, and maps of scores."""
        maps = {label: astuple(one) for label, one in self.tuning.maps.items()}
        return {f"{self.shape}_thresholds": self.tuning.thresholds, "score_maps": maps}

    def to_json(self) -> dict[str, Any]:
        """What was chosen, by the names of the settings, and what it changes on images that had no say."""
        chosen, model = self.tuning, self.settings.model
        return {
            "images": chosen.n_images,
            "class_box_thresholds": dict(model.class_box_thresholds),
            "class_mask_thresholds": dict(model.class_mask_thresholds),
            "score_maps": {label: list(numbers) for label, numbers in model.score_maps.items()},
            "seconds": encode_difference(chosen.seconds),
            "score_error": encode_difference(chosen.score_error),
        }


def encode_difference(difference: Difference) -> list[float | None]:
    """A difference as [value, low, high]; null where an end is not known."""
    ends = (difference.value, difference.low, difference.high)
    return [round(one, 6) if one is not None and math.isfinite(one) else None for one in ends]


def tune_model(settings: Settings, catalog: Catalog, version: Version, *, split: str = CHOSEN_BY) -> Tuned:
    """Choose by a split the thresholds and the maps of scores with which the models of the settings are used.

    A detector's boxes are chosen among; where there is none, masks. What does not help for certain stays as
    it is. Raises DatasetError and ModelError.
    """
    samples = read_split(DatasetStore(settings.datasets_location), version, split)
    record_images(catalog, samples)
    lowest: dict[str, object] = {"box_threshold": LOWEST, "mask_threshold": LOWEST}
    lowest |= {name: {} for name in ("score_maps", "class_box_thresholds", "class_mask_thresholds")}
    lowered = settings.updated(**{f"model__{name}": value for name, value in lowest.items()})
    found = predict_samples(lowered, catalog, version, samples)
    shape: Literal["box", "mask"] = "box" if settings.model.detector else "mask"
    tally = RegionTally(cost_model(settings.costs), left_iou=settings.judgement.left_iou)
    for truth, answer in read_answers(settings.labels.annotate, catalog, samples, found):
        regions = tuple(one for one in answer.regions if _shape_of(one, shape) == shape)
        tally.add(truth, replace(answer, regions=regions))
    regions_of_all = tally.regions()
    usual: float = getattr(settings.model, f"{shape}_threshold")
    by_class: dict[str, float] = getattr(settings.model, f"class_{shape}_thresholds")
    tuning = tune(regions_of_all, {label: by_class.get(label, usual) for label in regions_of_all.labels})
    changes: dict[str, object] = {f"model__class_{shape}_thresholds": {**by_class, **tuning.thresholds}}
    changes["model__score_maps"] = {label: astuple(one) for label, one in tuning.maps.items()}
    return Tuned(settings.updated(**changes), shape, tuning)


def _shape_of(region: Region, usual: Literal["box", "mask"]) -> Literal["box", "mask"]:
    """The kind of threshold that a region has to reach: a detector's, or that of a segmenter alone."""
    return "mask" if usual == "mask" or region.instance.seen_by == "segmenter" else "box"
