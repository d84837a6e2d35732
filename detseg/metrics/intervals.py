"""Intervals of 95 % for shares and other statistics, and the rule by which there is too little data.

Images are drawn, not regions: regions of one image resemble each other, so whatever is counted by region or
by second is resampled, or corrected, image by image.

A figure is told (``Estimate.value`` is not None) from 10 units on, however wide its interval is: figures that
are told because their interval is narrow are the lucky ones, and their intervals hold the truth less often
than they say. ``Rough.n_more`` aims at an interval at most 0.30 wide (shares) or 1.6 times as wide as the
figure is large (others), limits by which the US National Center for Health Statistics publishes: 0.30 from
Parker et al., "Data Presentation Standards for Proportions", Vital and Health Statistics 2(175), 2017; 10 and
1.6 from "... for Rates and Counts", 2(200), 2023. ``make coverage`` measures how often intervals hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrik, ndtri, stdtrit

Floats = npt.NDArray[np.float64]

Scale = Literal["share", "relative"]
"""The scale of an interval's width: in points, or as a multiple of the value."""

LEVEL = 0.95
"""The share of intervals that hold the true value."""

MIN_UNITS = 10
"""Fewer images (or trials) than this make no figure."""

MAX_SHARE_WIDTH = 0.30
"""One can act on an interval of a share that is as narrow."""

MAX_RELATIVE_WIDTH = 1.6
"""One can act on an interval of another statistic that is as narrow, as a multiple of its value."""

AIM = 0.05
"""``n_needed`` units give about this much to either side: points of a share, else parts of the value."""

_Z = float(ndtri((1.0 + LEVEL) / 2.0))
_HOPELESS = 1000.0  # times the data at hand: how much is needed is not known then


@dataclass(frozen=True, slots=True)
class Rough:
    """A figure from too little data to act on, with its 95 % interval, however wide."""

    value: float
    low: float
    high: float
    n_more: int | None
    """units beyond those at hand with which it can be acted on; None where that is unknown"""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval. Undefined or from too little data: value, low and high are None."""

    value: float | None
    """the statistic of the data at hand"""
    low: float | None
    """lower end of the 95 % interval, at most ``value``"""
    high: float | None
    """upper end of the 95 % interval, at least ``value``"""
    n: int
    """the units that it rests on: images, or trials of a plain share"""
    n_needed: int | None
    """units for an interval of +-5 points of a share, or +-5 % of the value; None where that is unknown"""
    rough: Rough | None = None
    """what is known of a figure from too little data; None where it is told, or undefined"""


UNKNOWN = Estimate(None, None, None, 0, None)
"""The estimate from nothing."""


def wilson(successes: int, n: int) -> Estimate:
    """The share ``successes / n`` in [0, 1] of independent trials.

    Wilson's score interval: good from few trials on and inside [0, 1] (Wilson 1927; recommended by Brown, Cai
    and DasGupta, "Interval estimation for a binomial proportion", 2001).

    >>> share = wilson(90, 100)
    >>> share.value, round(share.low, 3), round(share.high, 3), share.n_needed
    (0.9, 0.826, 0.945, 141)
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes are 0 to {n}, not {successes}")
    return (
        _share(successes / n, n, n_effective=float(n)) if n else Estimate(None, None, None, 0, _needed(0.5))
    )


def wilson_by_image(successes: npt.ArrayLike, trials: npt.ArrayLike) -> Estimate:
    """The share of successes in all trials, in [0, 1], where trials of one image resemble each other.

    Both have shape (n_images,); images without trials do not count. See ``bounds_by_image``.

    >>> all_kept = wilson_by_image([40] * 20, [40] * 20)
    >>> all_kept.value, round(all_kept.low, 3), all_kept.high
    (1.0, 0.831, 1.0)
    """
    k, m = _with_trials(successes, trials)
    n = len(m)
    if not n:
        return wilson(0, 0)
    share = float(k.sum() / m.sum())
    low, high = bounds_by_image(k, m)
    each = effective_trials(k, m) / n or 1.0  # independent trials that an image brings
    unseen = abs(2.0 * share - 1.0) * -math.log((1.0 - LEVEL) / 2.0) / (2.0 * AIM)  # about unseen_share's
    needed = max(MIN_UNITS, math.ceil(_needed(share) / each), math.ceil(unseen))
    return _enough(share, low, high, n=n, n_needed=needed, limit=MAX_SHARE_WIDTH)


