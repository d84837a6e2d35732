"""The files beside the repository that some tests read. They are not part of it, so they may be missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data(request: pytest.FixtureRequest) -> Path:
    """The folder ``../shared/data``. In CI its absence is a failure, elsewhere it is said aloud."""
    if not SHARED_DATA.is_dir():
        missing = f"{SHARED_DATA} is missing: tests against its files did not run"
        if os.environ.get("CI"):
            pytest.fail(missing)
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\nNOT RUN: {missing}", file=sys.stderr)
        pytest.skip(missing)
    return SHARED_DATA
