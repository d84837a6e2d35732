"""Images that were sent and their tasks, in 41 bytes each: a push of a million must not fill the memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Literal

from detseg.types import ImageId

SentStatus = Literal["pushed", "added", "replaced"]

_STATUSES: tuple[SentStatus, ...] = ("pushed", "added", "replaced")
_TAG = "sha256:"
_DIGEST_BYTES = 32
_NO_TASK = -1


class SentImages:
    """Collects images in the order in which they were sent.

    >>> sent = SentImages()
    >>> sent.add(ImageId("sha256:" + 64 * "0"), "added", 7)
    >>> [(image[:9], status, task) for image, status, task in sent]
    [('sha256:00', 'added', 7)]
    """

    def __init__(self) -> None:
        self._digests = bytearray()
        self._statuses = array("B")
        self._tasks = array("q")

    def add(self, image: ImageId, status: SentStatus, task_id: int | None) -> None:
        """One more; without a task where it would only be sent."""
        self._digests += bytes.fromhex(image.removeprefix(_TAG))
        self._statuses.append(_STATUSES.index(status))
        self._tasks.append(_NO_TASK if task_id is None else task_id)

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[tuple[ImageId, SentStatus, int | None]]:
        for place, (status, task) in enumerate(zip(self._statuses, self._tasks, strict=True)):
            digest = self._digests[place * _DIGEST_BYTES : (place + 1) * _DIGEST_BYTES]
            yield ImageId(_TAG + digest.hex()), _STATUSES[status], None if task == _NO_TASK else task

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SentImages) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
