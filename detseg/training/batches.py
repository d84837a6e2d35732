"""The images of a training: a sequence of draws, each a pure function of the seed and its number.

So a training that goes on after a kill sees what it would have seen, however many processes load.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional

from detseg.config.training import TrainingSettings
from detseg.datasets.sample import Sample
from detseg.errors import FormatError
from detseg.geometry.boxes import boxes_to_array
from detseg.geometry.extent import extent
from detseg.geometry.label_maps import map_to_array, paint, renumber
from detseg.geometry.masks import unite_masks
from detseg.metrics.scenes import paint_regions
from detseg.training.augment import Example, augment, cutmix, paste, tighten_boxes
from detseg.training.plan import Reader
from detseg.training.tables import SampleTable
from detseg.types import Annotation, DecodedImage, Instance, Mask, Size

_PRIME = 1_000_003


@dataclass(frozen=True, slots=True)
class LabelIds:
    """The numbers of the classes that a model answers, by name; what is none of them is no truth."""

    ids: Mapping[str, int]

    def things(self, sample: Sample) -> list[Instance]:
        """The things of an image that the model has to find."""
        return [one for one in self._known(sample) if one.kind == "thing"]

    def segments(self, sample: Sample) -> list[Instance]:
        """The masks of an image that the model has to find: of each thing, and of each class of stuff."""
        surfaces: defaultdict[str, list[Mask]] = defaultdict(list)
        found: list[Instance] = []
        for one in self._known(sample):
            if one.mask is None or not one.mask.area:
                continue
            if one.kind == "stuff":
                surfaces[one.label].append(one.mask)
            else:
                found.append(one)
        united = {label: unite_masks(masks) for label, masks in sorted(surfaces.items())}
        return found + [Instance(label, "stuff", mask=mask) for label, mask in united.items()]

    def names(self, sample: Sample) -> set[str]:
        """The classes that an image shows, of those that the model answers."""
        return {one.label for one in self._known(sample)}

    def known(self, truth: Annotation) -> Annotation:
        """What people said of an image, of the classes that the model answers; all of it is certain."""
        kept = [region for region in truth.regions if region.instance.label in self.ids]
        certain = (replace(region, instance=replace(region.instance, score=None)) for region in kept)
        return replace(truth, regions=tuple(certain))

    def _known(self, sample: Sample) -> list[Instance]:
        return [region.instance for region in self.known(sample.annotation()).regions]


MakeExample = Callable[[DecodedImage, Sample, LabelIds], Example]
"""What a model has to find in an image."""


def box_example(image: DecodedImage, sample: Sample, labels: LabelIds) -> Example:
    """The things of an image, with their boxes."""
    return make_example(image, labels.things(sample), labels)


def segment_example(image: DecodedImage, sample: Sample, labels: LabelIds) -> Example:
    """The things and surfaces of an image, with their masks."""
    return make_example(image, labels.segments(sample), labels, masks=True)


def pixel_example(image: DecodedImage, sample: Sample, labels: LabelIds) -> Example:
    """The class of every pixel, in one layer; pixels of nothing have the number behind those of the classes.

    Where masks overlap a pixel is the one's that ``detseg.metrics.scenes`` says, as in the figures.
    """
    owners, regions = paint_regions(labels.known(sample.annotation()))
    n_classes = len(labels.ids) + 1
    numbers = [n_classes, *(labels.ids[region.instance.label] + 1 for region in regions)]
    layer = torch.from_numpy(map_to_array(renumber(owners, np.array(numbers, dtype=np.int32))))
    every = Example(_pixels(image), torch.zeros(n_classes, 4), torch.arange(n_classes), layer[None])
    return tighten_boxes(every)


def make_example(
    image: DecodedImage, instances: Sequence[Instance], labels: LabelIds, *, masks: bool = False
) -> Example:
    """An image with its boxes; what has a mask alone has the tight box of it. With ``masks``, with these."""
    boxes = boxes_to_array([one.box or extent(one) for one in instances])
    layers = stack_masks([one.mask for one in instances if one.mask], image.size) if masks else None
    return Example(
        _pixels(image),
        torch.from_numpy(boxes).float().reshape(-1, 4),
        torch.tensor([labels.ids[one.label] for one in instances], dtype=torch.int64),
        None if layers is None else torch.from_numpy(layers),
    )


def _pixels(image: DecodedImage) -> torch.Tensor:
    return torch.from_numpy(image.rgb.copy()).permute(2, 0, 1)  # (3, H, W)


def stack_masks(masks: Sequence[Mask], size: Size) -> npt.NDArray[np.int32]:
    """The masks in as few layers as are needed, (L, H, W), at least one: number i + 1 where mask i is.

    Masks that overlap are in different layers, so each is there whole. FormatError for one of another size.
    """
    if wrong := [mask.size for mask in masks if mask.size != size]:
        raise FormatError(f"a mask of {wrong[0]} does not fit its image of {size}: review it again")
    left = list(range(len(masks)))
    layers: list[npt.NDArray[np.int32]] = []
    while left or not layers:
        owners = map_to_array(paint([masks[i] for i in left], size))
        areas = np.bincount(owners.reshape(-1), minlength=len(left) + 1)[1:]
        whole = [area == masks[i].area for i, area in zip(left, areas.tolist(), strict=True)]
        numbers = [i + 1 if fits else 0 for i, fits in zip(left, whole, strict=True)]
        layers.append(np.array([0, *numbers], dtype=np.int32)[owners])
        left = [i for i, fits in zip(left, whole, strict=True) if not fits]
    return np.stack(layers)


class Draws(Dataset[Example]):
    """``n_draws`` augmented images of a table, in an order of each epoch's own: each image once an epoch, or
    as often as ``repeat_factors`` says."""

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
        make: MakeExample,
        things: frozenset[int] = frozenset(),
    ) -> None:
        """Images are shrunk to ``most_px`` pixels of their longer side before they are augmented. ``things``
        are the numbers of the classes that may be pasted from one into another."""
        self._table, self._read, self._labels, self._settings = table, read, labels, settings
        self._n_draws, self._seed, self._most_px, self._make = n_draws, seed, most_px, make
        self._things = things
        self._order = Order(repeat_factors(table, labels, settings.balance), seed)

    def __len__(self) -> int:
        return self._n_draws

    def __getitem__(self, draw: int) -> Example:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed * _PRIME + draw)
            example = self._augmented(self._order.position_of(draw))
            if _falls(self._settings.copy_paste):
                example = paste(example, self._any(), self._things)
            if _falls(self._settings.cutmix):
                example = cutmix(example, self._any())
        return example

    def _any(self) -> Example:
        return self._augmented(int(torch.randint(len(self._table), ())))

    def _augmented(self, position: int) -> Example:
        sample = self._table[position]
        example = self._make(self._read(sample), sample, self._labels)
        return augment(shrink(example, self._most_px), self._settings)


def _falls(share: float) -> bool:
    """Tell whether it happens this time, of so large a share of all times; 0 draws no random number."""
    return share > 0 and float(torch.rand(())) < share


class Order:
    """The order of images, a function of the seed.

    In an epoch each image comes as often as its factor says, rounded up or down anew each time: in many
    epochs it is that often on average.
    """

    def __init__(self, factors: Sequence[float], seed: int) -> None:
        self._factors, self._seed = np.array(factors), seed
        self._length = max(1, round(float(self._factors.sum())))
        self._epoch = -1
        self._positions: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def position_of(self, draw: int) -> int:
        """The position of the image that a draw takes.

        >>> order = Order((1.0, 1.0, 2.0), seed=1)
        >>> sorted(order.position_of(draw) for draw in range(4))
        [0, 1, 2, 2]
        """
        epoch, place = divmod(draw, self._length)
        if epoch != self._epoch:
            self._epoch, self._positions = epoch, self._draw_epoch(epoch)
        return int(self._positions[place])

    def _draw_epoch(self, epoch: int) -> npt.NDArray[np.int64]:
        rng = np.random.default_rng((self._seed, epoch))
        if bool((self._factors == 1).all()):
            return rng.permutation(self._length)
        ends = np.cumsum(self._factors) * (self._length / self._factors.sum())
        picked = np.searchsorted(ends, np.arange(self._length) + rng.random(), side="right")
        return rng.permutation(np.minimum(picked, len(ends) - 1))


def repeat_factors(table: SampleTable, labels: LabelIds, share: float) -> tuple[float, ...]:
    """How often each image is shown in an epoch: ``sqrt(share / f)`` times for its rarest class, which is on
    the share f of the images, and at least once (Gupta et al., "LVIS", CVPR 2019)."""
    if not share:
        return (1.0,) * len(table)
    shown = [labels.names(table[position]) for position in range(len(table))]
    n_images = Counter(name for names in shown for name in names)
    factor = {name: max(1.0, math.sqrt(share * len(table) / n)) for name, n in n_images.items()}
    return tuple(max([1.0, *(factor[name] for name in names)]) for names in shown)


def shrink(example: Example, most_px: int) -> Example:
    """The example no larger than so many pixels on its longer side."""
    height, width = example.image.shape[-2:]
    factor = most_px / max(height, width)
    if factor >= 1:
        return example
    size = [max(1, round(height * factor)), max(1, round(width * factor))]
    scale = torch.tensor([size[1] / width, size[0] / height] * 2)
    small = functional.resize(example.image, size, antialias=True)
    layers = None
    if example.layers is not None:
        layers = functional.resize(example.layers, size, functional.InterpolationMode.NEAREST_EXACT)
    return tighten_boxes(Example(small, example.boxes * scale, example.labels, layers))
