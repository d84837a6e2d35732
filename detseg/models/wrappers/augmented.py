"""Test-time augmentation: one predictor looks at an image several times, mirrored and at other sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from PIL import Image

from detseg.errors import ModelError
from detseg.geometry.fusion import FusionOptions
from detseg.geometry.runs import flip_mask, resize_mask
from detseg.models.predictor import AblePredictor, check_answer
from detseg.models.wrappers.committee import fuse_instances
from detseg.models.wrappers.wrapping import WrappingPredictor, ask, derived_image
from detseg.types import Box, DecodedImage, Instance, Size


@dataclass(frozen=True, slots=True)
class _View:
    """A view of an image: at ``scale`` times its size, and mirrored left to right or not."""

    scale: float
    flipped: bool

    def size(self, size: Size) -> Size:
        return Size(max(1, round(size.width * self.scale)), max(1, round(size.height * self.scale)))


class AugmentedPredictor(WrappingPredictor):
    """A ``Predictor``: another one's answers for several views of an image, fused as those of a committee.

    A view per scale, and its mirror image with ``flip``. A model that resizes every image to one size sees
    little but blur in a scale: give it ``flip`` alone.
    """

    def __init__(
        self,
        inner: AblePredictor,
        *,
        flip: bool = True,
        scales: Sequence[float] = (1.0,),
        options: FusionOptions | None = None,
    ) -> None:
        if not scales or not all(0.0 < scale < math.inf for scale in scales):
            raise ModelError(
                f"scales are numbers above 0, at least one, not {tuple(scales)}: set them to [1.0]"
            )
        self._options = options or FusionOptions()
        sizes = tuple(dict.fromkeys(float(scale) for scale in scales))
        self._views = tuple(
            _View(scale, flipped) for scale in sizes for flipped in ((False, True) if flip else (False,))
        )
        facts = {"flip": flip, "scales": sizes, **asdict(self._options)}
        super().__init__((inner,), kind="augmented", options=facts)

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        """See ``Predictor.predict``. One view after the other, each for the whole batch."""
        by_view = []
        for view in self._views:
            answers = ask(self._members[0], [_show(image, view) for image in batch])
            by_view.append(
                [
                    [_map_back(one, view, image.size) for one in answer]
                    for image, answer in zip(batch, answers, strict=True)
                ]
            )
        weights = (1.0,) * len(self._views)
        fused = [fuse_instances(answers, weights, self._options) for answers in zip(*by_view, strict=True)]
        return check_answer(self, batch, fused)


def _show(image: DecodedImage, view: _View) -> DecodedImage:
    size, rgb = view.size(image.size), image.rgb
    if size != image.size:
        resized = Image.fromarray(rgb).resize((size.width, size.height), Image.Resampling.BILINEAR)
        rgb = np.asarray(resized)
    if view.flipped:
        rgb = rgb[:, ::-1]
    return image if rgb is image.rgb else derived_image(image, rgb, f"{view.scale:g}{'m' * view.flipped}")


def _map_back(instance: Instance, view: _View, size: Size) -> Instance:
    """An instance of the view in the coordinates of the image of that size."""
    box, mask, shown = instance.box, instance.mask, view.size(size)
    if box is not None:
        x0, x1 = (shown.width - box.x1, shown.width - box.x0) if view.flipped else (box.x0, box.x1)
        to_x, to_y = size.width / shown.width, size.height / shown.height
        box = Box(x0 * to_x, box.y0 * to_y, x1 * to_x, box.y1 * to_y)
    if mask is not None:
        mask = resize_mask(flip_mask(mask) if view.flipped else mask, size)
    return replace(instance, box=box, mask=mask)
