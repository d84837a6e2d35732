"""Many images through a predictor: reading, the forward pass and what is made of the answers overlap."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from detseg.errors import ImageError
from detseg.models.predictor import AblePredictor, StagedPredictor, predict_each
from detseg.paging import pages
from detseg.types import DecodedImage, Instance

_READERS = 2
_AHEAD = 3
"""Batches that may wait on either side of the forward pass: what bounds the memory."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Outcome = DecodedImage | ImageError


@dataclass(frozen=True, slots=True)
class _Batch(Generic[Item]):
    """Items and what reading them gave; ``prepared`` is None where the stages cannot be told apart."""

    items: tuple[Item, ...]
    read: tuple[Outcome, ...]
    prepared: Any = None

    @property
    def images(self) -> tuple[DecodedImage, ...]:
        return tuple(one for one in self.read if isinstance(one, DecodedImage))


def predict_stream(
    predictor: AblePredictor,
    items: Iterable[Item],
    *,
    read: Callable[[Item], DecodedImage],
    encode: Callable[[Item, DecodedImage, tuple[Instance, ...]], Result],
    batch_size: int,
) -> Iterator[Result | ImageError]:
    """Predict items: yield what ``encode`` makes of every answer, in order, or the ImageError met on the way.

    ``read`` (ImageError for what cannot be read) and ``encode`` run in other threads, several at once.
    However many items there are, only a few batches are in memory.
    """
    staged = predictor.staged
    size = min(batch_size, staged.window) if staged else batch_size

    def before(some: Sequence[Item]) -> _Batch[Item]:
        batch = _Batch(tuple(some), tuple(_read(read, item) for item in some))
        if staged is None or not batch.images:
            return batch
        try:
            return _Batch(batch.items, batch.read, staged.prepare(batch.images))
        except ImageError:  # one of several: which one, predict_each finds out
            return batch

    def after(batch: _Batch[Item], outputs: Any) -> list[Result | ImageError]:
        answers = iter(_finish(predictor, staged, batch.images, outputs))
        results: list[Result | ImageError] = []
        for item, image in zip(batch.items, batch.read, strict=True):
            answer = image if isinstance(image, ImageError) else next(answers)
            if isinstance(answer, ImageError) or isinstance(image, ImageError):
                results.append(cast(ImageError, answer))
            else:
                results.append(encode(item, image, answer))
        return results

    beside = _one_core() if staged and staged.window == 1 else None  # the CPU runs forward
    with (
        ThreadPoolExecutor(_READERS, initializer=beside) as readers,
        ThreadPoolExecutor(1, initializer=beside) as writer,
    ):
        waiting: deque[Future[list[Result | ImageError]]] = deque()
        for batch in _ahead(readers, before, pages(items, size)):
            outputs = _forward(staged, batch.prepared)
            waiting.append(writer.submit(after, batch, outputs))
            while len(waiting) > _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _one_core() -> Callable[[], None]:
    from detseg.models.engine import (
        stay_on_one_core,  # and with it torch, which staged predictors have loaded
    )

    return stay_on_one_core


def _read(read: Callable[[Item], DecodedImage], item: Item) -> Outcome:
    try:
        return read(item)
    except ImageError as error:
        return error


def _forward(staged: StagedPredictor | None, prepared: Any) -> Any:
    if staged is None or prepared is None:
        return None
    try:
        return staged.forward(prepared)
    except ImageError:  # as above
        return None


def _finish(
    predictor: AblePredictor, staged: StagedPredictor | None, images: tuple[DecodedImage, ...], outputs: Any
) -> Sequence[tuple[Instance, ...] | ImageError]:
    if staged is not None and outputs is not None:
        with suppress(ImageError):  # as above
            return staged.finish(images, outputs)
    return predict_each(predictor, images)


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[Sequence[Item]], Result], batches: Iterable[Sequence[Item]]
) -> Iterator[Result]:
    """The results of the work in the order of the batches; a few are worked on ahead."""
    futures: deque[Future[Result]] = deque()
    try:
        for batch in batches:
            futures.append(pool.submit(work, batch))
            if len(futures) > _AHEAD:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:  # the reader went away, or something failed: what was not begun is not done
        for future in futures:
            future.cancel()
