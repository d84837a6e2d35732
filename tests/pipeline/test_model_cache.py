"""A model's version is known without loading it, as long as nothing that makes it has changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import ModelError
from detseg.pipeline import preannotate, predictors
from detseg.pipeline.model_cache import CachedModel, cache_model, read_cached_model
from detseg.pipeline.predictors import predictor_settings
from detseg.pipeline.scan import scan
from detseg.samples.checkpoints import checkpoint_path
from tests.pipeline.conftest import TAXONOMY, VERSION

MODEL = CachedModel(VERSION, TAXONOMY)
PLUGIN = """
import hashlib, pathlib, sys
from detseg.taxonomy import taxonomy_of_labels

class Mine:
    detector, segmenter, unmapped = "mine", "", {}

    def __init__(self, *, options, taxonomy=None):
        print("MADE", file=sys.__stdout__)
        self.taxonomy = taxonomy_of_labels(["bolt"])
        self.version = "mine@" + hashlib.sha256(pathlib.Path(WEIGHTS).read_bytes()).hexdigest()[:8]

    def predict(self, batch):
        return tuple(() for _ in batch)
"""
LOAD = """
import sys
from detseg.catalog import open_catalog
from detseg.config import load_settings
from detseg.pipeline import preannotate

settings = load_settings(None, environ={}, detector=sys.argv[1], segmenter="", state_dir=sys.argv[2])
settings.state_path.mkdir(exist_ok=True)
with open_catalog(settings.catalog_url) as catalog:
    print("VERSION", preannotate.load(settings, catalog, ()).version)
print("TORCH", "torch" in sys.modules)
"""


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """Settings whose detector is a folder of the test's own."""
    shutil.copytree(checkpoint_path("detector"), tmp_path / "detector")
    return settings.updated(model__detector=str(tmp_path / "detector"))


def test_what_was_remembered_is_recalled(settings: Settings, catalog: Catalog) -> None:
    assert read_cached_model(predictor_settings(settings), catalog) is None
    cache_model(predictor_settings(settings), catalog, MODEL)
    assert read_cached_model(predictor_settings(settings), catalog) == MODEL
    elsewhere = settings.updated(
        source__location="photos", queue__project="other", queue__serve_images="upload"
    )
    assert read_cached_model(predictor_settings(elsewhere), catalog) == MODEL


@pytest.mark.parametrize(
    "changed", [{"model__box_threshold": 0.3}, {"engine__precision": "float32"}, {"model__tile_px": 512}]
)
def test_other_settings_are_another_model(
    settings: Settings, catalog: Catalog, changed: dict[str, object]
) -> None:
    cache_model(predictor_settings(settings), catalog, MODEL)
    assert read_cached_model(predictor_settings(settings.updated(**changed)), catalog) is None


