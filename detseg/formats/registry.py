"""The formats by name, as ``--format`` takes them."""

from __future__ import annotations

from importlib import import_module
from typing import Literal, get_args

from detseg.errors import ConfigError
from detseg.formats.dataset import Format

FormatName = Literal["coco"]

_WRITERS: dict[str, str] = {"coco": "coco_dataset.COCO"}


def find_format(name: str) -> Format:
    """The format of that name. Raises ConfigError for none."""
    if name not in _WRITERS:
        raise ConfigError(f"there is no format {name!r}: take one of {', '.join(get_args(FormatName))}")
    module, _, constant = _WRITERS[name].partition(".")
    found: Format = getattr(import_module(f"detseg.formats.{module}"), constant)
    return found
