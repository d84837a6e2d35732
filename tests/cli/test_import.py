"""``detseg import`` in words: what came of a file, and what comes of it next."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.cli.conftest import Run
from tests.pipeline.labeled import write_coco


def test_truth_that_measures_nobody_says_so(run: Run, tmp_path: Path) -> None:
    write_coco(tmp_path / "truth" / "labels.json", {"a.png": [("bolt", [-3, 3, 13, 20])]})
    Image.new("RGB", (60, 40)).save(tmp_path / "truth" / "a.png")
    command = ("import", str(tmp_path / "truth"), "--format", "coco", "--as", "gold")
    said = run(*command)
    assert "truth: 1 image with 1 region as gold (1 new, 0 changed)" in said.out
    assert "experiments.gold_share is 0" in said.out
    assert "left out: parts of boxes outside of the image 1" in said.err
    (tmp_path / "detseg.toml").write_text("[experiments]\ngold_share = 0.005\n")
    again = run(*command).out
    assert "(nothing new)" in again
    assert "0.5% of the new tasks are on such images" in again
