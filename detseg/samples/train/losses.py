"""The losses of both models.

The detector's set loss is transformers' own. The segmenter's is Mask2Former's (Cheng et al. 2022, classes
by cross entropy, masks by binary cross entropy and Dice, queries matched to instances) on whole masks
instead of sampled points, which is many times faster on a CPU. Both models also learn a dense loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from scipy.optimize import linear_sum_assignment

from detseg.samples.checkpoints import Role
from detseg.samples.scenes import SAMPLE_CLASSES, THING_NAMES
from detseg.samples.train.batches import Batch
from detseg.samples.train.data import NO_LABEL
from detseg.samples.train.models import DenseHead

_N_CLASSES = len(SAMPLE_CLASSES)
_CLASS_WEIGHT, _MASK_WEIGHT, _DICE_WEIGHT = 2.0, 5.0, 5.0
_NO_OBJECT_WEIGHT = 0.4
"""With Mask2Former's 0.1, made for 100 queries, twice as many queries as parts claim to be a part here, and
the panoptic form drops most of what several of them claim."""


def dense_loss(head: DenseHead, features: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Cross entropy of every pixel's class, and L1 and IoU of the box that every pixel of a thing implies."""
    logits, sides = head(features)
    height, width = logits.shape[-2:]
    ys = (torch.arange(height) * batch.owner.shape[1] + batch.owner.shape[1] // 2) // height
    xs = (torch.arange(width) * batch.owner.shape[2] + batch.owner.shape[2] // 2) // width
    owner = batch.owner[:, ys[:, None], xs]  # (B, h, w)
    flat = owner.flatten(1)
    classes = batch.labels.gather(1, flat).view_as(owner)  # (B, h, w)
    loss = F.cross_entropy(logits, classes)
    boxes = batch.boxes.gather(1, flat[..., None].expand(-1, -1, 4)).view(*owner.shape, 4)
    inside = classes < len(THING_NAMES)
    if not inside.any():
        return loss
    cx, cy, w, h = boxes[inside].unbind(-1)  # (P,)
    x = ((torch.arange(width) + 0.5) / width).expand_as(owner)[inside]
    y = ((torch.arange(height) + 0.5) / height)[:, None].expand_as(owner)[inside]
    truth = torch.stack((x - cx + w / 2, y - cy + h / 2, cx + w / 2 - x, cy + h / 2 - y), -1).clamp(min=0)
    guess = sides.permute(0, 2, 3, 1)[inside]  # (P, 4)
    smaller = torch.minimum(truth, guess)
    overlap = (smaller[:, 0] + smaller[:, 2]) * (smaller[:, 1] + smaller[:, 3])
    area = (guess[:, 0] + guess[:, 2]) * (guess[:, 1] + guess[:, 3]) + w * h
    iou = overlap / (area - overlap).clamp(min=1e-6)
    loss += 2 * (guess - truth).abs().sum(-1).mean() + (1 - iou).mean()
    return loss


def owner_to_masks(batch: Batch, shrink: int) -> torch.Tensor:
    """Compute how much of each cell of ``shrink`` x ``shrink`` pixels an instance covers: (B, 12, h, w) in
    [0, 1]."""
    n_slots = batch.labels.shape[1]
    masks = (batch.owner[:, None] == torch.arange(n_slots)[None, :, None, None]).float()
    return F.avg_pool2d(masks, shrink)


def near_weights(coarse: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of pixels: 1 in and around an instance, 0.15 elsewhere; at the masks' and twice their size.

    Most of a picture is far from a part and soon easy; without weights it drowns the outlines.
    """
    near = F.avg_pool2d(coarse, 5, stride=1, padding=2) > 0
    weight = 0.15 + 0.85 * near.float()
    return weight, F.interpolate(weight, scale_factor=2.0, mode="nearest")


def match(
    classes: torch.Tensor, masks: torch.Tensor, labels: torch.Tensor, truth: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Assign queries to instances, for the smallest total cost.

    ``classes`` (B, Q, 8) and ``masks`` (B, Q, N) are logits, ``labels`` (B, K) and ``truth`` (B, K, N).
    Answers the indices (image, query, instance), each of shape (M,).
    """
    with torch.no_grad():
        chance = classes.softmax(-1)
        known = labels.clamp(max=_N_CLASSES - 1)
        class_cost = -chance.gather(2, known[:, None].expand(-1, chance.shape[1], -1))  # (B, Q, K)
        product = masks @ truth.transpose(1, 2)
        mask_cost = (F.softplus(masks).sum(-1, keepdim=True) - product) / masks.shape[-1]
        share = masks.sigmoid()
        total = share.sum(-1)[:, :, None] + truth.sum(-1)[:, None]
        dice_cost = 1 - (2 * share @ truth.transpose(1, 2) + 1) / (total + 1)
        cost = _CLASS_WEIGHT * class_cost + _MASK_WEIGHT * mask_cost + _DICE_WEIGHT * dice_cost
    image, query, instance = [], [], []
    for i, table in enumerate(cost.numpy()):
        n_known = int((labels[i] != NO_LABEL).sum())
        rows, columns = linear_sum_assignment(table[:, :n_known])
        image.append(torch.full((len(rows),), i))
        query.append(torch.from_numpy(rows))
        instance.append(torch.from_numpy(columns))
    return torch.cat(image), torch.cat(query), torch.cat(instance)


def set_loss(
    classes: torch.Tensor, masks: torch.Tensor, labels: torch.Tensor, *, truth: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """One layer's loss. ``classes`` (B, Q, 8), ``masks`` (B, Q, h, w); the ``truth`` to match with is
    (B, K, h, w), the one to learn from and the weight of its pixels are (B, K, h', w')."""
    to_match, to_learn, weights = truth
    image, query, instance = match(classes, masks.flatten(2), labels, to_match.flatten(2))
    wanted = torch.full(classes.shape[:2], _N_CLASSES)
    wanted[image, query] = labels[image, instance]
    class_weights = torch.ones(_N_CLASSES + 1)
    class_weights[-1] = _NO_OBJECT_WEIGHT
    class_loss = F.cross_entropy(classes.transpose(1, 2), wanted, class_weights)
    logits, target = masks[image, query], to_learn[image, instance]  # (M, h, w), (M, h', w')
    if logits.shape != target.shape:
        logits = F.interpolate(logits[:, None], target.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    weight = weights[image, instance]
    pixel_loss = F.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="none")
    mask_loss = (pixel_loss.sum((1, 2)) / weight.sum((1, 2))).mean()
    share = logits.sigmoid()
    overlap, total = (share * target).sum((1, 2)), share.sum((1, 2)) + target.sum((1, 2))
    dice = (1 - (2 * overlap + 1) / (total + 1)).mean()
    return _CLASS_WEIGHT * class_loss + _MASK_WEIGHT * mask_loss + _DICE_WEIGHT * dice


def detector_loss(model: Any, head: DenseHead, batch: Batch) -> torch.Tensor:
    """RT-DETR's loss and the dense loss on its finest encoder features."""
    seen: list[torch.Tensor] = []
    finest = model.model.decoder_input_proj[0]
    hook = finest.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    targets = []
    for labels, boxes in zip(batch.labels, batch.boxes, strict=True):
        things = labels < len(THING_NAMES)
        targets.append({"class_labels": labels[things], "boxes": boxes[things]})
    try:
        answer = model(pixel_values=batch.pixels, labels=targets)
    finally:
        hook.remove()
    loss: torch.Tensor = answer.loss
    return loss + dense_loss(head, seen[0], batch)


def segmenter_loss(model: Any, head: DenseHead, batch: Batch) -> torch.Tensor:
    """The set loss of every decoder layer and the dense loss on the mask features."""
    answer = model(pixel_values=batch.pixels, output_auxiliary_logits=True)
    coarse, fine = owner_to_masks(batch, 4), owner_to_masks(batch, 2)
    loss = dense_loss(head, answer.pixel_decoder_last_hidden_state, batch)
    coarse_weights, fine_weights = near_weights(coarse)
    for layer in answer.auxiliary_logits:
        classes, masks = layer["class_queries_logits"].float(), layer["masks_queries_logits"].float()
        loss = loss + set_loss(classes, masks, batch.labels, truth=(coarse, coarse, coarse_weights))
    classes, masks = answer.class_queries_logits.float(), answer.masks_queries_logits.float()
    return loss + set_loss(classes, masks, batch.labels, truth=(coarse, fine, fine_weights))


LOSSES: dict[Role, Callable[[Any, DenseHead, Batch], torch.Tensor]] = {
    "detector": detector_loss,
    "segmenter": segmenter_loss,
}
"""(model, dense head, batch) -> what to make small."""
