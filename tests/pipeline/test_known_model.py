"""A model's version is known without loading it, as long as nothing that makes it has changed."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import ModelError
from detseg.pipeline import preannotate, predictors
from detseg.pipeline.known_model import KnownModel, recall, remember
from detseg.pipeline.scan import scan
from detseg.samples.checkpoints import checkpoint_path
from tests.pipeline.conftest import TAXONOMY, VERSION

MODEL = KnownModel(VERSION, TAXONOMY)


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """Settings whose detector is a folder of the test's own."""
    shutil.copytree(checkpoint_path("detector"), tmp_path / "detector")
    return settings.model_copy(update={"detector": str(tmp_path / "detector")})


def test_what_was_remembered_is_recalled(settings: Settings, catalog: Catalog) -> None:
    assert recall(settings, catalog) is None
    remember(settings, catalog, MODEL)
    assert recall(settings, catalog) == MODEL
    elsewhere = settings.model_copy(update={"source": "photos", "project": "other", "serve_images": "upload"})
    assert recall(elsewhere, catalog) == MODEL


@pytest.mark.parametrize("changed", [{"box_threshold": 0.3}, {"precision": "float32"}, {"tile_px": 512}])
def test_other_settings_are_another_model(
    settings: Settings, catalog: Catalog, changed: dict[str, object]
) -> None:
    remember(settings, catalog, MODEL)
    assert recall(settings.model_copy(update=changed), catalog) is None


def test_a_changed_checkpoint_is_another_model(own: Settings, catalog: Catalog) -> None:
    remember(own, catalog, MODEL)
    assert recall(own, catalog) == MODEL
    file = next(Path(str(own.detector)).glob("*.safetensors"))
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert recall(own, catalog) is None


@pytest.mark.parametrize("name", ["somebody/model", "plugin:mine"])
def test_a_model_that_is_no_folder_is_not_remembered(settings: Settings, catalog: Catalog, name: str) -> None:
    settings = settings.model_copy(update={"detector": name})
    remember(settings, catalog, MODEL)
    assert recall(settings, catalog) is None


def test_weights_are_loaded_only_where_something_is_to_be_predicted(
    settings: Settings, catalog: Catalog
) -> None:
    remember(settings, catalog, MODEL)
    nothing = preannotate.load(settings, catalog, ())
    assert (nothing.version, nothing.taxonomy, nothing.missing) == (VERSION, TAXONOMY, ())
    refs = scan(settings, catalog).images
    loaded = preannotate.load(settings, catalog, refs)
    assert loaded.version == predictors.load(settings).version != VERSION
    assert loaded.missing == refs
    assert [len(shard) for shard in loaded.shards(2)] == [2, 2, 1]
    known = recall(settings, catalog)
    assert known is not None
    assert known.version == loaded.version


def test_a_worker_that_makes_another_version_predicts_nothing(settings: Settings) -> None:
    version = predictors.load(settings).version
    assert predictors.load(settings, version=version).version == version
    with pytest.raises(
        ModelError, match=re.escape(f"{version} of the models, the run was begun with {VERSION}")
    ):
        predictors.load(settings, version=VERSION)
