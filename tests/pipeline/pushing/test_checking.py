"""One new task is looked at beside the others, and what is wrong with it ends the push."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from detseg.errors import LabelStudioError
from detseg.pipeline.pushing.delivery import checked
from detseg.pipeline.pushing.report import ImageOutcome, Status
from tests.pipeline.pushing.targets import payloads

REF = payloads(1)[0].ref


def outcomes(*statuses: Status) -> list[ImageOutcome]:
    return [ImageOutcome(REF, status, number) for number, status in enumerate(statuses)]


def broken(task: int) -> None:
    raise LabelStudioError(f"the image of task {task} does not load")


@pytest.mark.parametrize(
    ("some", "looked_at"),
    [
        (outcomes(), []),
        (outcomes("present", "added", "refused"), []),
        (outcomes("present", "added", "pushed", "pushed"), [2]),
        ([ImageOutcome(REF, "pushed"), *outcomes("pushed")], [0]),
    ],
)
def test_the_first_new_task_is_looked_at_once(some: list[ImageOutcome], looked_at: list[int]) -> None:
    seen: list[int] = []
    assert list(checked(some, seen.append)) == some
    assert seen == looked_at


def test_the_others_go_on_meanwhile() -> None:
    went_on = threading.Event()

    def check(_: int) -> None:
        assert went_on.wait(10)  # would time out if the others waited

    for number, _ in enumerate(checked(outcomes("pushed", "pushed"), check)):
        if number == 1:
            went_on.set()


def test_what_is_wrong_with_the_last_is_said_too() -> None:
    with pytest.raises(LabelStudioError, match="task 0 does not load"):
        list(checked(outcomes("pushed"), broken))


def test_what_is_wrong_ends_it_before_the_rest_is_sent() -> None:
    def without_end() -> Iterator[ImageOutcome]:
        for _ in range(10**7):
            yield ImageOutcome(REF, "pushed", 7)
        raise AssertionError("nothing ended it")

    with pytest.raises(LabelStudioError, match="task 7 does not load"):
        for _ in checked(without_end(), broken):
            pass
