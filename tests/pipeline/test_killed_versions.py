"""A version whose making is killed: it is there with all that keeps images on their sides, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from detseg.datasets.splits import SplitRule, parse_shares
from detseg.datasets.store import DatasetStore
from detseg.pipeline.datasets import Wish, create_version
from detseg.pipeline.workspace import opened_catalog
from tests.pipeline.labeled import bolt, make_project

_CREATE = """
import sys
from pathlib import Path
from detseg.config import load_settings
from detseg.datasets.splits import SplitRule, parse_shares
from detseg.pipeline.datasets import Wish, create_version
wish = Wish(split=SplitRule(parse_shares("train=0.5,val=0.5")))
create_version(load_settings(Path(sys.argv[1])), "v1", wish)
"""


@pytest.mark.parametrize("point", ["dataset.before_name", "dataset.named"])
def test_what_is_seen_of_a_killed_version_keeps_its_sides(point: str, tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.add(range(4))
    for number in range(4):
        project.review(number, [bolt(f"a{number}")])
    config = tmp_path / "detseg.toml"
    classes = [f'[[classes]]\nname = "{cls.name}"\nkind = "{cls.kind}"' for cls in project.settings.classes]
    config.write_text("\n".join(classes))
    command = [sys.executable, "-c", _CREATE, str(config)]
    done = subprocess.run(command, env={**os.environ, "DETSEG_FAILPOINT": point}, check=False)
    assert done.returncode == -signal.SIGKILL
    seen = [version.name for version in DatasetStore(project.settings.datasets_location).versions()]
    with opened_catalog(project.settings) as catalog:
        settled = catalog.features.split_groups()
    assert settled.keys() == {image.id for image in project.images.values()}
    if point == "dataset.named":
        assert seen == ["v1"]
    else:
        assert seen == []
        wish = Wish(split=SplitRule(parse_shares("train=0.5,val=0.5")))
        assert create_version(project.settings, "v1", wish).counts.images == 4
