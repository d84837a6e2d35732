from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.models import tiny


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a tiny checkpoint by kind; built once, never written to."""
    root = tmp_path_factory.mktemp("checkpoints")

    def folder(kind: str) -> str:
        path = root / kind
        return str(path if path.exists() else tiny.save(kind, path))

    return folder
