"""An import that is killed between two of its pages, and what the next one makes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from detseg.catalog import FoundImage
from detseg.config import load_settings
from detseg.paging import PAGE
from detseg.pipeline.datasets import Wish, create_version
from detseg.pipeline.importing import Import, ImportAs, import_dataset
from detseg.pipeline.workspace import opened_catalog
from detseg.types import Entry, ImageId, Size
from tests.pipeline.labeled import write_coco

_IMPORT = """
import sys
from pathlib import Path
from detseg.config import load_settings
from detseg.pipeline.importing import Import, import_dataset
import_dataset(load_settings(Path(sys.argv[1])), Import(Path(sys.argv[2]), "coco", sys.argv[3]))
"""


@pytest.mark.parametrize(
    ("point", "as_"), [("import.after_page:1", "labels"), ("import.before_page:2", "gold")]
)
def test_a_killed_import_goes_on_where_it_was(point: str, as_: ImportAs, tmp_path: Path) -> None:
    """Two pages of images that are met by name: the first is there as a whole, and once."""
    config = tmp_path / "detseg.toml"
    classes = "".join(f'[[classes]]\nname = "{name}"\n' for name in ("bolt", "nut"))
    config.write_text(f'[source]\nlocation = "photos"\n[queue]\nproject = "parts"\n{classes}')
    settings = load_settings(config)
    names = [f"{number}.png" for number in range(PAGE + 1)]
    ids = [ImageId(f"sha256:{number:064x}") for number in range(len(names))]
    with opened_catalog(settings) as catalog:
        catalog.images.record(
            FoundImage(image, Size(60, 40), Entry(f"/placed/{name}", 1, "1"))
            for image, name in zip(ids, names, strict=True)
        )
    path = write_coco(tmp_path / "old.json", {name: [("nut", [1, 2, 10, 5])] for name in names})
    command = [sys.executable, "-c", _IMPORT, str(config), str(path), as_]
    done = subprocess.run(command, env={**os.environ, "DETSEG_FAILPOINT": point}, check=False)
    assert done.returncode == -signal.SIGKILL

    def recorded() -> list[int]:
        """How many regions each image has that is labeled, or whose truth is known."""
        with opened_catalog(settings) as catalog:
            project = catalog.projects.latest("parts")
            assert project is not None
            if as_ == "gold":
                return [len(one.regions) for one in catalog.gold.read(ids).values()]
            return [len(one.annotation.regions) for one in catalog.reviews.latest(project.key)]

    assert recorded() == [1] * PAGE
    again = import_dataset(settings, Import(path, "coco", as_))
    assert (again.images, again.failures, again.unmatched) == (len(names), [], [])
    assert recorded() == [1] * len(names)
    if as_ == "labels":
        assert (again.new, again.updated) == (1, 0)
        assert create_version(settings, "v1", Wish()).counts.regions == len(names)
