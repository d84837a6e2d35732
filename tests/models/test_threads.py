"""Threads that stay on one core leave all others as they were."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from detseg.models.threads import stay_on_one_core


@pytest.fixture
def three_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_cores")
def test_only_the_threads_of_the_pool_stay_on_one_core() -> None:
    with ThreadPoolExecutor(3, initializer=stay_on_one_core) as pool:
        assert set(pool.map(lambda _: torch.get_num_threads(), range(20))) == {1}
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 3
    assert torch.get_num_threads() == 3
