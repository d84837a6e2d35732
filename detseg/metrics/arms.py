"""How much less time assisted images take than control images, each person compared with themselves.

Times are skewed and the control arm is small: a few long images decide about means. So the logarithms are
compared, which are nearly symmetric, less what the work in the image says of them (``Timed.size``, a slope
per arm), and turned back into means by what both arms together say of the shape of times (Duan, "Smearing
estimate: a nonparametric retransformation method", JASA 78, 1983). For each arm, of the assisted images:

    mean = sum over people of  weight * mean(exp(slope * size)) * exp(mean(log_s - slope * size))
           * smear(spread of the arm)
    smear(s) = mean of exp(s z) over both arms, z = what is left of the logarithm / spread of its arm

with the weights of Mantel and Haenszel, n_assisted n_control / (n_assisted + n_control), which leave out
whoever was in one arm only (Rothman, Greenland and Lash, "Modern Epidemiology", 2008, chapter 15).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from detseg.metrics.intervals import LEVEL, Estimate, told

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_HOPELESS = 20.0  # the logarithm of a ratio that no data tells
_RIDGE = 0.1  # images that differ less than this in size tell no slope


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """Reviews with a time, (r,) each."""

    image: Ints
    author: Ints
    """from 0"""
    is_control: Bools
    log_s: Floats
    size: Floats
    """the logarithm of the work that the image holds, in any unit"""
    weight: Floats
    """how much of a review counts, above 0"""


def compare_arms(timed: Timed) -> Estimate:
    """1 - assisted seconds / control seconds, at most 1, told from 10 images of each arm on.

    The interval is Student's, of the logarithm of the ratio, by the influence that each image has on it
    (Hampel, "The influence curve and its role in robust estimation", JASA 69, 1974), with the degrees of
    freedom of Welch and Satterthwaite. It is told however wide.
    """
    both = np.intersect1d(timed.author[timed.is_control], timed.author[~timed.is_control])
    inside = np.isin(timed.author, both)
    n = min(len(np.unique(timed.image[inside & arm])) for arm in (timed.is_control, ~timed.is_control))
    if n < 2:
        return Estimate(None, None, None, n, None)
    parts = [_Arm(timed, inside & arm, both) for arm in (~timed.is_control, timed.is_control)]
    z, counts = (np.concatenate(arrays) for arrays in ([p.z for p in parts], [p.weight for p in parts]))
    weight = parts[0].n * parts[1].n / (parts[0].n + parts[1].n)
    sides = [part.log_mean(weight, images=parts[0], z=z, counts=counts) for part in parts]
    value = sides[0][0] - sides[1][0]
    error, freedom = _error([side[1] for side in sides], [part.freedom for part in parts])
    half = float(stdtrit(freedom, (1.0 + LEVEL) / 2.0)) * error
    return told(*map(_saved, (value, value + half, value - half)), n=n, scale="share", max_width=math.inf)


def _saved(log_ratio: float) -> float:
    return 1.0 - math.exp(log_ratio) if log_ratio < _HOPELESS else -math.inf


class _Arm:
    """One arm of people who were in both."""

    def __init__(self, timed: Timed, chosen: Bools, people: Ints) -> None:
        self.person = np.searchsorted(people, timed.author[chosen])
        self.image = np.unique(timed.image[chosen], return_inverse=True)[1]
        self.weight, self.size = timed.weight[chosen], timed.size[chosen]
        self.n = self._sums(self.weight, len(people))
        self.mean_size = self._sums(self.weight * self.size, len(people)) / self.n
        self.larger = self.size - self.mean_size[self.person]
        mean = self._sums(self.weight * timed.log_s[chosen], len(people)) / self.n
        longer = timed.log_s[chosen] - mean[self.person]
        self.much_size = float((self.weight * self.larger**2).sum()) + _RIDGE
        self.slope = float((self.weight * self.larger * longer).sum()) / self.much_size
        self.centre = mean - self.slope * self.mean_size
        above = longer - self.slope * self.larger
        self.freedom = max(float(self.weight.sum()) - len(people) - 1.0, 1.0)
        self.spread = max(math.sqrt(float((self.weight * above**2).sum()) / self.freedom), 1e-6)
        self.z = above / self.spread

    def _sums(self, values: Floats, n: int) -> Floats:
        sums: Floats = np.bincount(self.person, values, n).astype(np.float64)
        return sums

    def log_mean(self, weight: Floats, *, images: _Arm, z: Floats, counts: Floats) -> tuple[float, float]:
        """The logarithm of the weighted mean over people for those images, and its variance.

        ``z`` and ``counts`` are those of both arms. The mean of exp(an estimate) is exp(variance / 2) too
        large.
        """
        grown = images.weight * np.exp(self.slope * images.size)
        usual = images._sums(grown, len(weight)) / images.n
        usual_size = images._sums(grown * images.size, len(weight)) / images.n / usual
        parts = weight * usual * np.exp(self.centre - self.spread**2 / (2.0 * self.n))
        share = parts / parts.sum()
        smear = counts * np.exp(self.spread * z)
        by_spread = float((smear * z).sum() / smear.sum())  # the slope of log(smear)
        by_slope = float((share * (usual_size - self.mean_size)).sum())
        above, n = self.spread * self.z, self.n[self.person]
        pull = share[self.person] * above / n
        pull += by_slope * self.larger * above / self.much_size
        pull += by_spread * self.spread * (self.z**2 - 1.0) / (2.0 * self.freedom)
        # residuals of few images are too small (HC3: Long and Ervin, The American Statistician 54, 2000)
        pull *= (self.freedom + len(weight) + 1.0) / self.freedom
        by_image = np.bincount(self.image, self.weight * pull)
        value = math.log(parts.sum()) + math.log(smear.sum() / counts.sum())
        value -= (by_slope * self.spread) ** 2 / self.much_size / 2.0
        in_doubt = float((self.weight * (1.0 - self.weight) * pull**2).sum())
        return value, float((by_image**2).sum()) + in_doubt


def _error(variances: list[float], freedoms: list[float]) -> tuple[float, float]:
    """The standard error of a difference, and its degrees of freedom."""
    total = sum(variances)
    spread = sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    return math.sqrt(total), total**2 / spread if spread else math.inf
