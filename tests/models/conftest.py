from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models import tiny


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a tiny checkpoint by kind; built once, never written to."""
    root = tmp_path_factory.mktemp("checkpoints")
    builders: dict[str, Callable[[Path], Path]] = {
        "detr": tiny.detr,
        "detr-panoptic": tiny.detr_panoptic,
        "rt-detr": tiny.rt_detr,
        "mask2former": tiny.mask2former,
    }

    def folder(kind: str) -> str:
        path = root / kind
        return str(path if path.exists() else builders[kind](path))

    return folder
