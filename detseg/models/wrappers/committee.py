"""Several predictors that answer as one: boxes by weighted box fusion, masks by a vote of their pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from detseg.errors import ModelError
from detseg.geometry.boxes import boxes_to_array
from detseg.geometry.extent import extent
from detseg.geometry.fusion import FusionOptions, fuse_boxes, fused_score
from detseg.geometry.runs import vote
from detseg.models.predictor import AblePredictor, check_answer, ordered
from detseg.models.wrappers.wrapping import WrappingPredictor, ask
from detseg.types import Box, DecodedImage, Instance


class CommitteePredictor(WrappingPredictor):
    """A ``Predictor``: the answers of all members fused (``fuse_instances``); of one member, its own."""

    def __init__(
        self,
        members: Sequence[AblePredictor],
        *,
        weights: Sequence[float] | None = None,
        options: FusionOptions | None = None,
    ) -> None:
        """``weights`` say how much each member counts; all the same without them."""
        self._weights = tuple(float(w) for w in weights) if weights is not None else (1.0,) * len(members)
        self._options = options or FusionOptions()
        if len(self._weights) != len(members) or not all(0.0 < w < math.inf for w in self._weights):
            raise ModelError(
                f"the weights {self._weights} do not fit {len(members)} models: give each one above 0"
            )
        facts = {"weights": self._weights, **asdict(self._options)}
        super().__init__(members, kind="committee", options=facts)

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        """See ``Predictor.predict``."""
        by_member = [ask(member, batch) for member in self._members]
        fused = [
            fuse_instances(answers, self._weights, self._options) for answers in zip(*by_member, strict=True)
        ]
        return check_answer(self, batch, fused)


def fuse_instances(
    answers: Sequence[Sequence[Instance]], weights: Sequence[float], options: FusionOptions
) -> tuple[Instance, ...]:
    """One answer for one image from that of each model, sorted. Of one model, its own answer.

    Things are fused by their boxes, or by the tight boxes of their masks where they have none, with
    ``fuse_boxes``, which leaves out what has no area. A fused thing has a box if one of its parts has. Stuff
    is fused by label. A pixel belongs to the fused mask if at least half of the masks have it, each weighing
    as much as its score times its model: of two masks that is the better one. Scores follow
    ``options.score_rule`` and are at most 1; a model that cannot see a label counts as one that did not.
    """
    if len(answers) == 1:
        return ordered(answers[0])
    models = np.repeat(np.arange(len(answers)), [len(answer) for answer in answers])
    found = [one for answer in answers for one in answer]
    fused = _fuse_stuff(found, models.tolist(), weights, options)
    things = [i for i, one in enumerate(found) if one.kind == "thing"]
    boxes = fuse_boxes(
        boxes_to_array([extent(found[i]) for i in things]),
        np.array([found[i].score for i in things], dtype=np.float64),
        np.array([found[i].label for i in things]),
        models[things],
        weights=weights,
        options=options,
    )
    for corners, score, members in zip(boxes.boxes, boxes.scores, boxes.members, strict=True):
        parts = [found[things[i]] for i in members]
        votes = [weights[models[things[i]]] for i in members]
        box = Box(*corners.tolist()) if any(part.box for part in parts) else None
        fused.append(replace(_united(parts, votes, float(score)), box=box))
    return ordered(fused)


def _fuse_stuff(
    found: Sequence[Instance], models: Sequence[int], weights: Sequence[float], options: FusionOptions
) -> list[Instance]:
    by_label: dict[str, list[int]] = {}
    for i, one in enumerate(found):
        if one.kind == "stuff" and (one.score or 0.0) >= options.skip_score:
            by_label.setdefault(one.label, []).append(i)
    fused = []
    for members in by_label.values():
        parts, of_model = [found[i] for i in members], np.array([models[i] for i in members])
        scores = np.array([part.score for part in parts], dtype=np.float64)
        score = fused_score(scores, of_model, np.array(weights, dtype=np.float64), options.score_rule)
        if score >= options.min_score:
            fused.append(_united(parts, [weights[m] for m in of_model], score))
    return fused


def _united(parts: Sequence[Instance], weights: Sequence[float], score: float) -> Instance:
    """The best part with the mask that all vote for, what saw any of them, and the given score."""
    votes = [weight * (part.score or 0.0) for part, weight in zip(parts, weights, strict=True)]
    ranks = sorted(range(len(parts)), key=lambda i: -votes[i])
    masked = [(part.mask, n) for part, n in zip(parts, votes, strict=True) if part.mask is not None]
    mask = vote([mask for mask, _ in masked], [n for _, n in masked]) if masked else None
    if mask is not None and mask.area == 0:  # many masks that share nothing: no pixel has half of the votes
        mask = next(parts[i].mask for i in ranks if parts[i].mask is not None)
    best, seen = parts[ranks[0]], {part.seen_by for part in parts}
    return replace(best, mask=mask, score=min(score, 1.0), seen_by=best.seen_by if len(seen) == 1 else "both")
