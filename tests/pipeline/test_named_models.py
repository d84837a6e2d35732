"""What a model learned from is known by the catalog, whatever became of the files of its base."""

from __future__ import annotations

from pathlib import Path

import pytest

from detseg.datasets.splits import SplitRule
from detseg.datasets.store import DatasetStore
from detseg.pipeline.datasets import Wish, create_version
from detseg.pipeline.named_models import images_behind
from detseg.pipeline.promoting import remove
from detseg.pipeline.registry import register
from tests.pipeline.models import make_trained
from tests.training.versions import make_version


def test_images_behind_a_model_are_known_where_its_parent_was_removed_with_its_files(tmp_path: Path) -> None:
    """Also where another training has ended in the folder of the base since."""
    settings = make_version(tmp_path, sides={"train": 2, "val": 1, "test": 2}).settings
    dataset_id = DatasetStore(settings.datasets_location).version("v1").id
    base, child = (tmp_path / name for name in ("base", "child"))
    register(settings, make_trained(base, dataset_id=dataset_id))
    register(settings, make_trained(child, base="base", seed=1, dataset_id=dataset_id))
    before = images_behind(settings, "child", note=pytest.fail)
    remove(settings, "base", files=True)
    assert images_behind(settings, "child", note=pytest.fail) == before
    assert images_behind(settings, str(child), note=pytest.fail) == before
    remove(settings, "child", files=True)
    make_trained(base, dataset="v9", dataset_id="0" * 64)
    make_trained(child, base="base", seed=1, dataset_id=dataset_id)
    assert images_behind(settings, str(child), note=pytest.fail) == before


def test_a_model_in_the_folder_of_its_grandparent_learned_from_both(tmp_path: Path) -> None:
    settings = make_version(tmp_path, sides={"train": 2, "val": 1, "test": 2}).settings
    few = create_version(settings, "few", Wish("meta.side = val", SplitRule(column="side")))
    both = DatasetStore(settings.datasets_location).version("v1").id
    base, child = (tmp_path / name for name in ("base", "child"))
    register(settings, make_trained(base, dataset_id=both))
    behind_base = images_behind(settings, "base", note=pytest.fail)
    register(settings, make_trained(child, base="base", seed=1, dataset_id=few.id))
    remove(settings, "base", files=True)
    last = register(settings, make_trained(base, base="child", seed=2, dataset_id=few.id))
    assert last.path == str(base)
    assert images_behind(settings, last.name, note=pytest.fail).keys() == behind_base.keys()
