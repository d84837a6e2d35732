"""25 faults, of every kind at least one: nothing lost, nothing doubled, nothing of a person's changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.faults.arena import Arena, arena
from tests.e2e.faults.kinds import KINDS
from tests.e2e.faults.plan import strike

pytestmark = pytest.mark.postgres

N_FAULTS = 25
SEED = 4


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with arena(tmp_path_factory.mktemp("faults")) as ready:
        yield ready


def test_every_kind_is_struck() -> None:
    assert len(KINDS) <= N_FAULTS
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("number", range(N_FAULTS), ids=lambda number: KINDS[number % len(KINDS)].name)
def test_after_one_more_run_everything_is_there_once(ground: Arena, number: int) -> None:
    verdict = strike(ground, SEED, number)
    told = "\n".join(f"{one.harm}: {one.words}" for one in verdict.violations)
    again = f"make faults SEED={SEED} ONLY={number}"
    assert not verdict.violations, f"{told}\n{verdict.stage}, {verdict.notes}, {verdict.outcomes}: {again}"
