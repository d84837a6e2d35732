from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision import models

from detseg.models.families import FAMILIES
from detseg.models.loading import load_predictor
from detseg.models.predictor import PredictorOptions
from tests.models.families_page import KINDS, PAGE, kind_of, table, with_tables


def test_the_page_shows_the_registry() -> None:
    assert PAGE.read_text() == with_tables(PAGE.read_text(), FAMILIES), "python -m tests.models.families_page"


def test_every_family_stands_in_one_table() -> None:
    page = PAGE.read_text()
    for name in FAMILIES:
        assert len(re.findall(rf"(?m)^\|.*`{name}`.*\|$", page)) == 1, name


def test_a_change_of_the_registry_changes_the_page() -> None:
    changed = {**FAMILIES, "SamModel": replace(FAMILIES["SamModel"], licence="another one")}
    page = with_tables(PAGE.read_text(), changed)
    assert "another one" in page
    assert page != PAGE.read_text()


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="'names'"):
        with_tables(PAGE.read_text().replace("<!-- names -->", ""), FAMILIES)


def test_no_table_is_empty_and_their_rows_have_all_columns() -> None:
    for kind in KINDS:
        head, *rows = table(kind, FAMILIES)
        assert rows
        assert {row.count(" | ") for row in rows} == {head.splitlines()[0].count(" | ")}


def test_one_pass_is_promised_where_masks_come_without_a_detector() -> None:
    for kind in KINDS:
        _, *rows = table(kind, FAMILIES)
        promised = {row.split(" | ")[3] == "yes" for row in rows}
        assert promised == {kind in ("both", "masks", "classes")} or kind in ("names", "exported")
    assert {kind_of(family) for family in FAMILIES.values()} == set(KINDS)


def test_the_example_of_the_page_makes_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.findall(r"(?ms)^```python\n(.*?)^```", PAGE.read_text())[0]
    light = "fasterrcnn_mobilenet_v3_large_320_fpn"
    monkeypatch.chdir(tmp_path)
    trained = models.get_model(light, weights=None, weights_backbone=None, num_classes=3)
    torch.save(trained.state_dict(), "trained.pth")
    exec(code.replace("maskrcnn_resnet50_fpn", light), {})
    predictor = load_predictor("my-model", None, options=PredictorOptions())
    assert predictor.taxonomy.names == ("bolt", "nut")
