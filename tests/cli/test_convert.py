"""``detseg convert`` as a person and a program run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from detseg.cli.app import app


def make_yolo(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (40, 20)).save(folder / "images" / f"{name}.png")
    (folder / "labels" / "a.txt").write_text("0 0.5 0.5 0.51 0.5\n")
    return folder


def test_programs_get_one_object_and_people_get_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = str(make_yolo(tmp_path / "yolo"))
    common = ["convert", source, "--from", "yolo", "--to", "voc", "--out"]
    app([*common, str(tmp_path / "one"), "--json"], standalone_mode=False)
    done = json.loads(capfd.readouterr().out)
    assert (done["images"], done["regions"]) == (1, 1)
    assert done["lost"] == {"boxes moved to whole pixels": 1}
    assert done["left_out"] == {"images without a file of labels": 1}
    assert all(Path(path).exists() for path in done["written"])
    app([*common, str(tmp_path / "two")], standalone_mode=False)
    shown = capfd.readouterr()
    assert shown.err.splitlines() == [
        "voc: images without a split are in trainval",
        f"voc cannot hold all of {source}: boxes moved to whole pixels: 1",
        "left out: images without a file of labels 1",
    ]
    assert shown.out.splitlines()[0] == f"{tmp_path / 'two'}: 1 image with 1 region as voc"
