"""A look at one new task while the others are sent: whether its page shows the image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from detseg.pipeline.pushing.report import ImageOutcome


def checked(outcomes: Iterable[ImageOutcome], check: Callable[[int], None]) -> Iterator[ImageOutcome]:
    """The outcomes as they come, while the task of the first new one is checked beside them.

    Raises what the check raises as soon as it is known, because the rest would be no better.
    """
    check_of_one: Future[None] | None = None
    with ThreadPoolExecutor(1) as aside:
        for outcome in outcomes:
            if check_of_one is None:
                if outcome.status == "pushed" and outcome.task_id is not None:
                    check_of_one = aside.submit(copy_context().run, check, outcome.task_id)
            elif check_of_one.done():
                check_of_one.result()
            yield outcome
    if check_of_one is not None:
        check_of_one.result()
