"""Splits: the shares that were asked for, groups whole, and nobody moved by newcomers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.datasets.splits import (
    SplitRule,
    choose_split,
    group_duplicates,
    parse_shares,
    share_deviations,
)
from detseg.errors import ConfigError
from detseg.types import ImageId
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


IDS = [image_id(n) for n in range(8)]


@given(
    st.permutations(IDS),
    st.lists(st.lists(st.sampled_from(IDS), min_size=2, max_size=4, unique=True), max_size=6),
    st.lists(st.lists(st.sampled_from(IDS), min_size=2, max_size=4, unique=True), max_size=6),
)
def test_no_later_cluster_moves_an_image(
    order: list[ImageId], before: list[list[ImageId]], after: list[list[ImageId]]
) -> None:
    """Whatever joins whom later: who was in a version keeps the group that it had there."""
    groups = group_duplicates(before, {})
    settled = {image: groups.get(image, image) for image in order[:5]}
    later = group_duplicates(after, settled)
    assert settled.items() <= later.items()
    assert set(later.values()) <= {*settled.values(), *later}


def test_who_joins_a_cluster_is_where_the_cluster_is() -> None:
    a, b, _, d = IDS[:4]
    settled = {d: d, a: a}
    assert group_duplicates([(b, d)], settled) == {d: d, a: a, b: d}
    assert group_duplicates([(a, b, d)], settled) == {d: d, a: a, b: d}, "two that meet later stay apart"


def test_a_side_is_that_of_the_near_duplicates_unless_a_column_says_otherwise() -> None:
    rule, other = SplitRule(THREE, group="patient"), IDS[7]
    for image in IDS:
        assert choose_split(rule, image, "", alike=other) == choose_split(rule, other, "")
        assert choose_split(rule, image, '{"patient": 3}', alike=other) == choose_split(
            rule, other, '{"patient": 3}'
        )


def test_deviations_are_those_of_each_key_on_each_side() -> None:
    counts = {"train": {"bolt": 8, "nut": 1}, "val": {"bolt": 2}}
    found = share_deviations({"train": 0.7, "val": 0.2, "test": 0.1}, counts)
    assert {key: {side: round(off, 9) for side, off in of.items()} for key, of in found.items()} == {
        "bolt": {"train": 0.1, "val": 0.0, "test": -0.1},
        "nut": {"train": 0.3, "val": -0.2, "test": -0.1},
    }
    assert share_deviations({}, counts) == {"bolt": {}, "nut": {}}
