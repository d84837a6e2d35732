"""Random weights that answer: larger than fresh ones, so that there is something to see and it differs.

Each function here takes a model and its processor, or returns one that does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from tests.models.made import made_image

Enliven = Callable[[Any, Any], None]


def sure(classifier: str, *queries: str, no_object: bool = True) -> Enliven:
    """Scores near 1, and "no object" rarely the best of them; the names are those of layers."""

    def enliven(model: Any, _: Any) -> None:
        _scale_layers(model, *map(model.get_submodule, queries))
        layer = model.get_submodule(classifier)
        with torch.no_grad():
            layer.weight.mul_(2.0)
            layer.bias.zero_()
            if no_object:
                layer.bias[-1] = -8.0

    return enliven


def sure_with_masks(model: Any, processor: Any) -> None:
    sure("detr.class_labels_classifier", "detr.model.query_position_embeddings")(model, processor)
    nn.init.normal_(model.get_submodule("mask_head.output_conv").weight, std=3.0)


def detecting(model: Any, _: Any = None) -> None:
    """Scores on both sides of one half, different boxes for different queries."""
    _scale_layers(model, *_embeddings(model))
    for layer in _last_layers(model, "class"):
        with torch.no_grad():
            layer.weight.mul_(1.5)
            layer.bias.zero_()
    for layer in _last_layers(model, "bbox"):
        nn.init.normal_(layer.weight, std=0.5 / layer.in_features**0.5)
        nn.init.normal_(layer.bias, std=0.3)


def detecting_by_tokens(model: Any, _: Any) -> None:
    embeddings = model.get_submodule("vit.embeddings")
    for tokens in (embeddings.detection_tokens, embeddings.position_embeddings):
        nn.init.normal_(tokens, std=1.0)
    detecting(model)


def matching_words(model: Any, _: Any) -> None:
    """As Grounding DINO matches the words of a text, without a bias for or against them."""
    _scale_layers(model, *_embeddings(model))
    for name, bias in model.named_parameters():
        if "class_embed" in name and name.endswith("bias"):
            nn.init.zeros_(bias)


def matching_texts(model: Any, _: Any) -> None:
    """As OWL compares patches of an image with texts."""
    _scale_layers(model, *_embeddings(model))
    (patches,) = (one for name, one in model.named_modules() if name.endswith("embeddings.patch_embedding"))
    nn.init.normal_(patches.weight, std=0.1)


def matching_classes(model: Any, _: Any) -> None:
    """As OmDet-Turbo compares queries with the names of classes."""
    _scale_layers(model)
    nn.init.normal_(model.language_backbone.text_projection)
    for layer in _last_layers(model, "bbox"):
        nn.init.normal_(layer.weight, std=0.5 / layer.in_features**0.5)


def following_prompts(model: Any, _: Any) -> None:
    """Masks that follow boxes and image."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=1.5 / layer.weight[0].numel() ** 0.5)
    model.eval()


def labeling(classifier: str) -> Enliven:
    """Every pixel has a class, each class somewhere; the name is that of the last layer."""

    def enliven(model: Any, processor: Any) -> None:
        _scale_layers(model)
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
        last = model.get_submodule(classifier)
        nn.init.normal_(last.weight, std=4.0 / last.in_channels**0.5)
        _let_it_see_images(model, last, processor)

    return enliven


def _let_it_see_images(model: Any, classifier: nn.Module, processor: Any) -> None:
    """Norms with statistics, without which activations fade from layer to layer."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
            nn.init.ones_(layer.weight)
    images = [made_image(80, 80, seed=seed).rgb.copy() for seed in range(4)]
    inputs = processor(images=images, return_tensors="pt")
    with torch.no_grad():
        model.train()(**inputs)
        logits = model.eval()(**inputs).logits  # (4, labels, h, w)
        classifier.bias.sub_(logits.mean((0, 2, 3)))


def _scale_layers(model: Any, *queries: nn.Module) -> None:
    """Weights large enough that answers depend on the image and differ from query to query."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and "bbox_embed" not in name:
            nn.init.normal_(layer.weight, std=2.0 / layer.in_features**0.5)
    for embedding in queries:
        nn.init.normal_(embedding.weight, std=2.0)


def _embeddings(model: Any) -> Iterator[nn.Embedding]:
    return (one for one in model.modules() if isinstance(one, nn.Embedding))


def _last_layers(model: Any, role: str) -> Iterator[nn.Linear]:
    """The layers that give the numbers of that role: a head is a layer, or ends in one."""
    for name, head in model.named_modules():
        if role in name and not any(role in part for part in name.split(".")[:-1]):
            for one in head if isinstance(head, nn.ModuleList) else [head]:
                linear = [layer for layer in one.modules() if isinstance(layer, nn.Linear)]
                yield from linear[-1:]
