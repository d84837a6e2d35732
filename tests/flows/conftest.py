"""One real Prefect server for the tests of flows, and nothing of the user's own Prefect."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.server import down, prefect_api, status, up

_HERE = Path(__file__).parent
_FOLDER = pytest.StashKey[Path]()


@pytest.fixture(scope="session", autouse=True)
def _no_server_of_the_users() -> Iterator[None]:
    with temporary_settings(restore_defaults=[PREFECT_API_URL, PREFECT_API_AUTH_STRING]):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """Stop the server when the next test is none of flows: it is never at rest."""
    yield
    folder = item.config.stash.get(_FOLDER, None)
    if folder is not None and (nextitem is None or _HERE not in nextitem.path.parents):
        down(folder)


@pytest.fixture(scope="module")
def prefect_state(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """The state folder of a running Prefect server, which all modules share."""
    folder = pytestconfig.stash.setdefault(_FOLDER, tmp_path_factory.getbasetemp() / "prefect-state")
    folder.mkdir(exist_ok=True)
    if status(folder) is None:
        up(folder)
    return folder


@pytest.fixture
def prefect_url(prefect_state: Path) -> Iterator[str]:
    """The API that flows in the test report to."""
    with prefect_api(prefect_state) as url:
        yield url


@pytest.fixture
def prefect(prefect_url: str) -> Iterator[SyncPrefectClient]:
    """A client of that server."""
    with get_client(sync_client=True) as client:
        assert str(client.api_url).rstrip("/") == prefect_url
        yield client


@pytest.fixture
def prefect_environment(prefect_state: Path) -> dict[str, str]:
    """Variables with which Prefect's own programs find that server, as the documentation says."""
    return {"PREFECT_HOME": str(prefect_state / "prefect")}
