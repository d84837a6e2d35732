"""The checkpoints that come with the package: ordinary ``from_pretrained`` folders. Knows no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Role = Literal["detector", "segmenter"]


def checkpoint_path(role: Role) -> Path:
    """The folder of the shipped detector or segmenter, whose README.md is its model card."""
    return Path(__file__).parent / role
