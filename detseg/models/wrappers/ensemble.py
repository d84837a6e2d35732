"""The wrappers around the models: tiles, views, a committee, the refining of their answers and of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace

from detseg.geometry.fusion import FusionOptions
from detseg.models.predictor import AblePredictor, PredictorOptions, check_answer, ordered
from detseg.models.score_maps import ScoreMap
from detseg.models.wrappers.augmented import AugmentedPredictor
from detseg.models.wrappers.committee import CommitteePredictor
from detseg.models.wrappers.refined import RefinedPredictor, RefineOptions
from detseg.models.wrappers.tiled import TiledPredictor
from detseg.models.wrappers.wrapping import WrappingPredictor, ask
from detseg.taxonomy import Taxonomy
from detseg.types import DecodedImage, Instance

_INNER_SHARE = 0.5
"""Members of a vote answer from this share of the thresholds on: a fused score is lower than the best of its
members', and what one of them saw faintly another may confirm. The fused score meets the threshold itself."""


@dataclass(frozen=True, slots=True)
class EnsembleOptions:
    """``tile_px`` 0 takes images whole; ``flip`` and ``scales`` are views whose answers are fused."""

    tile_px: int = 0
    tile_overlap_px: int = 128
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    weights: tuple[float, ...] = ()
    fusion_iou: float = 0.55
    refine: RefineOptions = field(default_factory=RefineOptions)

    @property
    def votes(self) -> bool:
        """Tell whether several views of an image are fused."""
        return self.flip or self.scales != (1.0,)


def inner_options(options: PredictorOptions, *, votes: bool) -> PredictorOptions:
    """Return the members' options, with which the answer as a whole is what the user's options say."""
    if not votes:
        return options

    def shared(thresholds: Mapping[str, float]) -> dict[str, float]:
        return {label: value * _INNER_SHARE for label, value in thresholds.items()}

    return replace(
        options,
        box_threshold=options.box_threshold * _INNER_SHARE,
        mask_threshold=options.mask_threshold * _INNER_SHARE,
        class_box_thresholds=shared(options.class_box_thresholds),
        class_mask_thresholds=shared(options.class_mask_thresholds),
    )


def build_ensemble(
    members: Sequence[AblePredictor], ensemble: EnsembleOptions, options: PredictorOptions
) -> AblePredictor:
    """One predictor of the members: each in tiles and views if asked, then fused, then refined.

    ``options`` are those of the whole; the members have ``inner_options``.
    """
    refine = ensemble.refine
    if ensemble.votes or len(members) > 1:
        refine = _with_thresholds(refine, options, members[0].taxonomy)
    thresholds = (*refine.box_thresholds.values(), *refine.mask_thresholds.values())
    fusion = FusionOptions(iou_threshold=ensemble.fusion_iou, min_score=min(thresholds, default=0.0))
    arranged = [_in_views(member, ensemble, fusion) for member in members]
    predictor: AblePredictor = arranged[0]
    if len(arranged) > 1:
        weights = ensemble.weights or (1.0,) * len(arranged)
        predictor = CommitteePredictor(arranged, weights=weights, options=fusion)
    return predictor if refine.changes_nothing else RefinedPredictor(predictor, refine)


def _with_thresholds(refine: RefineOptions, options: PredictorOptions, taxonomy: Taxonomy) -> RefineOptions:
    """The lowest scores of every class: what is fused may have less, though no member answered so little."""

    def every(threshold: float, by_class: Mapping[str, float]) -> dict[str, float]:
        return dict.fromkeys(taxonomy.names, threshold) | {
            taxonomy[label].name: value for label, value in by_class.items()
        }

    return replace(
        refine,
        box_thresholds=every(options.box_threshold, refine.box_thresholds),
        mask_thresholds=every(options.mask_threshold, refine.mask_thresholds),
    )


def _in_views(member: AblePredictor, ensemble: EnsembleOptions, fusion: FusionOptions) -> AblePredictor:
    predictor = member
    if ensemble.tile_px:
        predictor = TiledPredictor(predictor, tile_px=ensemble.tile_px, overlap_px=ensemble.tile_overlap_px)
    if ensemble.votes:
        predictor = AugmentedPredictor(predictor, flip=ensemble.flip, scales=ensemble.scales, options=fusion)
    return predictor


class CalibratedPredictor(WrappingPredictor):
    """A ``Predictor``: another one whose scores say how likely people leave a region.

    They are mapped class by class, in the order that they have.
    """

    def __init__(self, inner: AblePredictor, maps: Mapping[str, ScoreMap]) -> None:
        """ConfigError for a map of a label that the taxonomy does not know; others keep their scores."""
        self._maps = {inner.taxonomy[label].name: one for label, one in maps.items()}
        options = {label: astuple(one) for label, one in self._maps.items()}
        super().__init__((inner,), kind="calibrated", options=options)

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        """See ``Predictor.predict``."""
        answers = ask(self._members[0], batch)
        return check_answer(self, batch, [ordered([self._map(one) for one in answer]) for answer in answers])

    def _map(self, instance: Instance) -> Instance:
        found = self._maps.get(instance.label)
        if found is None or instance.score is None:
            return instance
        return replace(instance, score=found.probability(instance.score))
