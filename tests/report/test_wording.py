"""Edits and figures in words."""

from dataclasses import replace

import pytest

from detseg.plurals import format_count
from detseg.report.wording import (
    Unit,
    describe_edit,
    format_range,
    format_score,
    format_seconds,
    format_share,
)
from detseg.types import Box, Edit, EditKind, Instance, Mask, Region, RegionId, Size


def region(label: str, box: Box, score: float | None = None) -> Region:
    return Region(RegionId("r"), "model", Instance(label, "thing", box, score=score))


BOLT = region("bolt", Box(0, 0, 10, 10), 0.4)
MASKED = replace(BOLT, instance=replace(BOLT.instance, mask=Mask(Size(10, 10), (0, 100))))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (Edit("moved", BOLT, region("bolt", Box(3, 4, 13, 14)), 0.82), "bolt moved 5 px (IoU 0.82)"),
        (Edit("moved", BOLT, region("bolt", Box(-1, -1, 11, 11)), 0.7), "bolt resized (IoU 0.70)"),
        (Edit("reshaped", BOLT, BOLT, 0.911), "bolt reshaped (IoU 0.91)"),
        (Edit("reshaped", BOLT, MASKED, 1.0), "bolt reshaped: its mask was added"),
        (Edit("reshaped", MASKED, BOLT, 1.0), "bolt reshaped: its mask was removed"),
        (Edit("relabeled", BOLT, region("nut", Box(0, 0, 9, 9)), 0.9), "bolt relabeled as nut"),
        (Edit("deleted", BOLT, None), "bolt deleted (score 0.40)"),
        (Edit("added", None, region("gear", Box(0, 0, 9, 9))), "gear added"),
        (Edit("kept", BOLT, BOLT, 1.0), "bolt kept (IoU 1.00)"),
    ],
)
def test_an_edit_in_words(edit: Edit, words: str) -> None:
    assert describe_edit(edit) == words


@pytest.mark.parametrize("kind", ["kept", "moved", "reshaped", "relabeled", "deleted", "added"])
def test_an_edit_with_a_missing_side_still_has_words(kind: EditKind) -> None:
    assert describe_edit(Edit(kind, None, None)) == f"region {kind}"


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "n/a"), (0.0, "0 %"), (1.0, "100 %"), (0.998, "99.8 %"), (0.004, "0.4 %"), (0.844, "84 %")],
)
def test_shares(value: float | None, text: str) -> None:
    assert plain(format_share(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "n/a"),
        (0.0, "0 s"),
        (0.0854, "85 ms"),
        (3.44, "3.4 s"),
        (48.2, "48 s"),
        (125.4, "2 min 05 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(value: float | None, text: str) -> None:
    assert plain(format_seconds(value)) == text


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (0.81, 0.87, "share", "81 to 87 %"),
        (106.0, 164.0, "seconds", "106 s to 2 min 44 s"),
        (0.5, 12.0, "seconds", "500 ms to 12 s"),
        (12.0, 30.0, "seconds", "12 to 30 s"),
        (250.0, 310.0, "seconds", "4 min 10 s to 5 min 10 s"),
        (-3.0, 4.0, "number", "−3.0 to 4.0"),
        (-0.98, 0.88, "share", "−98 to 88 %"),
        (3.0, 1200.0, "number", "3.0 to 1,200"),
        (0.9, 0.95, "score", "0.900 to 0.950"),
        (2.0, 14.0, "pixels", "2.0 to 14 px"),
    ],
)
def test_ranges(low: float, high: float, unit: Unit, text: str) -> None:
    assert plain(format_range(low, high, unit)) == text


def test_scores_and_counts() -> None:
    assert (format_score(None), format_score(0.12345)) == ("n/a", "0.123")
    counts = [format_count(n, "image") for n in (0, 1, 12000)]
    assert counts == ["0 images", "1 image", "12,000 images"]
