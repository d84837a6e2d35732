"""How many control images the interval of the model's headline needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scipy.special import ndtri

from detseg.metrics.intervals import AIM, LEVEL, MIN_UNITS, Estimate
from detseg.metrics.shown import show

Spread = Literal["headline", "assisted", "bound"]
"""Where the spread between images is known from: from the images of the headline, from assisted ones in their
place, or not at all."""

MOST_SPREAD = 0.5
"""The largest standard deviation that values in [0, 1] can have."""

_Z = float(ndtri((1.0 + LEVEL) / 2.0))
_LEAST_IMAGES: Mapping[Spread, int] = {"headline": MIN_UNITS, "assisted": 3 * MIN_UNITS}
"""From fewer images the spread is not known: it is that of other images, where assisted ones stand in."""


@dataclass(frozen=True, slots=True)
class ControlPlan:
    """The control images that narrow the headline to ``half_width`` to either side."""

    half_width: float
    n_control: int
    """those that were reviewed"""
    n_more: int
    """those that are missing; 0 for none. With the spread ``bound``, fewer may do"""
    spread: Spread


def plan_control(headline: Estimate, assisted: Estimate, *, n_control: int) -> ControlPlan:
    """Plan the control images for the headline's interval, from what is known of the spread between images.

    An interval narrows with the square root of the images. Assisted images stand in where there are too few
    of the headline's; the bound where both are too few, or the assisted ones hardly differ: 385 images for
    +-0.05. A headline of enough gold images needs no control images.

    >>> nothing = Estimate(None, None, None, 0, None)
    >>> plan_control(nothing, nothing, n_control=0).n_more
    385
    >>> plan_control(Estimate(0.57, 0.47, 0.67, 40, 160), nothing, n_control=40).n_more
    120
    """
    n_needed, spread = _needed(headline, assisted)
    # control images without a mask tell nothing of a figure of masks, and gold ones are no control images
    n_of_use = min(headline.n, n_control)
    n_more = 0 if headline.n >= n_needed else n_needed - n_of_use
    return ControlPlan(AIM, n_control, n_more, spread)


def _needed(headline: Estimate, assisted: Estimate) -> tuple[int, Spread]:
    sources: tuple[tuple[Estimate, Spread], ...] = ((headline, "headline"), (assisted, "assisted"))
    for known, spread in sources:
        shown = show(known)
        if shown.low is None or shown.high is None or known.n < _LEAST_IMAGES[spread]:
            continue
        if spread == "assisted" and not _tells_spread(shown.value or 0.0):
            continue
        times = ((shown.high - shown.low) / 2.0 / AIM) ** 2
        return max(MIN_UNITS, math.ceil(known.n * times - 1e-9)), spread
    return math.ceil((_Z * MOST_SPREAD / AIM) ** 2), "bound"


def _tells_spread(value: float) -> bool:
    """Tell whether assisted images can differ enough to say how control images do.

    Where reviewers leave nearly all that the model shows them, their images are alike however good it is: so
    close to an end of [0, 1], that end makes the spread, and not the model.
    """
    return min(value, 1.0 - value) >= AIM - 1e-9
