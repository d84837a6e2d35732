"""The programs of the pages run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from detseg.config import load_settings
from detseg.formats.coco import read_coco
from detseg.geometry.masks import bitmap_to_mask
from detseg.pipeline.workspace import opened_catalog
from detseg.samples.scenes import generate_scene
from detseg.types import Box, Instance, Region, RegionId, Size
from tests.catalog.made import SIZE, review
from tests.pipeline.test_labels import make_project

if TYPE_CHECKING:
    from collections.abc import Callable

    from detseg.labelstudio.server import Connection

DOCS = Path(__file__).parents[2] / "docs"


def programs(page: str) -> list[str]:
    """The blocks of Python on a page."""
    return re.findall(r"(?ms)^```python\n(.*?)^```", (DOCS / page).read_text())


def test_the_examples_of_the_python_page_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    label_studio: Connection,
    document_root: Path,
    new_title: Callable[[], str],
) -> None:
    (tmp_path / "photos").mkdir()
    for seed in range(2):
        Image.fromarray(generate_scene(seed, Size(320, 240)).image).save(tmp_path / "photos" / f"{seed}.png")
    server = {"url": label_studio.url, "files": str(document_root)}
    lines = ["[label_studio]", *(f"{name} = {json.dumps(value)}" for name, value in server.items())]
    (tmp_path / "detseg.toml").write_text("\n".join(lines))
    monkeypatch.setenv("DETSEG_LABEL_STUDIO__TOKEN", label_studio.token)
    monkeypatch.chdir(tmp_path)
    blocks = [block.replace('"parts"', repr(new_title())) for block in programs("python.md")]
    exec("\n".join(blocks), {})


def test_the_curator_takes_the_labels_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bitmap = np.zeros((SIZE.height, SIZE.width), bool)
    bitmap[10:20, 30:50] = True
    bolt = Region(RegionId("a"), "person", Instance("bolt", "thing", Box(1, 2, 11, 22)))
    belt = Region(RegionId("b"), "person", Instance("belt", "stuff", mask=bitmap_to_mask(bitmap)))
    with opened_catalog(load_settings()) as catalog:
        project = make_project(catalog, ["helped", "helped", "helped"])
        records = [review(1, 0, regions=[bolt, belt]), review(2, 1, regions=[], state="empty")]
        catalog.reviews.record(project.key, records)
    (tmp_path / "detseg.toml").write_text(f'[queue]\nproject = "{project.title}"\n')
    (program,) = programs("curator.md")
    exec(program, {})
    written = read_coco(tmp_path / "labels.json", "bbox")
    assert [image["file_name"] for image in written.images] == [
        "file:///photos/0.jpg",
        "file:///photos/1.jpg",
    ]
    assert [one["bbox"] for one in written.annotations] == [[1, 2, 10, 20], [30, 10, 20, 10]]
    assert [one["area"] for one in written.annotations] == [200, 200]
