"""Intervals of figures that are no shares: images are drawn anew from those at hand, many times.

Statistics are of sums over images, so that a resample is a product of matrices. Seeds are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from detseg.metrics.intervals import LEVEL, Estimate, told

Floats = npt.NDArray[np.float64]

_MANY_IMAGES = 1000
_NO_ERROR = 1e-6  # all values are the same
_HOPELESS = 700.0  # the logarithm of a mean that no data tells
_CHUNK = 2_000_000  # resampled images at once: 16 MB of indices


def bootstrap_t(
    statistic: Callable[..., tuple[Floats, Floats]], *samples: npt.ArrayLike, seed: int, n_resamples: int
) -> tuple[float, float, float]:
    """A statistic of sums over images and its interval, for few and skewed data.

    Each sample has shape (n_images, k): what each image adds to ``k`` sums. Samples are independent of each
    other (arms, strata) and resampled on their own. ``statistic`` takes the sums of each sample, (R, k), and
    answers its values and their standard errors, (R,) both; the interval comes from how many of its own
    standard errors each resample is off. Give a statistic whose spread does not depend on its value: the log
    of a ratio, not the ratio. NaN where undefined. Sources: Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, 12.5; the quantiles are as far out as Student's t for so many images (Hesterberg, "What
    teachers should know about the bootstrap", 2015: expanded percentiles).
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


def mean_of_skewed(sums: npt.ArrayLike, counts: npt.ArrayLike, *, seed: int) -> Estimate:
    """The mean of positive and skewed values, as seconds are: sum(sums) / sum(counts), by image: (n_images,).

    Of the logarithm of the mean: ``bootstrap_t``, from 1,000 images on Student's interval, which is the same
    there. Told from 10 images on, however wide: the width of such data says little of itself.
    """
    s, n = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    n_images = len(s)
    if n_images < 2:
        return Estimate(None, None, None, n_images, None)
    rows = np.stack([s, n, s**2, s * n, n**2], axis=1)
    value, (logs, errors) = float(s.sum() / n.sum()), _log_mean(rows.sum(axis=0)[None])
    log_value, error = float(logs[0]), float(errors[0])
    if error < _NO_ERROR or n_images >= _MANY_IMAGES:
        half = float(stdtrit(n_images - 1, (1.0 + LEVEL) / 2.0)) * error
        low, high = log_value - half, log_value + half
    else:
        _, low, high = bootstrap_t(_log_mean, rows, seed=seed, n_resamples=1000)
    ends = [math.exp(end) if end < _HOPELESS else math.inf for end in (low, high)]
    low, high = min(value, ends[0]), max(value, ends[1])
    return told(value, low, high, n=n_images, scale="relative", max_width=math.inf)


def _log_mean(sums: Floats) -> tuple[Floats, Floats]:
    """The logarithm of the mean, and its standard error: (R, 5) to (R,) both."""
    s, n, s_s, s_n, n_n = sums.T
    mean = s / n
    return np.log(mean), np.sqrt(np.maximum(s_s - 2.0 * mean * s_n + mean**2 * n_n, 0.0)) / s


def resampled_sums(sample: Floats, rng: np.random.Generator, n_resamples: int) -> Floats:
    """The column sums of ``n_resamples`` draws of all rows with replacement: (n_images, k) to (R, k)."""
    return np.concatenate([counts @ sample for counts in resampled_counts(len(sample), rng, n_resamples)])


def resampled_counts(n: int, rng: np.random.Generator, n_resamples: int) -> Iterator[Floats]:
    """Draw resamples and yield how often each of ``n`` images is in each: blocks of shape (at most R, n), R
    rows in all."""
    step = max(1, _CHUNK // max(n, 1))
    for start in range(0, n_resamples, step):
        rows = min(step, n_resamples - start)
        drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
