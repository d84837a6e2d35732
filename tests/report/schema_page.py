"""The schema in docs/report.md, made from the results' own types: ``python -m tests.report.schema_page``."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

from detseg.datasets.figures import DatasetFigures
from detseg.metrics.qa_result import QaResult
from detseg.pipeline.qa.figures_json import SCHEMA, SCHEMA_VERSION

PAGE = Path(__file__).parents[2] / "docs" / "report.md"
_PLACE = r"(?ms)(^<!-- schema -->\n).*?(^<!-- end -->$)"
_PLAIN = {int: "number", float: "number", bool: "true or false", str: "string", datetime: "time (ISO 8601)"}


def main() -> None:
    PAGE.write_text(with_schema(PAGE.read_text()))


def with_schema(page: str) -> str:
    """The page with the schema between its marks, made anew."""
    found, n_places = re.subn(_PLACE, lambda at: at[1] + "".join(schema()) + at[2], page)
    if n_places != 1:
        raise ValueError(f"the page has {n_places} places for the schema, not one")
    return found


def schema() -> Iterator[str]:
    """One table for each object, those that hold others first."""
    yield f'`"schema": "{SCHEMA}"`, `"version": {SCHEMA_VERSION}`, the fields of `QaResult`, '
    yield "and `labels`: [DatasetFigures](#datasetfigures).\n"
    for cls in objects(QaResult, DatasetFigures):
        yield f"\n#### {cls.__name__}\n\n{_about(cls)}\n\n| field | holds | meaning |\n|---|---|---|\n"
        meanings, hints = _meanings(cls), get_type_hints(cls)
        for field in fields(cls):
            yield f"| `{field.name}` | {_words(hints[field.name])} | {meanings.get(field.name, '')} |\n"


def objects(*roots: type) -> list[type]:
    """The dataclasses that are reached from those, each once, breadth first."""
    found = list(roots)
    for cls in found:
        for hint in get_type_hints(cls).values():
            found += [inner for inner in _dataclasses(hint) if inner not in found]
    return found


def _dataclasses(hint: Any) -> Iterator[type]:
    if is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for inner in get_args(hint):
        yield from _dataclasses(inner)


def _words(hint: Any) -> str:
    """A type as JSON has it."""
    origin, inner = get_origin(hint), get_args(hint)
    if isinstance(hint, NewType):
        return _words(hint.__supertype__)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if one is type(None) else _words(one) for one in inner)
    if origin is tuple:
        return f"array of {_words(inner[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return f"object of {_words(inner[1])} by {_key(inner[0])}"
    return f"[{hint.__name__}](#{hint.__name__.lower()})"


def _key(hint: Any) -> str:
    return _words(hint).removeprefix("one of ") if get_origin(hint) is Literal else "name"


def _about(cls: type) -> str:
    return _flat(inspect.getdoc(cls) or "")


def _meanings(cls: type) -> dict[str, str]:
    """The docstring below each field."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for before, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
            said = after.value if isinstance(after, ast.Expr) else None
            if isinstance(said, ast.Constant) and isinstance(said.value, str):
                found[before.target.id] = _flat(said.value)
    return found


def _flat(text: str) -> str:
    """One line of Markdown that breaks no table."""
    line = " ".join(text.split()).replace("``", "`").replace("|", "\\|").replace("<", "&lt;")
    return line.rstrip(".") + "." if line and not line.endswith((".", "?")) else line


if __name__ == "__main__":
    main()
