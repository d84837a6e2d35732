"""How sure a figure is: 95 % intervals of shares and of other statistics, and when there is too little data.

Images are drawn, not regions: regions of one image resemble each other, so whatever is counted by region or
by second is resampled, or corrected, image by image.

A figure is told (``Estimate.value`` is not None) from 10 units on and while its interval is at most 0.30 wide
(shares) or 1.6 times as wide as the figure is large (others). These are the limits of the US National Center
for Health Statistics: Parker et al., "Data Presentation Standards for Proportions", Vital and Health
Statistics 2(175), 2017, and "... for Rates and Counts", 2(200), 2023. A wider interval tells nothing that one
could act on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrik, ndtr, ndtri, stdtrit

Floats = npt.NDArray[np.float64]

Scale = Literal["share", "relative"]
"""Whether the width of an interval is told in points or as a multiple of the value."""

LEVEL = 0.95
"""The share of intervals that hold the true value."""

MIN_UNITS = 10
"""Fewer images (or trials) than this make no figure."""

MAX_SHARE_WIDTH = 0.30
"""Wider intervals of a share make no figure."""

MAX_RELATIVE_WIDTH = 1.6
"""Wider intervals of another statistic, as a multiple of its value, make no figure."""

AIM = 0.05
"""``n_needed`` units give about this much to either side: points of a share, else parts of the value."""

_Z = float(ndtri((1.0 + LEVEL) / 2.0))
_HOPELESS = 1000.0  # times the data at hand: how much is needed is not known then
_CHUNK = 2_000_000  # resampled images at once: 16 MB of indices


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

    Both have shape (n_images,); images without trials do not count. Wilson's interval at the effective number
    of trials: those at hand, divided by the design effect (how much the share varies between images, against
    what independent trials would do; at least 1), and corrected for few images by Student's t. Sources: Kish,
    "Survey Sampling", 1965; Korn and Graubard, "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data", 1998; Franco et al. 2019 for its use with Wilson's.
    """
    k, m = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    k, m = k[m > 0], m[m > 0]
    n = len(m)
    if not n:
        return wilson(0, 0)
    share = float(k.sum() / m.sum())
    return _share(share, n, n_effective=effective_trials(k, m))


def effective_trials(successes: Floats, trials: Floats) -> float:
    """How many independent trials tell as much as these of ``wilson_by_image``; 0 to all of them.

    Every image has trials. One image alone tells nothing about how images differ: 0.
    """
    n, n_trials = len(trials), float(trials.sum())
    if n < 2:
        return 0.0
    share = float(successes.sum()) / n_trials
    independent = share * (1.0 - share) / n_trials
    between = float(((successes - share * trials) ** 2).sum()) / n_trials**2 * n / (n - 1)
    design_effect = max(1.0, between / independent) if independent > 0.0 else 1.0
    few_images = (_Z / float(stdtrit(n - 1, (1.0 + LEVEL) / 2.0))) ** 2
    return n_trials / design_effect * few_images


