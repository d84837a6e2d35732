"""The figures of a dataset version on a terminal of 80 columns."""

from __future__ import annotations

import pytest

from detseg.cli.dataset_tables import print_class_sizes, spread
from detseg.datasets.figures import ClassFigures
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
