"""The page about suspects says what the rules do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from detseg.metrics.suspects.options import SuspectOptions
from detseg.metrics.suspects.rules import RULES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "suspects.md").read_text(encoding="utf-8")
ROWS = {
    rule: (triggers, float(costs))
    for rule, triggers, costs in re.findall(r"(?m)^\| `(\w+)` \| (.*?) \| .* \| ([\d.]+) \|$", PAGE)
}
DEFAULTS = SuspectOptions()


def test_every_rule_has_its_row_in_order_and_its_cost() -> None:
    assert list(ROWS) == [rule.name for rule in RULES]
    assert {rule: costs for rule, (_, costs) in ROWS.items()} == {rule.name: rule.cost for rule in RULES}


@pytest.mark.parametrize(
    ("rule", "figures"),
    [
        ("degenerate", [f"{DEFAULTS.min_side_px:.0f} px"]),
        ("out_of_frame", [f"{DEFAULTS.max_outside_px:.0f} px"]),
        ("tiny", [f"{DEFAULTS.tiny_px:.0f} px"]),
        ("duplicate", [str(DEFAULTS.duplicate_iou), str(DEFAULTS.double_iou), str(DEFAULTS.two_labels_iou)]),
        ("box_mask_apart", [str(DEFAULTS.apart_iou)]),
        ("specks", [f"{DEFAULTS.speck_px} px", f"{DEFAULTS.stray_share:.0%}".replace("%", " %")]),
        ("holes", [f"{DEFAULTS.hole_px} px", f"{DEFAULTS.stray_share:.0%}".replace("%", " %")]),
        ("jagged", [f"{DEFAULTS.rough:.0%}".replace("%", " %")]),
        ("over_smoothed", [f"{DEFAULTS.smoothed:.0%}".replace("%", " %")]),
        ("too_fast", [f"{DEFAULTS.glance_s:.0f} s", f"{DEFAULTS.fixation_s} s"]),
        ("empty_though_sure", [str(DEFAULTS.sure_score)]),
        ("wrong_label", [str(DEFAULTS.same_iou)]),
        ("misplaced", [str(DEFAULTS.badly_placed), f"{DEFAULTS.offset:.0%}".replace("%", " %")]),
        ("unseen", [str(DEFAULTS.touching_iou), f"{DEFAULTS.most_unseen:.0%}".replace("%", " %")]),
    ],
)
def test_thresholds_are_those_of_the_settings(rule: str, figures: list[str]) -> None:
    for figure in figures:
        assert figure in ROWS[rule][0]
