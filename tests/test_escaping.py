"""Control characters never reach a terminal or a log, and JSON keeps its meaning."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.errors import ImageError
from detseg.escaping import escape_controls, escape_json

BIDIRECTIONAL = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))

anything = st.text(st.characters(exclude_categories=()))  # lone surrogates, too


def is_control(character: str) -> bool:
    """By the Unicode database, and what XML does not have."""
    is_format = unicodedata.bidirectional(character) in BIDIRECTIONAL
    return (
        is_format
        or character in "\ufffe\uffff"
        or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    )


def test_of_all_characters_the_controls_are_escaped() -> None:
    everything = [chr(number) for number in range(sys.maxunicode + 1)]
    controls = [character for character in everything if is_control(character)]
    letters = "".join(set(everything).difference(controls))
    assert escape_controls(letters) == letters
    for character in controls:
        shown = escape_controls(character)
        assert shown.startswith("\\")
        assert shown.isascii()
        assert shown.isprintable()


@given(anything)
def test_text_is_one_line_and_says_where_an_escape_stands(text: str) -> None:
    shown = escape_controls(text)
    assert len((shown + ".").splitlines()) == 1
    if "\\" not in text and text.isascii():
        assert shown.encode("ascii").decode("unicode_escape") == text


@pytest.mark.parametrize("indent", [None, 2])
@given(text=anything)
def test_json_means_the_same_and_has_no_controls(indent: int | None, text: str) -> None:
    written = escape_json(json.dumps({text: [text]}, ensure_ascii=False, indent=indent))
    assert json.loads(written) == {text: [text]}
    assert not any(map(is_control, written.replace("\n", "")))
    written.encode("utf-8")


def test_an_error_is_one_line_whatever_it_names() -> None:
    error = ImageError("a\n2026-01-01 ERROR forged\x1b[2J cannot be read")
    assert str(error) == f"{error}" == r"a\n2026-01-01 ERROR forged\x1b[2J cannot be read"
