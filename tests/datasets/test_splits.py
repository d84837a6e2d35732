"""Splits: the shares that were asked for, groups whole, and nobody moved by newcomers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.datasets.splits import SplitRule, choose_split, parse_shares
from detseg.errors import ConfigError
from tests.catalog.made import image_id

THREE = (("train", 0.8), ("val", 0.1), ("test", 0.1))


def test_shares_are_kept_over_many_images() -> None:
    """Of 20,000 draws a share of 0.1 is off by four standard deviations (0.0085) once in 16,000 times."""
    rule = SplitRule(THREE)
    sides = [choose_split(rule, image_id(n), "") for n in range(20_000)]
    for name, share in THREE:
        assert abs(sides.count(name) / len(sides) - share) < 0.0085 * (2 if share > 0.5 else 1)


@given(group=st.text(min_size=1), numbers=st.lists(st.integers(0, 10**6), min_size=2, max_size=20))
def test_a_group_is_never_on_two_sides(group: str, numbers: list[int]) -> None:
    rule = SplitRule(THREE, group="patient")
    metadata = json.dumps({"patient": group})
    assert len({choose_split(rule, image_id(n), metadata) for n in numbers}) == 1


def test_a_side_that_is_named_wins() -> None:
    rule = SplitRule(THREE, column="side")
    assert choose_split(rule, image_id(1), '{"side": "holdout"}') == "holdout"
    assert choose_split(rule, image_id(1), '{"side": ""}') == choose_split(SplitRule(THREE), image_id(1), "")
    assert choose_split(SplitRule(), image_id(1), "") == ""


@pytest.mark.parametrize("side", ["../../etc", "a/b", ".", " train", "x" * 41, "träin", "a\\b"])
def test_a_side_is_the_name_of_a_folder_and_no_path(side: str) -> None:
    """A manifest may be a stranger's."""
    rule = SplitRule(THREE, column="side")
    with pytest.raises(ConfigError, match="the column 'side' calls the side of sha256:"):
        choose_split(rule, image_id(1), json.dumps({"side": side}))


def test_a_side_without_a_share_gets_nothing() -> None:
    rule = SplitRule((("train", 1.0), ("val", 0.0)))
    assert {choose_split(rule, image_id(n), "") for n in range(500)} == {"train"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train", "not 'train'"),
        ("train=0.8,val=0.1", "sum to 0.9"),
        ("train=0.5,train=0.5", "not 'train=0.5'"),
        ("train=-1,val=2", "not 'train=-1'"),
        ("train=nan,val=1", "not 'train=nan'"),
        ("a b=1", "not 'a b=1'"),
        ("../x=1", "not '../x=1'"),
    ],
)
def test_shares_that_are_none_are_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_shares(text)
