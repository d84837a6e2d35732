"""Batches: scenes in a seeded order, flipped and recoloured, as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from detseg.samples.checkpoints import Role
from detseg.samples.train.data import SceneStore
from detseg.samples.train.models import PIXEL_DEVIATION, PIXEL_MEAN


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Pictures and their truth.

    ``pixels`` float32 (B, 3, H, W), normalized; ``owner`` int64 (B, 192, 256): the instance that a pixel
    belongs to; ``labels`` int64 (B, 12), 255 where there is no instance; ``boxes`` float32 (B, 12, 4),
    cxcywh in [0, 1], zero for stuff.
    """

    pixels: torch.Tensor
    owner: torch.Tensor
    labels: torch.Tensor
    boxes: torch.Tensor


def batch_indices(step: int, *, n_scenes: int, batch_size: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw the scenes that step ``step`` sees: every scene once an epoch, in an order of the epoch's own."""
    steps_per_epoch = max(1, n_scenes // batch_size)
    epoch, place = divmod(step, steps_per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(n_scenes)
    return order[place * batch_size : (place + 1) * batch_size]


def load_batch(store: SceneStore, step: int, role: Role, *, batch_size: int, seed: int) -> Batch:
    """The batch of a step: a pure function of the arguments, so that a resumed training sees the same."""
    indices = batch_indices(step, n_scenes=len(store), batch_size=batch_size, seed=seed)
    images, owner, labels, boxes = store.rows(indices, (role, "owner", "labels", "boxes"))
    rng = np.random.default_rng((seed, step, 1))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)  # (B, 3, H, W)
    return _flipped(
        Batch(
            _recoloured(pixels, rng).sub_(PIXEL_MEAN).div_(PIXEL_DEVIATION),
            torch.from_numpy(owner).long(),
            torch.from_numpy(labels).long(),
            torch.from_numpy(boxes),
        ),
        rng,
    )


def _recoloured(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Another exposure, contrast and white balance for each picture."""
    n = len(pixels)
    gain = rng.uniform(0.75, 1.3, (n, 1, 1, 1)) * rng.uniform(0.92, 1.08, (n, 3, 1, 1))
    shift = rng.uniform(-0.06, 0.06, (n, 1, 1, 1))
    pixels = pixels * torch.from_numpy(gain).float() + torch.from_numpy(shift).float()
    return pixels.clamp_(0, 1)


def _flipped(batch: Batch, rng: np.random.Generator) -> Batch:
    """Half of the pictures mirrored left to right, half top to bottom."""
    pixels, owner, boxes = batch.pixels, batch.owner, batch.boxes
    for i, (mirror_x, mirror_y) in enumerate(rng.random((len(pixels), 2)) < 0.5):
        if mirror_x:
            pixels[i], owner[i] = pixels[i].flip(-1), owner[i].flip(-1)
            boxes[i, :, 0] = 1 - boxes[i, :, 0]
        if mirror_y:
            pixels[i], owner[i] = pixels[i].flip(-2), owner[i].flip(-2)
            boxes[i, :, 1] = 1 - boxes[i, :, 1]
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    return Batch(pixels, owner, batch.labels, boxes)
