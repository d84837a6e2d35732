"""The tables of docs/settings.md, made from the settings themselves: ``python -m tests.pages.settings``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from detseg.config import ClassSettings, Settings
from detseg.config.classes import ChangeSettings
from detseg.config.sections import Section
from tests.pages.marks import table_row, with_generated

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
_NOT_SET = ("root",)  # the folder of the file: nobody writes it
_HEAD = "| option | may be | default | says |\n|---|---|---|---|"
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    SecretStr: "text, kept secret",
    tuple: "a list",
    dict: "a table",
    date: "a date",
}
_LIMITS = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}


def main() -> None:
    PAGE.write_text(with_settings(PAGE.read_text(), Settings))


def with_settings(page: str, settings: type[BaseModel]) -> str:
    """Return the page with a table for each section of the settings, made anew."""
    return with_generated(page, "settings", "\n".join(_tables(settings)))


def _tables(settings: type[BaseModel]) -> Iterator[str]:
    sections = {name: field.annotation for name, field in settings.model_fields.items() if _is_section(field)}
    top = [name for name in settings.model_fields if name not in (*sections, *_NOT_SET, "classes")]
    yield "## Above all sections\n"
    yield from _table({name: settings.model_fields[name] for name in top})
    for name, section in sections.items():
        if name == "taxonomy":
            continue  # tables of its own, below
        yield f"## {name}\n\n{section.__doc__}\n"
        yield from _table(section.model_fields)
    yield f"## classes\n\n{ClassSettings.__doc__}\n"
    yield from _table(ClassSettings.model_fields)
    yield f"## taxonomy.changes\n\n{ChangeSettings.__doc__}\n"
    yield from _table(ChangeSettings.model_fields)


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def _table(fields: dict[str, FieldInfo]) -> Iterator[str]:
    yield _HEAD
    for name, field in fields.items():
        yield table_row(f"`{name}`", _may_be(field), _default(field), field.description or "")
    yield ""


def _may_be(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if get_origin(kind) is UnionType:
        (kind,) = (one for one in get_args(kind) if one is not type(None))
    if get_origin(kind) is Literal:
        return ", ".join(f"`{json.dumps(value)}`" for value in get_args(kind))
    return " ".join([_KINDS[get_origin(kind) or kind], *_limits(field)])


def _limits(field: FieldInfo) -> Iterator[str]:
    found = {
        name: f"{getattr(one, name):,}" for one in field.metadata for name in _LIMITS if hasattr(one, name)
    }
    if {"ge", "le"} <= found.keys():
        yield f"from {found['ge']} to {found['le']}"
    else:
        yield from (f"{_LIMITS[name]} {value}" for name, value in found.items())


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "has to be given"
    if field.default is None:
        return ""
    plain = isinstance(field.default, bool | int | float | tuple | dict)
    return f"`{json.dumps(field.default if plain else str(field.default))}`"


if __name__ == "__main__":
    main()
