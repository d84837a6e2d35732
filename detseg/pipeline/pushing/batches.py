"""Parcels in batches of bounded bytes and number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from detseg.pipeline.pushing.delivery import Work
from detseg.pipeline.pushing.encoding import Parcel
from detseg.pipeline.pushing.report import ImageOutcome
from detseg.pipeline.pushing.turns import Turns

Send = Callable[[Sequence[Parcel], Turns], Iterable[ImageOutcome]]

_FIRST, _GROWTH = 25, 2


class Packer:
    """Collects parcels, and answers the work of sending them whenever a batch is full.

    The first batch is small, so that the server soon has work. Each may be twice as large as the one before:
    it is made while the server works on that, which takes about twice as long as making it. A parcel that is
    larger than a batch may be travels alone.
    """

    def __init__(self, send: Send, *, n_most: int, n_bytes_most: int) -> None:
        self._send = send
        self._n_now, self._n_most, self._n_bytes_most = min(_FIRST, n_most), n_most, n_bytes_most
        self._parcels: list[Parcel] = []
        self._n_bytes = 0

    def add(self, parcel: Parcel) -> Iterator[Work]:
        """The batch that is full without this parcel, if there is one."""
        if len(self._parcels) == self._n_now or self._n_bytes + len(parcel.body) > self._n_bytes_most:
            yield from self.flush()
        self._parcels.append(parcel)
        self._n_bytes += len(parcel.body) + 1

    def flush(self) -> Iterator[Work]:
        """What is left."""
        if self._parcels:
            yield partial(self._send, tuple(self._parcels))
            self._n_now = min(_GROWTH * self._n_now, self._n_most)
        self._parcels, self._n_bytes = [], 0
