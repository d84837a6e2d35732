"""28 faults, of every kind at least one: nothing lost, nothing doubled, nothing of a person's changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

import pytest

from tests.e2e.faults.arena import Arena, arena
from tests.e2e.faults.kinds import KINDS
from tests.e2e.faults.plan import strike_all
from tests.e2e.faults.runs import Outcome
from tests.e2e.faults.story import Kind, Scene, Verdict, tell

pytestmark = pytest.mark.postgres

N_FAULTS = 28
SEED = 4
_N_TRIES = 10
"""On SQLite the server refuses a write that meets another."""


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Arena, ...]]:
    """Two of everything, since a server uses one core."""
    with ExitStack() as stack:
        folders = [tmp_path_factory.mktemp("faults") for _ in range(2)]
        yield tuple(stack.enter_context(arena(folder)) for folder in folders)


@pytest.fixture(scope="module")
def verdicts(grounds: tuple[Arena, ...]) -> list[Verdict]:
    """All faults, struck side by side."""
    ended = dict(strike_all(grounds, SEED, range(N_FAULTS)))
    return [ended[number] for number in range(N_FAULTS)]


def test_every_kind_is_struck() -> None:
    assert len(KINDS) <= N_FAULTS
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def sabotage(scene: Scene) -> list[Outcome]:
    """A run, and then what no run may do: a task twice, a prediction gone, a person's annotation changed.

    The second task is not as ours are, or the next run would remove it.
    """
    outcomes = [scene.run(scene.order)]
    server = scene.arena.server
    (project,) = server.projects(scene.place.title)
    tasks = server.tasks(project["id"])
    first, second, *_ = (task for task in tasks if task["predictions"] and not task["annotations"])
    second_data = {name: value for name, value in first["data"].items() if name != "width"}
    annotation, _ = next(iter(scene.person.ledger.annotations))
    for method, path, body in (
        ("POST", "/api/tasks/", {"data": second_data, "project": project["id"]}),
        ("DELETE", f"/api/predictions/{second['predictions'][0]['id']}/", None),
        ("PATCH", f"/api/annotations/{annotation}/", {"lead_time": 1234.5}),
    ):
        done = any(server.send(method, path, body).is_success for _ in range(_N_TRIES))
        assert done, f"{method} {path} was refused {_N_TRIES} times"
    scene.person.leave()  # or they might work on that very annotation, and what they find is then theirs
    return outcomes


def test_harm_is_found(grounds: tuple[Arena, ...]) -> None:
    verdict = tell(Kind("sabotage", ("next push",), sabotage, alone=True), grounds[0], Random(0))
    assert {"doubled", "lost", "human"} <= {violation.harm for violation in verdict.violations}


@pytest.mark.parametrize("number", range(N_FAULTS), ids=lambda number: KINDS[number % len(KINDS)].name)
def test_after_one_more_run_everything_is_there_once(verdicts: list[Verdict], number: int) -> None:
    verdict = verdicts[number]
    told = "\n".join(f"{one.harm}: {one.words}" for one in verdict.violations)
    again = f"make faults SEED={SEED} ONLY={number}"
    assert not verdict.violations, f"{told}\n{verdict.stage}, {verdict.notes}, {verdict.outcomes}: {again}"
