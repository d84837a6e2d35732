"""What holds for all tests: no hub, no telemetry; one real Label Studio for all that need it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.shared_data import shared_data  # noqa: F401  (a fixture)

if TYPE_CHECKING:
    from detseg.labelstudio.client import LabelStudioClient
    from detseg.labelstudio.server import Connection

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is imported, so before any test module
os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"

settings.register_profile("detseg", deadline=None)  # a busy machine is not a failure
settings.load_profile("detseg")


@pytest.fixture(scope="session")
def label_studio_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of a running Label Studio. The first start takes a while."""
    from detseg.labelstudio.server import EmbeddedLabelStudio

    state_dir = tmp_path_factory.mktemp("label-studio-state")
    server = EmbeddedLabelStudio(state_dir, port=18080)
    try:
        server.up()
        yield state_dir
    finally:
        server.down()


@pytest.fixture
def label_studio(label_studio_state: Path) -> Connection:
    """The way to the server that all tests share; it is started again if a test took it down."""
    from detseg.labelstudio.server import EmbeddedLabelStudio

    return EmbeddedLabelStudio(label_studio_state, port=18080).up()


@pytest.fixture
def client(label_studio: Connection) -> Iterator[LabelStudioClient]:
    """A client of the shared server."""
    from detseg.labelstudio.client import LabelStudioClient

    with LabelStudioClient(label_studio.url, label_studio.token) as client:
        yield client


@pytest.fixture(scope="session")
def new_title() -> Callable[[], str]:
    """Project titles that no other test has."""
    numbers = itertools.count(1)
    return lambda: f"test project {next(numbers)}"
