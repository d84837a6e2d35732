"""One real Prefect server for the tests of flows, and nothing of the user's own Prefect."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.server import down, prefect_api, up


@pytest.fixture(scope="session", autouse=True)
def _no_server_of_the_users() -> Iterator[None]:
    with temporary_settings(restore_defaults=[PREFECT_API_URL, PREFECT_API_AUTH_STRING]):
        yield


@pytest.fixture(scope="session")
def prefect_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of a running Prefect server."""
    state_dir = tmp_path_factory.mktemp("prefect-state")
    up(state_dir)
    try:
        yield state_dir
    finally:
        down(state_dir)


@pytest.fixture
def prefect_url(prefect_state: Path) -> Iterator[str]:
    """The API that flows in the test report to."""
    with prefect_api(prefect_state) as url:
        yield url


@pytest.fixture
def prefect_environment(prefect_state: Path) -> dict[str, str]:
    """Variables with which Prefect's own programs find that server, as the documentation says."""
    return {"PREFECT_HOME": str(prefect_state / "prefect")}
