"""Fields of JSON that somebody else wrote, each as what is expected of it.

Everything that people and programs put into Label Studio goes through here before anything is computed from
it: what comes out is of its type, finite and bounded. Raises FormatError, naming the field and what kind of
thing it is, never showing it: it may be long, deep, or no valid text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detseg.errors import FormatError

_LARGEST = 1e6
"""Percent and degrees: ten thousand images away, three thousand times around."""

_LONGEST_NAME = 200


def get_number(fields: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A finite number of at most a million; the default where there is none or null."""
    value = fields.get(name)
    return default if value is None and default is not None else as_number(value, name)


def as_number(value: Any, name: str) -> float:
    """The value as a finite number of at most a million; ``name`` is what errors call it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormatError(f"its {name!r} is {describe(value)}, expected a number")
    if not abs(value) <= _LARGEST:  # which "not a number" is not either
        raise FormatError(f"its {name!r} is no number up to a million")
    return float(value)


def get_text(fields: Mapping[str, Any], name: str) -> str:
    """Text, of any length and any characters."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise FormatError(f"its {name!r} is {describe(value)}, expected text")
    return value


def get_list(fields: Mapping[str, Any], name: str) -> list[Any]:
    """A list of anything."""
    value = fields.get(name)
    if not isinstance(value, list):
        raise FormatError(f"its {name!r} is {describe(value)}, expected a list")
    return value


def get_object(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object; its fields are anything."""
    value = fields.get(name)
    if not isinstance(value, Mapping):
        raise FormatError(f"its {name!r} is {describe(value)}, expected an object")
    return value


def is_name(value: Any) -> bool:
    """Check that the value is text that can be shown in a line and kept in any database.

    >>> is_name("a-1"), is_name(""), is_name("a\\n1"), is_name("\\ud800"), is_name(7)
    (True, False, False, False, False)
    """
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()


def quote(text: str) -> str:
    """Text of any length and any characters, in a form that fits a line and any database.

    >>> quote("bolt"), quote("\\ud800\\x00")
    ("'bolt'", "'\\\\ud800\\\\x00'")
    """
    return repr(text) if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]!r}..."


def describe(value: Any) -> str:
    """Name the kind of JSON that the value is.

    >>> describe([1, 2]), describe(None), describe(1e308)
    ('a list', 'missing', 'a number')
    """
    return _KINDS.get(type(value), "an object")


_KINDS: Mapping[type, str] = {
    type(None): "missing",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
}
