"""The effect of a lower precision: the first images of a run are predicted in float32 too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from detseg.errors import ImageError
from detseg.models.agreement import Agreement, agreement
from detseg.models.predictor import AblePredictor, predict_each
from detseg.pipeline.reading import read_from
from detseg.plurals import format_count
from detseg.types import DecodedImage

if TYPE_CHECKING:
    from detseg.sources.registry import Sources

CHECKED_FROM = 16
"""Number of images from which a run checks; fewer take hardly longer than the check."""
_N_CHECKED = 4


def check_precision(
    opened: Callable[[], Sources], predictor: AblePredictor, uris: Sequence[str]
) -> Agreement | None:
    """Measure how far the run agrees with float32; None if it is float32, or where the images are too few."""
    if len(uris) < CHECKED_FROM:
        return None
    exact = predictor.in_float32()
    if exact is None:
        return None
    images = _readable(opened, uris[:_N_CHECKED])
    pairs = [
        (one, other)
        for one, other in zip(predict_each(predictor, images), predict_each(exact, images), strict=True)
        if not isinstance(one, ImageError) and not isinstance(other, ImageError)
    ]
    return agreement([one for one, _ in pairs], [other for _, other in pairs])


def describe_check(check: Agreement) -> str:
    """The check as a sentence."""
    return (
        f"against float32, this run's precision changed {_percent(check.changed_boxes)} of the boxes and "
        f"{_percent(check.changed_mask_pixels)} of the mask pixels, on "
        f"{format_count(check.n_images, 'image')} of it"
    )


def _readable(opened: Callable[[], Sources], uris: Sequence[str]) -> list[DecodedImage]:
    """Those that can be read; the run itself says which cannot."""
    images = []
    with opened() as sources:
        for uri in uris:
            try:
                images.append(read_from(sources, uri))
            except ImageError:
                continue
    return images


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{100 * share:.2f} %"
