"""The figures of a dataset version on a terminal of 80 columns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from detseg.cli.dataset_tables import print_class_sizes, print_version, spread
from detseg.datasets.figures import ClassFigures
from detseg.datasets.splits import SplitRule
from detseg.datasets.version import Counts, Recipe, Version
from detseg.metrics.edit_rates import Quantiles


def test_every_class_of_a_large_version_has_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    sides = Quantiles(1_234_567, 1.0, 1_234.0, 2_345.0, 4_567.0, 5_678.0)
    shares = Quantiles(1_234_567, 0.0, 0.123, 0.234, 0.345, 1.0)
    sizes = {"small": 1_234_567, "medium": 1_234_567, "large": 1_234_567}
    labels = ["road", "traffic light, red"]
    made = {
        label: ClassFigures(9, 9, 1_234_567, {}, {}, 0.1234, sizes, sides, shares, ()) for label in labels
    }
    print_class_sizes(made)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for label in labels:
        mine = [line for line in lines if line.startswith(f"{label} ")]
        areas, medians = mine
        assert areas.split()[-1] == "1,234,567"
        assert spread(sides) in medians
        assert spread(shares, share=True) in medians


def test_the_classes_furthest_from_the_shares_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    by_class = {f"class {n:02}": 20 for n in range(30)}
    train = {label: 10 + n % 10 for n, label in enumerate(by_class)}
    counts = Counts(
        images=600,
        regions=600,
        splits={"train": 300, "val": 300},
        regions_by_class=by_class,
        regions_by_split={"train": train, "val": {label: 20 - n for label, n in train.items()}},
    )
    recipe = Recipe("parts", (), split=SplitRule((("train", 0.5), ("val", 0.5))).to_json())
    print_version(Version("v1", "0" * 64, datetime(2026, 1, 1, tzinfo=UTC), recipe, counts))
    line = capsys.readouterr().out.splitlines()[-1]
    furthest = ("class 09 45.0%", "class 19 45.0%", "class 29 45.0%", "class 08 40.0%", "class 18 40.0%")
    assert line == f"off the shares by at most: images 0.0%, {', '.join(furthest)}, and 25 others by no more"
