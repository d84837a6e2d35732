"""The way in: names of checkpoints and options to a predictor that is ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch

from detseg.errors import ModelError
from detseg.models.backbone import BackboneTap, find_backbone
from detseg.models.checkpoint_predictor import CheckpointPredictor, Part
from detseg.models.checkpoints import Checkpoint, read_architecture
from detseg.models.engine import Engine, choose_engine
from detseg.models.families import FAMILIES, REVIEWED, Family
from detseg.models.labels import (
    LabelMap,
    is_placeholder,
    map_labels,
    require_mapped,
    taxonomy_of_models,
    thing_names,
)
from detseg.models.network import BoxesThenMasks, Network, NetworkRequest, PromptedNetwork, Role
from detseg.models.predictor import PredictorOptions, named_version
from detseg.models.reviewed import ReviewedBoxes
from detseg.models.version import Fact, checkpoint_digest, model_version
from detseg.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A checkpoint of a family, and the roles that it has here."""

    checkpoint: Checkpoint
    family: Family
    roles: tuple[Role, ...]
    labels: dict[int, str]

    @property
    def names(self) -> list[str]:
        return [name for name in self.labels.values() if not is_placeholder(name)]


def load_predictor(
    detector: str | None,
    segmenter: str | None,
    *,
    options: PredictorOptions,
    taxonomy: Taxonomy | None = None,
    reviewed: ReviewedBoxes | None = None,
) -> CheckpointPredictor:
    """The predictor of a detector, a segmenter or both, by folder or by the hub's model name.

    One checkpoint in both roles, or a segmenter alone, answers boxes and masks in one forward pass. Without a
    taxonomy, the models' own labels make one. ``reviewed`` boxes are the detector, whatever its name; they
    get masks of a segmenter that takes boxes, or none. ModelError, in one line, for what cannot be loaded;
    ConfigError for a threshold of a class that is none.
    """
    if not detector and not segmenter:
        raise ModelError("neither a detector nor a segmenter: name one with --detector or --segmenter")
    loaded = _load_all(detector, segmenter, taxonomy, reviewed)
    things = _things(loaded)
    if taxonomy is None:
        taxonomy = taxonomy_of_models(_names(loaded, "detector"), _names(loaded, "segmenter"), things)
    if not taxonomy.classes:
        raise ModelError(
            f"{detector or segmenter} names no class: put its labels into id2label of its config.json"
        )
    options = _by_class(options, taxonomy)
    maps = [_map_labels(one, taxonomy, strict=options.strict) for one in loaded]
    engines = [_engine(one.family, options) for one in loaded]
    digests = [checkpoint_digest(one.checkpoint) for one in loaded]
    facts = [
        Fact("+".join(one.roles), digest, one.checkpoint, labels, engine.precision)
        for one, digest, labels, engine in zip(loaded, digests, maps, engines, strict=True)
    ]
    version = model_version(facts, options)  # before the parts, which change the weights to be faster
    wanted = [_wanted(one, taxonomy, things, options) for one in loaded]
    taps = [_tap(one.checkpoint, digest) for one, digest in zip(loaded, digests, strict=True)]

    def build(engines: Sequence[Engine]) -> CheckpointPredictor:
        parts = [_part(*each) for each in zip(loaded, maps, engines, wanted, strict=True)]
        parts = [replace(part, tap=tap) for part, tap in zip(parts, taps, strict=True)]
        if loaded[-1].family.prompt == "boxes":
            parts = [_prompted(*parts)]
        half = any(engine.precision is not torch.float32 for engine in engines)
        exact = [replace(engine, precision=torch.float32, switch=None) for engine in engines]
        return CheckpointPredictor(
            parts,
            taxonomy=taxonomy,
            version=version,
            options=options,
            in_float32=(lambda: build(exact)) if half else None,
            files=tuple(file for one in loaded for file in one.checkpoint.files),
        )

    return build(engines)


def _by_class(options: PredictorOptions, taxonomy: Taxonomy) -> PredictorOptions:
    """The options with the thresholds of classes under their own names; ConfigError for no class of it."""

    def named(thresholds: Mapping[str, float]) -> dict[str, float]:
        return {taxonomy[label].name: value for label, value in thresholds.items()}

    return replace(
        options,
        class_box_thresholds=named(options.class_box_thresholds),
        class_mask_thresholds=named(options.class_mask_thresholds),
    )


def _load_all(
    detector: str | None, segmenter: str | None, taxonomy: Taxonomy | None, reviewed: ReviewedBoxes | None
) -> list[_Loaded]:
    """One entry per checkpoint; what is named twice is loaded once."""
    if detector and detector == segmenter:
        return [_load(detector, ("detector", "segmenter"), taxonomy)]
    loaded = [_load(detector, ("detector",), taxonomy)] if detector and reviewed is None else []
    if detector and reviewed is not None:
        checkpoint = Checkpoint(detector.partition(":")[0], reviewed, reviewed, reviewed.digest)
        loaded = [_Loaded(checkpoint, REVIEWED, ("detector",), checkpoint.labels)]
    if segmenter:
        one = _load(segmenter, ("segmenter",), taxonomy)
        if one.family.prompt == "boxes" and not detector:
            raise ModelError(f"{segmenter} gives masks to the boxes of a detector: name one with --detector")
        if not detector and one.family.boxes:
            one = replace(one, roles=("detector", "segmenter"))
        if reviewed is not None and one.family.prompt != "boxes":
            kinds = sorted({other.kind for other in FAMILIES.values() if other.prompt == "boxes"})
            raise ModelError(
                f"{segmenter} cannot make masks of the boxes that people drew: give --segmenter one of the "
                f"families {', '.join(kinds)}, or ''"
            )
        loaded.append(one)
    return loaded


