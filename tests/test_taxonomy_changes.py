"""Changes of the classes: one by one or composed they say the same; what leads nowhere is refused."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.catalog.region_json import decode_labels, decode_regions, encode_regions, relabel, relabel_review
from detseg.errors import ConfigError
from detseg.taxonomy import (
    NO_CHANGES,
    Change,
    ChangeKind,
    LabelClass,
    change_from_json,
    class_from_json,
    relabeling_of,
)
from detseg.types import Box, Instance, Mask, Region, RegionId, Size

DAY = date(2026, 11, 3)


def change(kind: ChangeKind, old: str, new: str = "", *, id_: str = "", day: date = DAY) -> Change:
    """``old`` and ``new`` are names with spaces between them."""
    return Change(id_ or f"{kind}-{old}", day, kind, tuple(old.split()), tuple(new.split()), "why not")


def regions(*labels: str) -> str:
    return encode_regions(
        [
            Region(RegionId(f"r{i}"), "person", Instance(label, "thing", Box(i, 0, i + 1, 2)))
            for i, label in enumerate(labels)
        ]
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Change], list[str], list[str]]:
    """Changes that may follow each other, the classes that they begin with, and those that they lead to."""
    first = [f"c{i}" for i in range(draw(st.integers(1, 6)))]
    now, made = list(first), list[Change]()
    for i in range(draw(st.integers(0, 6))):
        kinds: list[ChangeKind] = ["rename", "drop", "split", "merge"]
        kind = draw(st.sampled_from(kinds))
        if not now:
            break
        n_old = draw(st.integers(1, len(now))) if kind in ("merge", "drop") else 1
        old = draw(st.permutations(now))[:n_old]
        new = {"rename": [f"n{i}"], "drop": [], "split": [f"a{i}", f"b{i}"], "merge": [f"n{i}"]}[kind]
        if kind == "merge" and draw(st.booleans()):
            new = [old[0]]
        made.append(Change(f"change-{i}", DAY + timedelta(i), kind, tuple(old), tuple(new), "r"))
        now = [name for name in now if name not in old or name in new] + [n for n in new if n not in now]
    return made, first, now


@settings(max_examples=40)
@given(histories())
def test_changes_in_their_order_are_their_composition(
    history: tuple[list[Change], list[str], list[str]],
) -> None:
    changes, first, now = history
    whole = relabeling_of(changes, [LabelClass(name) for name in now])
    text = regions(*first)
    at_once = relabel(text, whole)
    in_steps = text
    for one in changes:  # each by hand: this is what a change means
        if one.kind != "split":
            entries = json.loads(in_steps)
            for entry in entries:
                if entry["label"] in one.ended:
                    entry["label"] = one.new[0] if one.new else None
            in_steps = json.dumps([e for e in entries if e["label"] is not None], separators=(",", ":"))
    labels, stepwise = decode_labels(at_once), decode_labels(in_steps)
    assert stepwise.keys() >= labels.keys()
    for region, label in stepwise.items():
        reached = _leaves(label, changes)
        if reached == {None}:
            assert region not in labels
        elif len(reached) == 1:
            assert {labels[region]} == reached
        else:
            assert labels[region] in whole.split
            assert set(whole.split[labels[region]]) == reached - {None}
    assert relabel(at_once, whole) == at_once
    assert set(labels.values()) <= set(now) | whole.split.keys()


def _leaves(name: str, changes: list[Change]) -> set[str | None]:
    """The classes that a name may stand for in the end, walked change by change."""
    reached: set[str | None] = {name}
    for one in changes:
        reached = {
            later for label in reached for later in ((one.new or (None,)) if label in one.ended else (label,))
        }
    return reached


@settings(max_examples=40)
@given(histories())
def test_they_survive_json_and_nothing_changes_without_them(
    history: tuple[list[Change], list[str], list[str]],
) -> None:
    changes, first, _ = history
    assert [change_from_json(json.loads(json.dumps(one.to_json()))) for one in changes] == changes
    assert relabel(regions(*first), NO_CHANGES) == regions(*first)


def test_a_class_survives_json_with_and_without_guidance() -> None:
    guided = LabelClass("bolt", "thing", "#010203", ("screw",), "A pin.", ("Yes.",), ("No.",), ("a.png",))
    for cls in (guided, LabelClass("bolt")):
        assert class_from_json(json.loads(json.dumps(cls.to_json()))) == cls
    assert LabelClass("bolt").to_json().keys() == {"name", "kind", "colour", "aliases"}


def test_a_rename_after_a_merge_and_a_merge_of_what_was_split() -> None:
    history = [
        change("merge", "hex stud", "bolt", id_="1"),
        change("rename", "bolt", "screw", id_="2"),
        change("split", "car", "van truck", id_="3"),
        change("merge", "van truck", "lorry", id_="4"),
        change("split", "tree", "oak pine", id_="5"),
        change("drop", "pine", id_="6"),
    ]
    found = relabeling_of(history, [LabelClass(name) for name in ("screw", "lorry", "oak")])
    assert found.names == {
        "hex": "screw", "stud": "screw", "bolt": "screw",
        "van": "lorry", "truck": "lorry", "car": "lorry", "pine": None,
    }  # fmt: skip
    assert found.split == {"tree": ("oak",)}  # some of its regions may be what was dropped
    assert found.means("screw") == {"hex", "stud", "bolt", "screw"}


@pytest.mark.parametrize(
    ("history", "classes", "words"),
    [
        ([change("rename", "a", "b"), change("rename", "b", "a")], "a", "brings 'a' back, which ended with"),
        ([change("rename", "a", "a")], "a", "brings 'a' back"),
        ([change("split", "a", "a b")], "a b", "brings 'a' back"),
        ([change("rename", "a", "b")], "c", r"leads to 'b', which is unknown: add it to \[\[classes\]\]"),
        ([change("rename", "a", "b")], "a b", r"'a' ended with .* and is in \[\[classes\]\]"),
        ([change("drop", "a"), change("rename", "a", "b", id_="2")], "b", "takes 'a', which had ended with"),
        ([change("rename", "a b", "c")], "c", "has 2 old and 1 new, expected one old class and one new"),
        ([change("split", "a", "b")], "b", "expected one old class and at least two new"),
        ([change("drop", "a", "b")], "b", "expected old classes and no new"),
        ([change("drop", "a", id_="x"), change("drop", "b", id_="x")], "c", "two changes have the id 'x'"),
        (
            [change("drop", "a"), change("drop", "b", day=DAY - timedelta(1))],
            "c",
            r"'drop-b' \(drop b\) is older than 'drop-a'",
        ),
    ],
)
def test_what_leads_nowhere_is_refused_in_a_line(history: list[Change], classes: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        relabeling_of(history, [LabelClass(name) for name in classes.split()])
    assert "\n" not in str(caught.value)


def test_what_is_stuff_now_keeps_its_mask_alone() -> None:
    size = Size(4, 4)
    mask = Mask(size, (0, 8, 8))
    box = Box(0, 0, 2, 4)
    text = encode_regions(
        [
            Region(RegionId("both"), "model", Instance("belt", "thing", box, mask, 0.5)),
            Region(RegionId("box"), "person", Instance("belt", "thing", box)),
        ]
    )
    found = relabeling_of([change("rename", "belt", "ground")], [LabelClass("ground", "stuff")])
    (left,) = decode_regions(relabel(text, found))
    assert left == Region(RegionId("both"), "model", Instance("ground", "stuff", None, mask, 0.5))


def test_a_review_of_dropped_classes_alone_found_nothing() -> None:
    found = relabeling_of([change("drop", "dirt")], [LabelClass("bolt")])
    assert relabel_review(regions("dirt"), "labeled", found) == ("[]", "empty")
    assert relabel_review(regions("dirt", "bolt"), "labeled", found)[1] == "labeled"
    assert relabel_review("[]", "skipped", found) == ("[]", "skipped")


def test_names_of_every_script_are_found_in_stored_text() -> None:
    for name in ("Schraube ö", 'a "quoted" \\ one', "螺栓", "🔩"):
        found = relabeling_of([Change("1", DAY, "rename", (name,), ("bolt",), "r")], [LabelClass("bolt")])
        assert list(decode_labels(relabel(regions(name), found)).values()) == ["bolt"]
