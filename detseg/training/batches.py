"""What a training sees: a sequence of draws, each a pure function of the seed and its number.

So a training that goes on after a kill sees what it would have seen, however many processes load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional

from detseg.config.training import TrainingSettings
from detseg.datasets.sample import Sample
from detseg.geometry.boxes import boxes_to_array
from detseg.geometry.extent import extent
from detseg.training.augment import Example, augment
from detseg.training.plan import Reader
from detseg.training.tables import SampleTable
from detseg.types import DecodedImage, Instance

_PRIME = 1_000_003


@dataclass(frozen=True, slots=True)
class LabelIds:
    """The numbers of the classes that a model answers, by name; what is none of them is no truth."""

    ids: Mapping[str, int]

    def things(self, sample: Sample) -> list[Instance]:
        """The things of an image that the model has to find."""
        instances = (region.instance for region in sample.annotation().regions)
        return [one for one in instances if one.kind == "thing" and one.label in self.ids]


def make_example(image: DecodedImage, things: Sequence[Instance], labels: LabelIds) -> Example:
    """An image with its boxes; a thing that has a mask alone has the tight box of it."""
    boxes = boxes_to_array([one.box or extent(one) for one in things])
    return Example(
        torch.from_numpy(image.rgb.copy()).permute(2, 0, 1),
        torch.from_numpy(boxes).float().reshape(-1, 4),
        torch.tensor([labels.ids[one.label] for one in things], dtype=torch.int64),
    )


class Draws(Dataset[Example]):
    """``n_draws`` augmented images of a table: each image once an epoch, in an order of the epoch's own."""

    def __init__(
        self,
        table: SampleTable,
        read: Reader,
        labels: LabelIds,
        settings: TrainingSettings,
        *,
        n_draws: int,
        seed: int,
        most_px: int,
    ) -> None:
        """Images are shrunk to ``most_px`` pixels of their longer side before they are augmented."""
        self._table, self._read, self._labels, self._settings = table, read, labels, settings
        self._n_draws, self._seed, self._most_px = n_draws, seed, most_px

    def __len__(self) -> int:
        return self._n_draws

    def __getitem__(self, draw: int) -> Example:
        sample = self._table[position_of(draw, n_samples=len(self._table), seed=self._seed)]
        example = make_example(self._read(sample), self._labels.things(sample), self._labels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed * _PRIME + draw)
            return augment(shrink(example, self._most_px), self._settings)


def position_of(draw: int, *, n_samples: int, seed: int) -> int:
    """The position of the image that a draw takes.

    >>> sorted(position_of(draw, n_samples=4, seed=1) for draw in range(4))
    [0, 1, 2, 3]
    """
    epoch, place = divmod(draw, n_samples)
    return int(_order(n_samples, seed, epoch)[place])


@lru_cache(maxsize=2)
def _order(n_samples: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(n_samples)


def shrink(example: Example, most_px: int) -> Example:
    """The example no larger than so many pixels on its longer side."""
    height, width = example.image.shape[-2:]
    factor = most_px / max(height, width)
    if factor >= 1:
        return example
    size = [max(1, round(height * factor)), max(1, round(width * factor))]
    scale = torch.tensor([size[1] / width, size[0] / height] * 2)
    small = functional.resize(example.image, size, antialias=True)
    return Example(small, example.boxes * scale, example.labels)


@dataclass(frozen=True, slots=True)
class DetectionCollator:
    """Examples to the inputs of a detector, by the checkpoint's own image processor.

    ``labels`` has for each image ``class_labels`` int64 (N,) and ``boxes`` float32 (N, 4), as centre and size
    in [0, 1].
    """

    processor: Any

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        inputs = dict(
            self.processor(
                images=[example.image for example in examples],
                annotations=[_to_coco(example, i) for i, example in enumerate(examples)],
                input_data_format="channels_first",
                return_tensors="pt",
            )
        )
        # The order in which convolutions are fastest, on CPUs as on accelerators.
        inputs["pixel_values"] = inputs["pixel_values"].contiguous(memory_format=torch.channels_last)
        wanted = ("class_labels", "boxes")
        inputs["labels"] = [{name: one[name] for name in wanted} for one in inputs["labels"]]
        return inputs


def _to_coco(example: Example, image_id: int) -> dict[str, Any]:
    """The truth as COCO's annotations, which the processors of all detectors read."""
    x0y0, x1y1 = example.boxes[:, :2], example.boxes[:, 2:]
    xywh = torch.cat((x0y0, x1y1 - x0y0), dim=1).tolist()
    entries = [
        {"category_id": label, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for label, box in zip(example.labels.tolist(), xywh, strict=True)
    ]
    return {"image_id": image_id, "annotations": entries}
