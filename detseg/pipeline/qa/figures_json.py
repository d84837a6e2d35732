"""Results as JSON: every dataclass by its field names, with a version of the whole."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from detseg.escaping import escape_json
from detseg.files import write_whole

SCHEMA = "detseg.qa"
SCHEMA_VERSION = 2
"""Goes up when a field changes its meaning or goes away; new fields leave it."""


def write_figures(path: Path, result: object, **more: object) -> None:
    """Writes a result, and more by name, to a file, which is there as a whole or not at all."""
    whole = {"schema": SCHEMA, "version": SCHEMA_VERSION, **encode_figures(result), **encode_figures(more)}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, escape_json(text))


def encode_figures(value: object) -> Any:
    """Dataclasses and mappings as objects, tuples as arrays, moments as ISO 8601, undefined as null.

    Raises ValueError for a number that is none (NaN, infinite): undefined is None here.

    >>> from detseg.types import Box
    >>> encode_figures({"boxes": (Box(0, 1, 2, 3.5), None)})
    {'boxes': [{'x0': 0, 'y0': 1, 'x1': 2, 'y1': 3.5}, None]}
    """
    if is_dataclass(value):
        return {field.name: encode_figures(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode_figures(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [encode_figures(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a figure is a number or None, not {value}")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"no figure: {type(value).__name__}")
