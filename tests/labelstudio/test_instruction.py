"""The guide to the classes within a project's instruction: its own words stay text, everybody else's stay."""

from __future__ import annotations

from html.parser import HTMLParser

import hypothesis.strategies as st
import pytest
from hypothesis import given

from detseg.labelstudio.instruction import (
    class_guide,
    class_stamp,
    guide_stamp,
    project_instruction,
    with_guide,
)
from detseg.taxonomy import LabelClass

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)
CLASSES = st.lists(
    st.builds(
        LabelClass,
        name=WORDS,
        definition=WORDS,
        dos=st.tuples(WORDS),
        donts=st.tuples(WORDS),
        examples=st.tuples(WORDS),
    ),
    max_size=3,
)


class _Reader(HTMLParser):
    """The tags, attributes and text of HTML, by Python's own parser."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value for name, value in attrs if name == "src"]

    def handle_data(self, data: str) -> None:
        self.text += data


@given(CLASSES)
def test_whatever_a_class_says_is_text(classes: list[LabelClass]) -> None:
    stamp = class_stamp(classes, {})
    reader = _Reader()
    reader.feed(class_guide(classes, {}, stamp))
    reader.close()
    assert reader.tags <= {"section", "hr", "h4", "br", "p", "b", "ul", "li", "img"}
    assert reader.attributes <= {"class", "src", "alt", "width", "hspace"}
    assert reader.sources == [example for cls in classes for example in cls.examples]
    for cls in classes:
        assert f"{cls.name}: {cls.definition}" in reader.text or not cls.definition


@given(WORDS, WORDS, CLASSES, CLASSES)
def test_a_guide_takes_the_place_of_the_one_before_and_of_nothing_else(
    before: str, after: str, first: list[LabelClass], second: list[LabelClass]
) -> None:
    guides = [class_guide(one, {}, class_stamp(one, {})) for one in (first, second)]
    whole = with_guide(before, guides[0]) + after
    assert whole == before + guides[0] + after
    assert guide_stamp(whole) == class_stamp(first, {})
    changed = with_guide(whole, guides[1])
    assert guide_stamp(changed) == class_stamp(second, {})
    if guides[0]:
        assert changed == before + guides[1] + after
    assert with_guide(changed, guides[1]) == changed


@pytest.mark.parametrize("other", [{}, {"a.jpg": b"other"}])
def test_the_stamp_changes_with_words_and_pictures(other: dict[str, bytes]) -> None:
    classes = [LabelClass("bolt", definition="A pin.", examples=("a.jpg",))]
    stamp = class_stamp(classes, {"a.jpg": b"bytes"})
    assert stamp != class_stamp(classes, other)
    assert class_stamp([LabelClass("bolt")], {}) == guide_stamp(project_instruction("both")) == ""
