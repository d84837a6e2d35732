"""Which fault a seed and a number mean: the kinds in turn, their details by chance."""

from __future__ import annotations

from random import Random

from tests.e2e.faults.arena import Arena
from tests.e2e.faults.kinds import KINDS
from tests.e2e.faults.story import Verdict, tell


def strike(ground: Arena, seed: int, number: int) -> Verdict:
    """The verdict on one fault."""
    return tell(KINDS[number % len(KINDS)], ground, Random(f"{seed} {number}"))
