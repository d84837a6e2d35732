"""The state folder and its catalog are for their user alone, whatever the umask, and whatever was there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from detseg.config import load_settings
from detseg.errors import ConfigError
from detseg.pipeline.workspace import opened_catalog


@pytest.fixture(autouse=True, params=[0o000, 0o077], ids=oct)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}


def test_the_catalog_is_private_with_all_that_sqlite_writes_beside_it(tmp_path: Path) -> None:
    state = tmp_path / ".detseg"
    settings = load_settings(None, environ={}, state_dir=str(state))
    private = {
        ".detseg": 0o700,
        **dict.fromkeys(("catalog.sqlite3", "catalog.sqlite3-wal", "catalog.sqlite3-shm"), 0o600),
    }
    with opened_catalog(settings):
        assert modes(state) == private
        for path in (state, *state.iterdir()):  # as an earlier release left them
            path.chmod(0o755 if path == state else 0o644)
    with opened_catalog(settings) as catalog:
        catalog.cursors.set("written", "after")
        assert modes(state) == private


def test_the_folder_of_the_settings_is_not_taken_for_the_state(tmp_path: Path) -> None:
    config = tmp_path / "mine" / "detseg.toml"
    config.parent.mkdir()
    for place in (".", "..", str(tmp_path)):
        config.write_text(f'state_dir = "{place}"\n')
        with pytest.raises(ConfigError, match="state_dir: is a folder of its own"):
            load_settings(config, environ={})
