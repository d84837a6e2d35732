"""Masks that compete for pixels: who owns which, at the image's own size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from detseg.types import Size


@dataclass(frozen=True, slots=True)
class Segments:
    """``owners`` (H, W) holds the position of the mask that owns a pixel; ``kept`` are the masks that count.

    A mask that lost too much of itself is not in ``kept``: its pixels are nobody's.
    """

    owners: npt.NDArray[np.integer[Any]]
    kept: tuple[int, ...]


def panoptic_segments(
    logits: torch.Tensor,
    scores: torch.Tensor,
    size: Size,
    *,
    pixel_threshold: float,
    overlap_threshold: float,
) -> Segments:
    """Find the owner of each pixel, from mask logits (N, h, w) and scores (N,), N at least 1.

    The rules are those of transformers' ``compute_segments``: probabilities are upsampled (bilinear) and
    weighed by the scores; the largest owns the pixel, of equal ones the first. A mask is kept if it owns more
    than ``overlap_threshold`` of the pixels where its weighed probability is at least ``pixel_threshold``.
    Mask by mask, so that memory does not grow with their number.
    """
    probabilities = logits.float().sigmoid()[:, None]  # (N, 1, h, w)
    dtype = torch.uint8 if len(probabilities) <= 256 else torch.int16
    best = owners = None
    reached = []
    for k in range(len(probabilities)):
        weighed = functional.interpolate(
            probabilities[k : k + 1], size=(size.height, size.width), mode="bilinear", align_corners=False
        )[0, 0].mul_(scores[k])  # (H, W)
        reached.append(torch.count_nonzero(weighed >= pixel_threshold))
        if best is None or owners is None:
            best, owners = weighed, torch.zeros_like(weighed, dtype=dtype)
        else:
            owners.masked_fill_(weighed > best, k)
            torch.maximum(best, weighed, out=best)
    if owners is None:
        raise ValueError("at least one mask was expected")
    owned = torch.bincount(owners.reshape(-1), minlength=len(probabilities)).tolist()
    kept = tuple(
        k
        for k, original in enumerate(torch.stack(reached).tolist())
        if owned[k] and original and owned[k] / original > overlap_threshold
    )
    return Segments(owners.cpu().numpy(), kept)