def test_a_changed_checkpoint_is_another_model(own: Settings, catalog: Catalog) -> None:
    cache_model(predictor_settings(own), catalog, MODEL)
    assert read_cached_model(predictor_settings(own), catalog) == MODEL
    file = next(Path(str(own.model.detector)).glob("*.safetensors"))
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert read_cached_model(predictor_settings(own), catalog) is None


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages with a plug-in, put there as an installer does, and the weights beside it."""
    site = tmp_path / "site"
    info = site / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "weights").write_bytes(b"1")
    (site / "mine.py").write_text(f"WEIGHTS = {str(tmp_path / 'weights')!r}\n{PLUGIN}")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[detseg.predictors]\nmine = mine:Mine\n")
    (info / "RECORD").write_text("mine.py,,\nmine-1.0.dist-info/METADATA,,\nmine-1.0.dist-info/RECORD,,\n")
    monkeypatch.syspath_prepend(site)
    return site


def run_of_its_own(site: Path, detector: str, state: Path) -> list[str]:
    """What a process prints that loads the detector, or recalls it."""
    paths = os.pathsep.join((str(site), *filter(None, sys.path)))
    command = [sys.executable, "-c", LOAD, detector, str(state)]
    environment = {**os.environ, "PYTHONPATH": paths}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_second_run_does_not_load_torch(installed: Path, tmp_path: Path) -> None:
    first = run_of_its_own(installed, "sample", tmp_path / "a")
    assert first[-1] == "TORCH True"
    assert run_of_its_own(installed, "sample", tmp_path / "a") == [first[0], "TORCH False"]


def test_a_plugin_that_names_its_files_is_recalled(installed: Path, tmp_path: Path) -> None:
    with (installed / "mine.py").open("a") as code:
        code.write(
            "        \n    files = (WEIGHTS,)\nprint('IMPORTED', file=sys.__stdout__)\n"
        )  # which may take as long as torch
    first = run_of_its_own(installed, "plugin:mine", tmp_path / "a")
    assert first[:2] == ["IMPORTED", "MADE"]
    assert run_of_its_own(installed, "plugin:mine", tmp_path / "a") == first[2:]
    (tmp_path / "weights").write_bytes(b"2")
    other = run_of_its_own(installed, "plugin:mine", tmp_path / "a")
    assert other[:2] == ["IMPORTED", "MADE"]
    assert other[2] != first[2]


def test_a_plugin_that_names_no_files_is_loaded_every_time_without_torch(
    installed: Path, tmp_path: Path
) -> None:
    first = run_of_its_own(installed, "plugin:mine", tmp_path / "a")
    assert (first[0], first[2]) == ("MADE", "TORCH False")
    assert run_of_its_own(installed, "plugin:mine", tmp_path / "a") == first
    (tmp_path / "weights").write_bytes(b"2")
    assert run_of_its_own(installed, "plugin:mine", tmp_path / "a")[1] != first[1]


def _edit_unseen(site: Path) -> None:
    """Changes a letter, and gives the file its former time again, as a copy that keeps times does."""
    file = site / "mine.py"
    stat = file.stat()
    file.write_text(file.read_text().replace("bolt", "belt"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _install_other(site: Path) -> None:
    (site / "other-1.0.dist-info").mkdir()
    (site / "other-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n"
    )


def _upgrade(site: Path) -> None:
    info = site / "mine-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 2.0\n")


def _make_editable(site: Path) -> None:
    (site / "mine-1.0.dist-info" / "RECORD").write_text("__editable__.mine-1.0.pth,,\n")


@pytest.mark.parametrize(
    "change",
    [
        _edit_unseen,
        _install_other,
        _upgrade,
        _make_editable,
        lambda site: (site / "mine-1.0.dist-info" / "RECORD").unlink(),
        lambda site: (site / "mine-1.0.dist-info" / "entry_points.txt").unlink(),
        lambda site: (site.parent / "weights").write_bytes(b"2"),
        lambda site: (site.parent / "weights").unlink(),
    ],
)
def test_a_changed_plugin_is_another_model(
    installed: Path, settings: Settings, catalog: Catalog, change: Callable[[Path], object]
) -> None:
    settings = settings.updated(model__detector="plugin:mine", model__segmenter="")
    model = CachedModel(VERSION, TAXONOMY, (str(installed.parent / "weights"),))
    cache_model(predictor_settings(settings), catalog, model)
    assert read_cached_model(predictor_settings(settings), catalog) == model
    change(installed)
    assert read_cached_model(predictor_settings(settings), catalog) is None


def test_a_plugin_whose_code_may_be_elsewhere_is_not_remembered(
    installed: Path, settings: Settings, catalog: Catalog
) -> None:
    settings = settings.updated(model__detector="plugin:mine", model__segmenter="")
    cache_model(predictor_settings(settings), catalog, CachedModel(VERSION, TAXONOMY, None))
    assert read_cached_model(predictor_settings(settings), catalog) is None
    _make_editable(installed)
    cache_model(predictor_settings(settings), catalog, MODEL)
    assert read_cached_model(predictor_settings(settings), catalog) is None


@pytest.mark.parametrize("name", ["somebody/model", "plugin:mine"])
def test_a_model_that_is_no_folder_is_not_remembered(settings: Settings, catalog: Catalog, name: str) -> None:
    settings = settings.updated(model__detector=name)
    cache_model(predictor_settings(settings), catalog, MODEL)
    assert read_cached_model(predictor_settings(settings), catalog) is None


def test_weights_are_loaded_only_where_something_is_to_be_predicted(
    settings: Settings, catalog: Catalog
) -> None:
    cache_model(predictor_settings(settings), catalog, MODEL)
    nothing = preannotate.load(settings, catalog, ())
    assert (nothing.version, nothing.taxonomy, nothing.missing) == (VERSION, TAXONOMY, ())
    refs = scan(settings, catalog).images
    loaded = preannotate.load(settings, catalog, refs)
    assert loaded.version == predictors.load(predictor_settings(settings)).version != VERSION
    assert loaded.missing == refs
    assert [len(shard) for shard in loaded.shards(2)] == [2, 2, 1]
    known = read_cached_model(predictor_settings(settings), catalog)
    assert known is not None
    assert known.version == loaded.version


def test_a_worker_that_makes_another_version_predicts_nothing(settings: Settings) -> None:
    version = predictors.load(predictor_settings(settings)).version
    assert predictors.load(predictor_settings(settings), version=version).version == version
    with pytest.raises(
        ModelError, match=re.escape(f"{version} of the models, the run was begun with {VERSION}")
    ):
        predictors.load(predictor_settings(settings), version=VERSION)
