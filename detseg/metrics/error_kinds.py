"""Why detections are wrong, and what each reason costs (Bolya et al., "TIDE", ECCV 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

ErrorKind = Literal["class", "location", "both", "duplicate", "background", "missed"]
"""In IoU with the truth, where 0.5 is a hit and below 0.1 is background:

``class``: a hit on an object of another class; ``location``: 0.1 to 0.5 with one of its own class;
``both``: 0.1 to 0.5 with one of another class; ``duplicate``: a hit on an object that a better detection
took; ``background``: below 0.1 with everything; ``missed``: an object that no detection hit, and that no
error of class or location explains.
"""
ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)


@dataclass(frozen=True, slots=True)
class ErrorCost:
    """How often a kind of error happens, and what it costs."""

    n: int
    ap_cost: float | None
    """AP at IoU 0.5 with the errors of this kind mended, all others left, minus ap50; None without truth"""


@dataclass(frozen=True, slots=True)
class ErrorCosts:
    """All six kinds, in the order of ``ERROR_KINDS``; how often each happens in each class.

    An error belongs to the class of the detection, a missed object to its own.
    """

    ap50: float | None
    kinds: Mapping[ErrorKind, ErrorCost]
    per_class: Mapping[str, Mapping[ErrorKind, int]]