def mean_by_image(
    totals: npt.ArrayLike, counts: npt.ArrayLike, *, within: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """The mean of values in ``within`` that images have several of: the sum of totals / the sum of counts.

    Both have shape (n_images,); images with a count of 0 do not count. See ``bounds_by_image``, of which it
    differs in that values may differ less than successes and failures do.

    >>> iou = mean_by_image([3.6, 4.5, 0.9] * 20, [4, 5, 1] * 20, within=(0.5, 1.0))
    >>> round(iou.value, 3), round(iou.low, 3), round(iou.high, 3)
    (0.9, 0.882, 0.9)
    """
    (sums, n_values), (least, most) = _with_trials(totals, counts), within
    n = len(n_values)
    if not n:
        return UNKNOWN
    parts = np.clip((sums - least * n_values) / (most - least), 0.0, n_values)
    low, high = (least + (most - least) * end for end in bounds_by_image(parts, n_values, binary=False))
    value = float(sums.sum() / n_values.sum())
    return told(value, min(low, value), max(high, value), n=n, scale="share")


def events_by_image(events: npt.ArrayLike, trials: npt.ArrayLike, units: npt.ArrayLike) -> Estimate:
    """The number of events per unit: changed regions (of all regions, the trials) per review (the unit).

    All have shape (n_images,); images without units do not count. It is the share of events in the trials,
    times the trials per unit: the interval is that of both (``bounds_by_image``; the jackknife), put together
    by MOVER. Where no image has trials, others may have one. ``n`` counts images.

    >>> events_by_image([0, 2, 1] * 20, [9, 8, 10] * 20, [1, 1, 1] * 20).value
    1.0
    """
    e, m, u = (np.asarray(column, dtype=np.float64) for column in (events, trials, units))
    e, m, u = e[u > 0], m[u > 0], u[u > 0]
    n = len(u)
    if n < 2:
        return Estimate(None, None, None, n, None)
    if not m.any():
        return told(0.0, 0.0, unseen_share(n), n=n, scale="relative")
    share, per_unit = float(e.sum() / m.sum()), float(m.sum() / u.sum())
    low, high = bounds_by_image(e[m > 0], m[m > 0])
    left_out = (m - per_unit * u) / (u.sum() - u)
    error = math.sqrt(float((left_out**2).sum()) * (n - 1) / n) * float(stdtrit(n - 1, (1.0 + LEVEL) / 2.0))
    value, of_units = float(e.sum() / u.sum()), share * error
    low = max(value - math.hypot(per_unit * (share - low), of_units), 0.0)
    high = value + math.hypot(per_unit * (high - share), of_units)
    return told(value, low, high, n=n, scale="relative")


def bounds_by_image(
    successes: Floats, trials: Floats, *, level: float = LEVEL, binary: bool = True
) -> tuple[float, float]:
    """The interval of a share of trials, of which every image has some: (n_images,) both.

    Two uncertainties are combined:

    - what the images at hand say: Wilson's interval at the effective number of trials (see
      ``effective_trials``);
    - what they cannot say. Where an image in twenty fails with all its regions, twenty images look perfect in
      one case of three. That nothing like it was seen on n images leaves a share of up to
      ``unseen_share(n)`` of them; they would draw the share by ``2 * share - 1`` of that towards the far end,
      as images that are all wrong draw it down and images that are all right draw it up.

    They are put together as Zou and Donner do, "Construction of confidence limits about effect measures: a
    general approach", Statistics in Medicine 27, 2008 (MOVER): the root of the sum of their squares. The
    other end is Wilson's alone. Wilson's interval at the effective number of trials: Kish, "Survey
    Sampling", 1965; Korn and Graubard, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data", 1998; Franco et al. 2019.

    ``binary`` says that a trial succeeds or fails; else it has any value from 0 to 1.
    """
    share = float(successes.sum() / trials.sum())
    effective = effective_trials(successes, trials, level=level, binary=binary)
    low, high = wilson_bounds(share, effective, level=level)
    pull = (2.0 * share - 1.0) * unseen_share(len(trials), level=level)
    if pull > 0.0:
        return max(share - math.hypot(share - low, pull), 0.0), high
    return low, min(share + math.hypot(high - share, pull), 1.0)


def unseen_share(n: int, *, level: float = LEVEL) -> float:
    """The largest share of images that are as likely as not to be missing among ``n``, at that level.

    The upper end of Clopper and Pearson's interval for none of n ("The use of confidence or fiducial limits",
    1934): the rule of three, exactly and on one of two sides.

    >>> round(unseen_share(20), 3)
    0.168
    """
    return 1.0 - ((1.0 - level) / 2.0) ** (1.0 / n) if n else 1.0


def effective_trials(
    successes: Floats, trials: Floats, *, level: float = LEVEL, binary: bool = True
) -> float:
    """Return how many independent trials tell as much as these of ``bounds_by_image``; 0 to all of them.

    Those at hand, divided by the design effect: how much the share varies between images, against what
    independent trials would do, with Student's t for few images; at least 1 for ``binary`` trials. Every
    image has trials. One image alone tells nothing about how images differ: 0.
    """
    n, n_trials = len(trials), float(trials.sum())
    if n < 2:
        return 0.0
    share = float(successes.sum()) / n_trials
    independent = share * (1.0 - share) / n_trials
    if independent <= 0.0:
        return n_trials
    quantile = (1.0 + level) / 2.0
    few_images = (float(stdtrit(n - 1, quantile)) / float(ndtri(quantile))) ** 2
    between = float(((successes - share * trials) ** 2).sum()) / n_trials**2 * n / (n - 1)
    design_effect = between / independent * few_images
    return n_trials / max(design_effect, 1.0 if binary else 1e-6)


def _with_trials(successes: npt.ArrayLike, trials: npt.ArrayLike) -> tuple[Floats, Floats]:
    k, m = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    return k[m > 0], m[m > 0]


def wilson_bounds(share: float, n: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval of a share of ``n`` trials, which need not be whole; (0, 1) for none."""
    if n <= 0.0:
        return 0.0, 1.0
    z = float(ndtri((1.0 + level) / 2.0))
    centre = (share + z**2 / (2.0 * n)) / (1.0 + z**2 / n)
    half = z / (1.0 + z**2 / n) * math.sqrt(share * (1.0 - share) / n + z**2 / (4.0 * n**2))
    return min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)


def median_of(values: Floats) -> Estimate:
    """The median, with the interval between two of the values that holds for any distribution.

    Fewer than six values have no such interval: their smallest and largest miss the median in one case of 16
    and more. Source: Conover, "Practical Nonparametric Statistics", 1999, 3.2 (an interval for a quantile).
    """
    n = len(values)
    if 2.0 * 0.5**n > 1.0 - LEVEL:
        return Estimate(None, None, None, n, None)
    ordered = np.sort(values)
    rank = int(bdtrik((1.0 - LEVEL) / 2.0, n, 0.5))  # so many values at either end are outside
    low, high = float(ordered[rank]), float(ordered[n - 1 - rank])
    return told(float(np.median(ordered)), low, high, n=n, scale="relative")


def told(
    value: float,
    low: float,
    high: float,
    *,
    n: int,
    scale: Scale,
    max_width: float | None = None,
    enough: bool = True,
) -> Estimate:
    """The estimate of a statistic whose interval narrows with the square root of its n images.

    Undefined where an end is not finite, and where the rule of this module says that the data is too little;
    ``max_width`` is the width to act on, if not the rule's; ``enough`` says whether its parts, too, are seen
    on enough images.
    """
    if not all(map(math.isfinite, (value, low, high))):
        return Estimate(None, None, None, n, None)
    size = 1.0 if scale == "share" else abs(value)
    limit = max_width or (MAX_SHARE_WIDTH if scale == "share" else MAX_RELATIVE_WIDTH * size)
    half = (high - low) / 2.0
    times = (half / (AIM * size)) ** 2 if size else math.inf  # as many images as there are
    needed = max(MIN_UNITS, math.ceil(n * times)) if times < _HOPELESS else None
    if not enough:
        return Estimate(None, None, None, n, needed, Rough(value, low, high, None))
    return _enough(value, low, high, n=n, n_needed=needed, limit=limit)


def mapped(estimate: Estimate, increasing: Callable[[float], float]) -> Estimate:
    """Another figure that follows from an estimate's: larger where it is larger, of the same data.

    Undefined where one of its ends is not finite.
    """
    known = estimate.rough or estimate
    if known.value is None or known.low is None or known.high is None:
        return estimate
    ends = (increasing(known.value), increasing(known.low), increasing(known.high))
    if not all(map(math.isfinite, ends)):
        return Estimate(None, None, None, estimate.n, None)
    if estimate.rough is not None:
        return replace(estimate, rough=Rough(*ends, estimate.rough.n_more))
    return Estimate(*ends, estimate.n, estimate.n_needed)


def _share(share: float, n: int, *, n_effective: float) -> Estimate:
    low, high = wilson_bounds(share, n_effective)
    each = n_effective / n if n_effective else 1.0  # independent trials that a unit brings
    needed = max(MIN_UNITS, math.ceil(_needed(share) / each))
    return _enough(share, low, high, n=n, n_needed=needed, limit=MAX_SHARE_WIDTH)


def _enough(value: float, low: float, high: float, *, n: int, n_needed: int | None, limit: float) -> Estimate:
    if n < MIN_UNITS:
        return Estimate(None, None, None, n, n_needed, Rough(value, low, high, _n_more(n, high - low, limit)))
    return Estimate(value, low, high, n, n_needed)


def _n_more(n: int, width: float, limit: float) -> int | None:
    """Units beyond those at hand until there are enough, and the interval is as narrow as the limit."""
    times = (width / limit) ** 2 if limit else math.inf
    return max(MIN_UNITS, math.ceil(n * times)) - n if times < _HOPELESS else None


def _needed(share: float) -> int:
    """The fewest trials for a Wilson interval of at most +-5 points around this share."""
    spread = _Z**2 * share * (1.0 - share)
    # half(n)^2 <= AIM^2, with x = n + z^2:  AIM^2 x^2 - spread x - z^4 (1/4 - share (1 - share)) >= 0
    rest = _Z**4 / 4.0 - spread * _Z**2
    x = (spread + math.sqrt(spread**2 + 4.0 * AIM**2 * rest)) / (2.0 * AIM**2)
    return max(MIN_UNITS, math.ceil(x - _Z**2 - 1e-9))