def _load(name: str, roles: tuple[Role, ...], taxonomy: Taxonomy | None) -> _Loaded:
    architecture = read_architecture(name)
    family = FAMILIES.get(architecture)
    if family is None:
        raise ModelError(_unknown(name, roles[0], architecture))
    if roles == ("detector",) and not family.boxes:
        raise ModelError(f"{name} is a segmenter ({architecture}): give it as --segmenter, not as --detector")
    if "segmenter" in roles and not family.masks:
        raise ModelError(f"{name} is a detector ({architecture}): give it as --detector, not as --segmenter")
    checkpoint = family.load(name, architecture)
    if family.prompt == "none":
        return _Loaded(checkpoint, family, roles, checkpoint.labels)
    if family.prompt == "boxes":
        return _Loaded(checkpoint, family, roles, {})
    if taxonomy is None:
        raise ModelError(f"{name} looks for what it is told to: name the classes in [[classes]]")
    classes = taxonomy.classes if "segmenter" in roles else taxonomy.of_kind("thing")
    return _Loaded(checkpoint, family, roles, {i: cls.name for i, cls in enumerate(classes)})


def _unknown(name: str, role: Role, architecture: str) -> str:
    if not architecture:
        return f"{name} does not name its architecture in config.json: save it again with save_pretrained"
    kinds = sorted(
        {one.kind for one in FAMILIES.values() if (one.boxes if role == "detector" else one.masks)}
    )
    return f"{name} is no {role} but a {architecture}: give --{role} one of the families {', '.join(kinds)}"


def _engine(family: Family, options: PredictorOptions) -> Engine:
    if family.exported:
        return Engine(torch.device("cpu"))
    return choose_engine(
        device=options.device,
        engine=options.engine,
        precision=options.precision,
        keeps_answers_in_half=family.keeps_answers_in_half,
        compiles=family.compiles,
    )


def _map_labels(one: _Loaded, taxonomy: Taxonomy, *, strict: bool) -> LabelMap:
    boxes = one.roles == ("detector",)
    labels = map_labels(one.labels, taxonomy, boxes=boxes)
    if strict:
        require_mapped(labels, model=one.checkpoint.name, boxes=boxes)
    return labels


def _wanted(
    one: _Loaded, taxonomy: Taxonomy, things: frozenset[str], options: PredictorOptions
) -> NetworkRequest:
    # What the taxonomy does not say, the checkpoint's own knowledge does: this is about how it was trained.
    own = frozenset(one.names) - things
    return NetworkRequest(
        boxes="detector" in one.roles,
        masks="segmenter" in one.roles,
        box_threshold=min((options.box_threshold, *options.class_box_thresholds.values())),
        mask_threshold=min((options.mask_threshold, *options.class_mask_thresholds.values())),
        pixel_threshold=options.pixel_threshold,
        overlap_threshold=options.overlap_threshold,
        panoptic=any(
            cls.kind == "stuff" if (cls := taxonomy.find(name)) else name in own
            for name in one.labels.values()
        ),
        names=tuple(one.labels.values()) if one.family.prompt == "names" else (),
    )


def _part(one: _Loaded, labels: LabelMap, engine: Engine, wanted: NetworkRequest) -> Part:
    one.checkpoint.model.to(engine.device)
    network = cast(Network, one.family.network(one.checkpoint, wanted, engine))
    return Part(dict.fromkeys(one.roles, one.checkpoint.name), network, labels, engine)


def _tap(checkpoint: Checkpoint, digest: str) -> BackboneTap | None:
    """The tap of a checkpoint's backbone; the networks that are made of the checkpoint share it."""
    backbone = find_backbone(checkpoint.model) if checkpoint.digest is None else None
    return BackboneTap(backbone, named_version(checkpoint.short_name, digest)) if backbone else None


def _prompted(detector: Part, segmenter: Part) -> Part:
    network = BoxesThenMasks(
        detector.network, cast(PromptedNetwork, segmenter.network), detector.labels.classes
    )
    return replace(detector, names={**detector.names, **segmenter.names}, network=network)


def _things(loaded: Sequence[_Loaded]) -> frozenset[str]:
    """Choose the things among the segmenter's labels."""
    for one in loaded:
        if "segmenter" in one.roles and one.labels:
            return thing_names(
                one.names,
                declared=getattr(one.checkpoint.config, "thing_labels", None),
                detected=_names([other for other in loaded if other is not one], "detector"),
            )
    return frozenset()


def _names(loaded: Sequence[_Loaded], role: Role) -> list[str]:
    """The labels of the checkpoint in that role; as a detector, of one that is nothing else."""
    return [
        name
        for one in loaded
        if role in one.roles and (role == "segmenter" or len(one.roles) == 1)
        for name in one.names
    ]
