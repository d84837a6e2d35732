"""Which fault a seed and a number mean, and many of them side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from random import Random

from tests.e2e.faults.arena import Arena
from tests.e2e.faults.kinds import KINDS
from tests.e2e.faults.story import Verdict, tell


def strike(ground: Arena, seed: int, number: int) -> Verdict:
    """The verdict on one fault: the kinds in turn, their details by chance."""
    return tell(KINDS[number % len(KINDS)], ground, Random(f"{seed} {number}"))


def strike_all(grounds: Iterable[Arena], seed: int, numbers: Iterable[int]) -> Iterator[tuple[int, Verdict]]:
    """Faults in the order in which they end, one at a time on each ground.

    Whoever stops listening waits for those that have begun, and no more begin.
    """
    free: SimpleQueue[Arena] = SimpleQueue()
    for ground in grounds:
        free.put(ground)

    def strike_one(number: int) -> Verdict:
        ground = free.get()
        try:
            return strike(ground, seed, number)
        finally:
            free.put(ground)

    with ThreadPoolExecutor(free.qsize()) as pool:
        running: dict[Future[Verdict], int] = {pool.submit(strike_one, number): number for number in numbers}
        try:
            for ended in as_completed(running):
                yield running[ended], ended.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
