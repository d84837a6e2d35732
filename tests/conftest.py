"""What holds for all tests: no hub, no telemetry; one real Label Studio for all that need it."""

from __future__ import annotations

import gc
import itertools
import os
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.leftovers import cleared
from tests.ram_disk import SHARED_MEMORY, can_hold_all
from tests.shared_data import shared_data  # noqa: F401  (a fixture)
from tests.workers import LONGEST, first_port

if TYPE_CHECKING:
    from detseg.labelstudio.client import LabelStudioClient
    from detseg.labelstudio.server import Connection

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is imported, so before any test module
os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"

if can_hold_all():  # a server on SQLite waits for a disk ten times per request
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(SHARED_MEMORY))

# A shell that runs the tests in the background ignores these, and so would every program that a test starts.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("detseg", deadline=None)  # a busy machine is not a failure
settings.load_profile("detseg")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: processes that each take the next file then end together."""
    places = {ROOT / file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """Keep garbage collection off what was imported by now: each training looks through all that there is."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let go of it at the end, or libraries say that it was leaked."""
    gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Escape in reports what cannot be sent: tests of broken text would end the process that runs them."""
    return _encodable((yield))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(name): _encodable(item) for name, item in value.items()}
    return type(value)(map(_encodable, value)) if isinstance(value, list | tuple) else value


@pytest.fixture(scope="session", autouse=True)
def _nothing_outlives_us(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with cleared(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(scope="session")
def label_studio_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of a running Label Studio. The first start takes a while."""
    from detseg.labelstudio.server import EmbeddedLabelStudio

    state_dir = tmp_path_factory.mktemp("label-studio-state")
    server = EmbeddedLabelStudio(state_dir, port=first_port(18080))
    try:
        server.up()
        yield state_dir
    finally:
        server.down()


@pytest.fixture
def label_studio(label_studio_state: Path) -> Connection:
    """The way to the server that all tests share; it is started again if a test took it down."""
    from detseg.labelstudio.server import EmbeddedLabelStudio

    server = EmbeddedLabelStudio(label_studio_state, port=first_port(18080))
    return server.connection() or server.up()


@pytest.fixture
def document_root(label_studio_state: Path) -> Path:
    """What the shared server serves local files from."""
    from detseg.labelstudio.server import SERVED

    return label_studio_state / SERVED


@pytest.fixture
def client(label_studio: Connection) -> Iterator[LabelStudioClient]:
    """A client of the shared server."""
    from detseg.labelstudio.client import LabelStudioClient

    with LabelStudioClient(label_studio.url, label_studio.token) as client:
        yield client


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests at which a server fails whenever it is asked are repeated as often as ever, but sooner."""
    from detseg.labelstudio import responses

    monkeypatch.setattr(responses, "_FIRST_WAIT_S", 0.05)


@pytest.fixture(scope="session")
def empty_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog with nothing in it, to be copied: to make its tables takes twenty times as long."""
    from detseg.catalog import open_catalog

    path = tmp_path_factory.mktemp("catalog") / "empty.sqlite3"
    with open_catalog(f"sqlite:///{path}"):
        pass
    return path


@pytest.fixture(scope="session")
def new_title() -> Callable[[], str]:
    """Project titles that no other test has."""
    numbers = itertools.count(1)
    return lambda: f"test project {next(numbers)}"
