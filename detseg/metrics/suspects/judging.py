"""Whether what a rule found is unusual for the project: then the finding stands, and how surely."""

from __future__ import annotations

from detseg.metrics.suspects.options import SuspectOptions, sureness
from detseg.metrics.suspects.usual import ENOUGH, Observation, Usual

_LOW, _MIDDLE, _HIGH = 0.16, 0.5, 0.84
"""The middle, and one standard deviation below and above it for figures that are spread normally."""
_FEWEST = 0.10
"""Of a class's regions no more than this can be unusual."""
_LEAST_SURE = 0.05
"""The share of its right regions that have a lower score than the model is sure from."""
_FAR_BELOW = 4.0
"""Standard deviations below the middle: by chance one in 30,000 lies there, and more of long tails."""
_FAR_OFF = 5.0
"""The same above it, for distances, which have the longer tail there."""
_UNKNOWN_ROUGH = 0.22
_UNKNOWN_OFFSET = 0.3
"""What is far where too few are known."""
_FAR_ABOVE = 1.5
"""Of roughness, standard deviations above the 84th percentile: chance is rougher than threads of bolts."""


def judge(one: Observation, usual: Usual, options: SuspectOptions) -> float | None:
    """Return how sure an unusual figure makes a rule, in [0.5, 1]; None where it is as usual."""
    match one.measure:
        case "overlap":
            return _below(one.value, _least_usual(one, usual, options.badly_placed, options.same_iou), 0.4)
        case "offset":
            return _above(one.value, _most_usual(one, usual, options.offset), 0.25)
        case "smoothness":
            return _below(one.value, _least_usual(one, usual, options.smoothed, options.smoothed), 0.35)
        case "roughness":
            return _above(one.value, _roughest(one, usual, options), 0.25)
        case "undrawn" | "denied":
            return _mistaken(one, usual, options)
        case "seen":
            n_unseen, n = usual.zeros("seen", one.label)
            share = (n_unseen + 0.1 * ENOUGH) / (n + ENOUGH)
            return _below(share, options.most_unseen, options.most_unseen)
        case "holed":
            n_whole, n = usual.zeros("holed", one.label)
            holed = (n - n_whole) / n if n >= ENOUGH else 1.0
            return _below(holed, options.most_holed, options.most_holed)
        case "drawn" | "agreed":
            return None


def _mistaken(one: Observation, usual: Usual, options: SuspectOptions) -> float | None:
    """The chance that people are wrong and not the model, of a region of which it is sure.

    What people overlook or mislabel does not depend on the model's score; what the model gets wrong has low
    scores. So people's mistakes are as frequent at every score as at the highest ones, and the rest of what
    they did not confirm is the model's.
    """
    if one.value < sure_score(one.label, usual, options):
        return None
    is_undrawn = one.measure == "undrawn"
    share = usual.as_often("drawn" if is_undrawn else "agreed", one.measure, one.value)
    return share if share >= (options.least_share if is_undrawn else options.least_wrong_share) else None


def sure_score(label: str, usual: Usual, options: SuspectOptions) -> float:
    """The score from which the model is sure of a class: lower where its right regions have lower ones."""
    known = usual.quantiles("drawn", label, None, (_LEAST_SURE,))
    if known is None:
        return options.sure_score
    return min(max(known[0], options.least_sure_score), options.sure_score)


def _least_usual(one: Observation, usual: Usual, most: float, unknown: float) -> float:
    """The figure below which one is far from the others of its class and size, ``most`` at most."""
    known = usual.quantiles(one.measure, one.label, one.octave, (_FEWEST, _LOW, _MIDDLE))
    if known is None:
        return unknown
    fewest, low, middle = known
    return min(most, fewest, middle - _FAR_BELOW * (middle - low))


def _most_usual(one: Observation, usual: Usual, least: float) -> float:
    """The figure above which one is far from the others of its class and size, ``least`` at least."""
    known = usual.quantiles(one.measure, one.label, one.octave, (_MIDDLE, _HIGH, 1 - _FEWEST))
    if known is None:
        return _UNKNOWN_OFFSET
    middle, high, most = known
    return max(least, most, middle + _FAR_OFF * (high - middle))


def _roughest(one: Observation, usual: Usual, options: SuspectOptions) -> float:
    known = usual.quantiles("roughness", one.label, None, (_MIDDLE, _HIGH))
    if known is None:
        return max(options.rough, _UNKNOWN_ROUGH)
    middle, high = known
    return max(options.rough, high + _FAR_ABOVE * (high - middle))


def _below(value: float, even: float, far: float) -> float | None:
    return sureness(value, even=even, certain=even - far) if value < even else None


def _above(value: float, even: float, far: float) -> float | None:
    return sureness(value, even=even, certain=even + far) if value > even else None
