"""The way in: names of checkpoints and options to a predictor that is ready."""

from __future__ import annotations

from collections.abc import Iterable

from detseg.errors import ModelError
from detseg.models.checkpoint_predictor import CheckpointPredictor, Part
from detseg.models.checkpoints import Checkpoint, choose_device, load_checkpoint
from detseg.models.labels import (
    is_placeholder,
    map_labels,
    require_mapped,
    taxonomy_of_models,
    thing_names,
)
from detseg.models.predictor import PredictorOptions
from detseg.models.version import model_version
from detseg.taxonomy import Taxonomy


def load_predictor(
    detector: str | None,
    segmenter: str | None,
    *,
    options: PredictorOptions,
    taxonomy: Taxonomy | None = None,
) -> CheckpointPredictor:
    """The predictor of a detector, a segmenter or both, by folder or by the hub's model name.

    Without a taxonomy, the models' own labels make one. ModelError, in one line, for what cannot be loaded.
    """
    if not detector and not segmenter:
        raise ModelError("neither a detector nor a segmenter: name one with --detector or --segmenter")
    device = choose_device(options.device)
    boxes = load_checkpoint(detector, "detector", device=device) if detector else None
    masks = load_checkpoint(segmenter, "segmenter", device=device) if segmenter else None
    things = _things(boxes, masks)
    if taxonomy is None:
        taxonomy = taxonomy_of_models(_names(boxes), _names(masks), things)
    parts = [
        _part(one, taxonomy, things=things, strict=options.strict)
        for one in (boxes, masks)
        if one is not None
    ]
    by_role = {part.checkpoint.role: part for part in parts}
    return CheckpointPredictor(
        by_role.get("detector"),
        by_role.get("segmenter"),
        taxonomy=taxonomy,
        version=model_version({part.checkpoint: part.labels for part in parts}, options),
        options=options,
    )


def _part(checkpoint: Checkpoint, taxonomy: Taxonomy, *, things: Iterable[str], strict: bool) -> Part:
    boxes = checkpoint.role == "detector"
    labels = map_labels(checkpoint.labels, taxonomy, boxes=boxes)
    if strict:
        require_mapped(labels, model=checkpoint.name, boxes=boxes)
    # What the taxonomy does not say, the checkpoint's own knowledge does: this is about how it was trained.
    own = {name for name in checkpoint.labels.values() if not is_placeholder(name)} - frozenset(things)
    panoptic = any(
        cls.kind == "stuff" if (cls := taxonomy.find(name)) else name in own
        for name in checkpoint.labels.values()
    )
    return Part(checkpoint, labels, panoptic)


def _things(detector: Checkpoint | None, segmenter: Checkpoint | None) -> frozenset[str]:
    """Which of the segmenter's labels are things."""
    if segmenter is None:
        return frozenset()
    return thing_names(
        _names(segmenter),
        declared=getattr(segmenter.config, "thing_labels", None),
        detected=_names(detector),
    )


def _names(checkpoint: Checkpoint | None) -> list[str]:
    return [name for name in checkpoint.labels.values() if not is_placeholder(name)] if checkpoint else []