def wilson_bounds(share: float, n: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval of a share of ``n`` trials, which need not be whole; (0, 1) for none."""
    if n <= 0.0:
        return 0.0, 1.0
    z = float(ndtri((1.0 + level) / 2.0))
    centre = (share + z**2 / (2.0 * n)) / (1.0 + z**2 / n)
    half = z / (1.0 + z**2 / n) * math.sqrt(share * (1.0 - share) / n + z**2 / (4.0 * n**2))
    return min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)


def difference_bounds(
    before: tuple[float, float], after: tuple[float, float], *, level: float = LEVEL
) -> tuple[float, float]:
    """The interval of the second share minus the first, each given with its (effective) number of trials.

    Newcombe's hybrid score interval ("Interval estimation for the difference between independent
    proportions", 1998, method 10). In [-1, 1].

    >>> low, high = difference_bounds((48 / 80, 80), (56 / 70, 70))
    >>> round(low, 4), round(high, 4)
    (0.0524, 0.3339)
    """
    (a, b), (a_low, a_high) = (before[0], after[0]), wilson_bounds(*before, level=level)
    b_low, b_high = wilson_bounds(*after, level=level)
    return b - a - math.hypot(b - b_low, a_high - a), b - a + math.hypot(b_high - b, a - a_low)


def bootstrap(
    statistic: Callable[..., Floats],
    *samples: npt.ArrayLike,
    seed: int,
    n_resamples: int = 1000,
    scale: Scale = "relative",
) -> Estimate:
    """A statistic of sums over images, with the interval that resampling the images gives.

    Each sample has shape (n_images, k): what each image adds to ``k`` sums, with a column of ones where
    images are to be counted. Samples are independent of each other (arms, strata) and resampled on their own.
    ``statistic`` takes the sums of each sample, shape (R, k), and answers (R,); NaN where it is undefined.
    ``scale`` says how wide an interval may be: in points (``share``) or relative to the value. ``n`` is that
    of the smallest sample. BCa: bias-corrected and accelerated (Efron, "Better bootstrap confidence
    intervals", 1987; the acceleration of several samples as in Efron and Tibshirani, 1993, by jackknife).

    >>> seconds = [[2.0 + i % 5, 1.0] for i in range(100)]
    >>> mean = bootstrap(lambda sums: sums[:, 0] / sums[:, 1], seconds, seed=1)
    >>> mean.value, round(mean.low, 1), round(mean.high, 1)
    (4.0, 3.7, 4.3)
    """
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]
    n = min((len(array) for array in arrays), default=0)
    if n < 2:
        return Estimate(None, None, None, n, None)
    rng = np.random.default_rng(seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(*(array.sum(axis=0)[None] for array in arrays))[0])
        drawn = statistic(*(resampled_sums(array, rng, n_resamples) for array in arrays))
        left_out = _jackknife(statistic, arrays)
    low, high = _bca(value, drawn, left_out)
    return told(value, low, high, n=n, scale=scale)


def bootstrap_ratios(
    numerators: npt.ArrayLike, denominators: npt.ArrayLike, *, seed: int, n_resamples: int = 1000
) -> tuple[Estimate, ...]:
    """Many ratios of sums over the same images, each with the interval of ``bootstrap``; None where 0 / 0.

    Both have shape (n_images, k); the answer has ``k`` estimates, whose ``n`` are the images with a
    denominator.
    """
    up, down = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    n_images, k = up.shape
    if not n_images:
        return (UNKNOWN,) * k
    total_up, total_down = up.sum(axis=0), down.sum(axis=0)
    sums = resampled_sums(np.concatenate([up, down], axis=1), np.random.default_rng(seed), n_resamples)
    with np.errstate(divide="ignore", invalid="ignore"):
        values, drawn = total_up / total_down, sums[:, :k] / sums[:, k:]
        left_out = (total_up - up) / (total_down - down)
    found: list[Estimate] = []
    for j in range(k):
        n = int(np.count_nonzero(down[:, j]))
        low, high = _bca(values[j], drawn[:, j], [left_out[:, j]]) if n > 1 else (math.nan, math.nan)
        found.append(told(float(values[j]), low, high, n=n, scale="relative"))
    return tuple(found)


def never(n: int) -> Estimate:
    """The frequency of what was not seen once in ``n`` images: 0, to 3 / n at most.

    The rule of three (Hanley and Lippman-Hand, "If nothing goes wrong, is everything all right?", 1983):
    resampling zeros gives zeros.
    """
    return _enough(0.0, 0.0, 3.0 / n, n=n, n_needed=math.ceil(3.0 / AIM), limit=math.inf) if n else UNKNOWN


def bootstrap_t(
    statistic: Callable[..., tuple[Floats, Floats]], *samples: npt.ArrayLike, seed: int, n_resamples: int
) -> tuple[float, float, float]:
    """A statistic and its interval, for few and skewed data, where ``bootstrap`` is too sure of itself.

    As ``bootstrap``, but ``statistic`` answers its standard errors beside its values; the interval comes from
    how many of its own standard errors each resample is off. Give a statistic whose spread does not depend on
    its value: the log of a ratio, not the ratio. NaN where undefined. Sources: Efron and Tibshirani, "An
    Introduction to the Bootstrap", 1993, 12.5; the quantiles are as far out as Student's t for so many images
    (Hesterberg, "What teachers should know about the bootstrap", 2015: expanded percentiles).
    """
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]
    if min(map(len, arrays)) < 2:
        return math.nan, math.nan, math.nan
    rng = np.random.default_rng(seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        value, error = (float(a[0]) for a in statistic(*(array.sum(axis=0)[None] for array in arrays)))
        drawn, errors = statistic(*(resampled_sums(array, rng, n_resamples) for array in arrays))
        off = (drawn - value) / errors
    off = off[np.isfinite(off)]
    if len(off) < 0.95 * n_resamples:
        return value, math.nan, math.nan
    n = min(map(len, arrays))
    outside = float(ndtr(-math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1.0 + LEVEL) / 2.0)))
    low, high = np.quantile(off, [outside, 1.0 - outside])
    return value, value - float(high) * error, value - float(low) * error


def median_of(values: Floats) -> Estimate:
    """The median, with the interval between two of the values that holds for any distribution.

    Source: Conover, "Practical Nonparametric Statistics", 1999, 3.2 (an interval for a quantile).
    """
    n = len(values)
    if n < MIN_UNITS:
        return Estimate(None, None, None, n, None)
    ordered = np.sort(values)
    rank = int(bdtrik((1.0 - LEVEL) / 2.0, n, 0.5))  # so many values at either end are outside
    low, high = float(ordered[rank]), float(ordered[n - 1 - rank])
    return told(float(np.median(ordered)), low, high, n=n, scale="relative")


def resampled_sums(sample: Floats, rng: np.random.Generator, n_resamples: int) -> Floats:
    """The column sums of ``n_resamples`` draws of all rows with replacement: (n_images, k) to (R, k)."""
    return np.concatenate([counts @ sample for counts in resampled_counts(len(sample), rng, n_resamples)])


def resampled_counts(n: int, rng: np.random.Generator, n_resamples: int) -> Iterator[Floats]:
    """How often each of ``n`` images is in each resample: blocks of shape (at most R, n), R rows in all."""
    step = max(1, _CHUNK // max(n, 1))
    for start in range(0, n_resamples, step):
        rows = min(step, n_resamples - start)
        drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def told(
    value: float, low: float, high: float, *, n: int, scale: Scale, max_width: float | None = None
) -> Estimate:
    """The estimate of a statistic whose interval narrows with the square root of its n images.

    Undefined where an end is not finite, and where the rule of this module says that the data is too little;
    ``max_width`` is a limit of the interval other than the rule's.
    """
    if not all(map(math.isfinite, (value, low, high))):
        return Estimate(None, None, None, n, None)
    size = 1.0 if scale == "share" else abs(value)
    limit = max_width or (MAX_SHARE_WIDTH if scale == "share" else MAX_RELATIVE_WIDTH * size)
    half = (high - low) / 2.0
    times = (half / (AIM * size)) ** 2 if size else math.inf  # as many images as there are
    needed = max(MIN_UNITS, math.ceil(n * times)) if times < _HOPELESS else None
    return _enough(value, low, high, n=n, n_needed=needed, limit=limit)


def mapped(estimate: Estimate, increasing: Callable[[float], float]) -> Estimate:
    """Another figure that follows from an estimate's: larger where it is larger, of the same data."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    ends = (increasing(estimate.value), increasing(estimate.low), increasing(estimate.high))
    return Estimate(*ends, estimate.n, estimate.n_needed)


def say_missing(estimate: Estimate, unit: str = "image") -> str:
    """What stands in place of a figure that is not told, for people.

    >>> say_missing(Estimate(None, None, None, 12, 57))
    'n/a (12 images; 57 are needed for ±5 %)'
    >>> say_missing(Estimate(None, None, None, 1, 1234), "region")
    'n/a (1 region; 1,300 are needed for ±5 %)'
    >>> say_missing(UNKNOWN)
    'n/a'
    """
    if estimate.n_needed is None:
        return f"n/a ({_count(estimate.n, unit)})" if estimate.n else "n/a"
    return f"n/a ({_count(estimate.n, unit)}; {_two_digits_up(estimate.n_needed):,} are needed for ±5 %)"


def _share(share: float, n: int, *, n_effective: float) -> Estimate:
    low, high = wilson_bounds(share, n_effective)
    each = n_effective / n if n_effective else 1.0  # independent trials that a unit brings
    needed = max(MIN_UNITS, math.ceil(_needed(share) / each))
    return _enough(share, low, high, n=n, n_needed=needed, limit=MAX_SHARE_WIDTH)


def _enough(value: float, low: float, high: float, *, n: int, n_needed: int | None, limit: float) -> Estimate:
    if n < MIN_UNITS or high - low > limit:
        return Estimate(None, None, None, n, n_needed)
    return Estimate(value, low, high, n, n_needed)


def _needed(share: float) -> int:
    """The fewest trials for a Wilson interval of at most +-5 points around this share."""
    spread = _Z**2 * share * (1.0 - share)
    # half(n)^2 <= AIM^2, with x = n + z^2:  AIM^2 x^2 - spread x - z^4 (1/4 - share (1 - share)) >= 0
    rest = _Z**4 / 4.0 - spread * _Z**2
    x = (spread + math.sqrt(spread**2 + 4.0 * AIM**2 * rest)) / (2.0 * AIM**2)
    return max(MIN_UNITS, math.ceil(x - _Z**2 - 1e-9))


def _jackknife(statistic: Callable[..., Floats], arrays: list[Floats]) -> list[Floats]:
    """For each sample, the statistic without each of its images: (n_images,) each."""
    totals = [array.sum(axis=0)[None] for array in arrays]
    return [
        statistic(
            *(
                totals[j] - array if i == j else np.broadcast_to(totals[j], (len(array), totals[j].shape[1]))
                for j in range(len(arrays))
            )
        )
        for i, array in enumerate(arrays)
    ]


def _bca(value: float, drawn: Floats, left_out: list[Floats]) -> tuple[float, float]:
    """The interval's ends; NaN where more than one resample in twenty is undefined."""
    defined = np.sort(drawn[np.isfinite(drawn)])
    if len(defined) < 0.95 * len(drawn):
        return math.nan, math.nan
    below = (np.sum(defined < value) + 0.5 * np.sum(defined == value)) / len(defined)
    bias = float(ndtri(np.clip(below, 0.5 / len(defined), 1.0 - 0.5 / len(defined))))
    # influences of every image on the statistic, of all samples together
    pull = np.concatenate([(np.nanmean(part) - part) * (len(part) - 1) / len(part) for part in left_out])
    pull = pull[np.isfinite(pull)]
    spread = float((pull**2).sum())
    acceleration = float((pull**3).sum()) / (6.0 * spread**1.5) if spread > 0.0 else 0.0
    z = bias + np.array([-_Z, _Z])
    ends = ndtr(bias + z / np.maximum(1.0 - acceleration * z, 1e-6))
    low, high = np.quantile(defined, ends)
    return min(float(low), value), max(float(high), value)


def _two_digits_up(n: int) -> int:
    """Rounded up to two digits: more would say more than is known."""
    step = int(10 ** max(0, len(str(n)) - 2))
    return -(-n // step) * step


def _count(n: int, unit: str) -> str:
    return f"{n:,} {unit}" if n == 1 else f"{n:,} {unit}s"
