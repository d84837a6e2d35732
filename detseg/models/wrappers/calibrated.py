"""Scores that say how likely people leave a region, in the place of the model's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace

from detseg.models.predictor import AblePredictor, check_answer, ordered
from detseg.models.score_maps import ScoreMap
from detseg.models.wrappers.wrapping import WrappingPredictor, ask
from detseg.types import DecodedImage, Instance


class CalibratedPredictor(WrappingPredictor):
    """A ``Predictor``: another one whose scores are mapped class by class, in the order that they have."""

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
