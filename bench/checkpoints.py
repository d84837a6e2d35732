"""DETR-R50 as it is, with weights that see a realistic number of things.

Weights do not change what a forward pass costs, but the number of queries that survive the threshold does.
Random weights let none survive, or all. Here the class scores are fitted, so that the same ``N_SURVIVORS``
of the 100 queries survive on every photo, and the mask head is made to answer with regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import DetrConfig, DetrForObjectDetection, DetrForSegmentation, DetrImageProcessor

N_SURVIVORS = 12
N_DETECTION_LABELS, N_PANOPTIC_LABELS = 91, 250
"""Those of facebook/detr-resnet-50 and facebook/detr-resnet-50-panoptic."""

_QUERY_STD = 3.0  # trained queries differ from each other; with fresh ones all answers are one
_SURE = 8.0  # logit of a survivor's label; that of no object is 0
_MASK_SHARE = 0.05  # of an image that one query's mask covers, about
_FOCUS = 4.0  # how sharply a query attends
_DIRECTIONS = 12  # of the encoder's memory that the attention looks at: those that vary most
_NOISE = 0.01  # of a state's values (their spread is 0.3) that must change little in an answer
_TEXTURE = 0.05  # how much of the backbone's finer maps shows in a mask


@dataclass(frozen=True, slots=True)
class Seen:
    """The network's view of one photo: states (Q, d), memory and projected features (1, d, h, w), the
    backbone's maps from coarse to fine."""

    states: torch.Tensor
    memory: torch.Tensor
    projected: torch.Tensor
    features: tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Folders of a detector (91 labels) and of a panoptic model (250) with the same weights, and how many of
    the queries survive on each photo."""

    detector: Path
    panoptic: Path
    survivors: tuple[int, ...]


def build_checkpoints(photos: Sequence[Path], folder: Path) -> Checkpoints:
    """Random weights that see something on these photos, saved into the folder."""
    torch.manual_seed(0)
    segmenter: Any = DetrForSegmentation(_config(N_PANOPTIC_LABELS))
    segmenter.eval()
    network = segmenter.detr.model
    nn.init.normal_(network.query_position_embeddings.weight, std=_QUERY_STD)
    for layer in network.decoder.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
    for layer in segmenter.detr.bbox_predictor.layers:
        nn.init.normal_(layer.weight, std=2.0 * layer.in_features**-0.5)
    processor = DetrImageProcessor()
    with torch.no_grad():
        seen = [_see(network, processor, path) for path in photos]
        chosen = fit_classifier(segmenter.detr.class_labels_classifier, seen)
        shape_masks(segmenter, seen, chosen)
        detector: Any = DetrForObjectDetection(_config(N_DETECTION_LABELS))
        detector.eval()
        kept = segmenter.detr.state_dict()
        own = {name for name in kept if name.startswith("class_labels_classifier")}
        detector.load_state_dict({k: v for k, v in kept.items() if k not in own}, strict=False)
        fit_classifier(detector.class_labels_classifier, seen)
        survivors = tuple(_count_survivors(segmenter.detr.class_labels_classifier, one) for one in seen)
    for name, model in (("detector", detector), ("panoptic", segmenter)):
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    return Checkpoints(folder / "detector", folder / "panoptic", survivors)


def fit_classifier(classifier: nn.Linear, seen: Sequence[Seen]) -> torch.Tensor:
    """Least squares over all queries of all photos: survivors are sure of their label, the others of none.

    The queries that survive, (N_SURVIVORS,).
    """
    n_queries = len(seen[0].states)
    chosen = torch.arange(N_SURVIVORS) * (n_queries // N_SURVIVORS)
    labels = 1 + torch.arange(N_SURVIVORS) * (N_DETECTION_LABELS - 2) // N_SURVIVORS
    targets = torch.full((n_queries, classifier.out_features), -_SURE, dtype=torch.float64)
    targets[:, -1] = 0.0
    targets[chosen, labels] = _SURE
    weight, bias = _fit(seen, targets)
    classifier.weight.copy_(weight)
    classifier.bias.copy_(bias)
    return chosen


def _count_survivors(classifier: nn.Linear, one: Seen) -> int:
    scores = classifier(one.states).softmax(-1)[:, :-1].amax(-1)
    return int((scores > 0.5).sum())


def fit_attention(attention: Any, seen: Sequence[Seen], chosen: torch.Tensor) -> None:
    """Every chosen query attends to content of its own: a cluster of what the encoder made of the photos.

    The attention is a softmax over places, so what all places of a photo have in common falls out.
    """
    memory = torch.cat([one.memory[0].flatten(1).T - one.memory[0].mean((1, 2)) for one in seen])  # (n, d)
    width = attention.q_proj.out_features // attention.head_dim  # heads, all with the same weights
    variances, components = torch.linalg.eigh(memory.T @ memory / len(memory))  # smallest first
    keys = torch.zeros(attention.head_dim, memory.shape[1])
    keys[:_DIRECTIONS] = (components[:, -_DIRECTIONS:] / variances[-_DIRECTIONS:].sqrt()).T
    attention.k_proj.weight.copy_(keys.repeat(width, 1))
    attention.k_proj.bias.zero_()
    centres = _cluster(memory @ keys.T, N_SURVIVORS)  # (N, head_dim)
    targets = torch.zeros(len(seen[0].states), attention.head_dim, dtype=torch.float64)
    targets[chosen] = _FOCUS * centres.double()
    weight, bias = _fit(seen, targets)
    attention.q_proj.weight.copy_(weight.repeat(width, 1))
    attention.q_proj.bias.copy_(bias.repeat(width))


def _fit(seen: Sequence[Seen], targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (out, d) and bias (out,) that give every query its target (Q, out) on all photos at best.

    Ridge regression, as if the states came with some noise: what bfloat16 rounds off is not blown up.
    """
    states = torch.cat([one.states for one in seen]).double()  # (P * Q, d)
    wanted = targets.repeat(len(seen), 1)
    mean, middle = states.mean(0), wanted.mean(0)
    centred = states - mean
    ridge = _NOISE**2 * len(states) * torch.eye(states.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(centred.T @ centred + ridge, centred.T @ (wanted - middle)).T
    return weight, middle - weight @ mean


def _cluster(points: torch.Tensor, n: int) -> torch.Tensor:
    """Unit vectors (n, d) towards n clusters: k-means on the sphere."""
    points = nn.functional.normalize(points, dim=1)
    centres = points[torch.randperm(len(points))[:n]]
    for _ in range(20):
        nearest = (points @ centres.T).argmax(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        centres = nn.functional.normalize(sums + 1e-6 * centres, dim=1)
    return centres


def shape_masks(model: Any, seen: Sequence[Seen], chosen: torch.Tensor) -> None:
    """A query's mask follows where it attends, with some texture of the photo; about 5 % of the pixels."""
    head, some = model.mask_head, seen[:4]
    fit_attention(model.bbox_attention, seen, chosen)
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.copy_(torch.randn_like(layer.weight).abs() / layer.weight[0].numel())
    n_features = some[0].projected.shape[1]
    head.conv1.conv.weight[:, :n_features] *= 0.001 * torch.randn(n_features)[None, :, None, None].sign()
    head.conv1.conv.weight[:, n_features:] *= 1000.0
    for stage, feature in zip(head.fpn_stages, some[0].features, strict=True):
        weight = torch.randn_like(stage.fpn_adapter.weight)
        stage.fpn_adapter.weight.copy_(_TEXTURE * weight / (feature.std() * weight[0].numel() ** 0.5))
    logits = torch.cat([_mask_logits(model, one, chosen).flatten() for one in some])
    scale = 4.0 / logits.std()
    head.output_conv.weight.mul_(scale)
    head.output_conv.bias.copy_((head.output_conv.bias - _quantile(logits, 1 - _MASK_SHARE)) * scale)


def _mask_logits(model: Any, one: Seen, chosen: torch.Tensor) -> torch.Tensor:
    attention = model.bbox_attention(one.states[chosen][None], one.memory)
    logits: torch.Tensor = model.mask_head(one.projected, attention, list(one.features))
    return logits[:, 0]


def _quantile(values: torch.Tensor, share: float) -> torch.Tensor:
    return values.kthvalue(max(1, int(share * values.numel()))).values


def _see(network: Any, processor: Any, path: Path) -> Seen:
    with Image.open(path) as image:
        inputs = processor(image.convert("RGB"), return_tensors="pt")
    maps: list[Any] = []
    hook = network.backbone.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    try:
        output = network(**inputs)
    finally:
        hook.remove()
    features = [feature for feature, _ in maps[0]]
    projected = network.input_projection(features[-1])
    memory = output.encoder_last_hidden_state.transpose(1, 2).reshape(projected.shape)
    return Seen(output.last_hidden_state[0], memory, projected, tuple(reversed(features[:-1])))


def _config(n_labels: int) -> Any:
    names = {i: f"label {i}" for i in range(n_labels)}
    config: Any = DetrConfig(id2label=names, label2id={name: i for i, name in names.items()})
    config.thing_labels = [names[i] for i in range(N_DETECTION_LABELS)]
    return config
