"""The differences between two sides, found by counting: ranges of ids are halved as long as their counts
disagree.

What is equal costs one question, whatever its size; each difference costs as many as halvings lead to it.
What is one more in one place and one less in another, within one range, is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

Counts: TypeAlias = tuple[int, int, int]
"""The number of tasks, of their annotations, and of the tasks that were skipped."""

Count: TypeAlias = Callable[[int, int], Counts]
"""The counts among the ids from ``after`` (not it) to ``last``."""


def differing_ranges(
    theirs: Count, ours: Count, *, after: int, last: int, most: int
) -> Iterator[tuple[int, int]]:
    """Ranges ``(after, last]`` of ids in which the two sides count differently, ascending.

    On neither side a range has more than ``most`` tasks.
    """
    if last <= after:
        return
    there, here = theirs(after, last), ours(after, last)
    if there == here:
        return
    if max(there[0], here[0]) <= most or last - after == 1:
        yield after, last
        return
    middle = (after + last) // 2
    yield from differing_ranges(theirs, ours, after=after, last=middle, most=most)
    yield from differing_ranges(theirs, ours, after=middle, last=last, most=most)
