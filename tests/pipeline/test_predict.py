"""``detseg predict``'s use case: what is counted, refused and said, with tiny models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detseg.config import Settings, load_settings
from detseg.errors import ConfigError
from detseg.pipeline import predictors
from detseg.pipeline.precision import CHECKED_FROM
from detseg.pipeline.predict import PredictReport, predict
from detseg.pipeline.predictors import predictor_settings
from tests.models import tiny
from tests.pipeline.conftest import write_image


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with detseg.toml, a model that it names by a relative path, and images."""
    root = tmp_path_factory.mktemp("project")
    tiny.save("detr", root / "models" / "mine")
    (root / "detseg.toml").write_text(
        'model.detector = "models/mine"\nmodel.segmenter = ""\nmodel.box_threshold = 0.05\n'
    )
    for number in range(CHECKED_FROM):
        write_image(root / "images" / f"{number:02}.png", seed=number, width=80, height=60)
    return root


def settings_of(project: Path, **chosen: Any) -> Settings:
    return load_settings(project / "detseg.toml", environ={}, engine__device="cpu", **chosen)


def run(project: Path, out: Path, **chosen: Any) -> PredictReport:
    predictors._load.cache_clear()
    return predict(settings_of(project, **chosen), [project / "images"], out, pictures=False)


def test_a_models_folder_is_found_from_where_the_settings_are(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = settings_of(project)
    assert predictors.load(predictor_settings(settings)).detector == str(project / "models" / "mine")
    assert predictors.named_models(predictor_settings(settings)) == (str(project / "models" / "mine"),)
    monkeypatch.chdir(project)
    assert predictors.load(predictor_settings(settings_of(Path()))) is predictors.load(
        predictor_settings(settings)
    )


def test_a_model_that_is_trained_anew_is_loaded_anew(project: Path, tmp_path: Path) -> None:
    folder = tiny.save("rt_detr_v2", tmp_path / "mine")
    settings = predictor_settings(settings_of(project, model__detector=str(folder)))
    before = predictors.load(settings)
    assert predictors.load(settings) is before
    tiny.save("rt_detr_v2", folder, labels=("screw", "nut", "gear"))
    assert predictors.load(settings).version != before.version


@pytest.mark.parametrize(
    "around", [{}, {"model__suppression": "class"}, {"model__tile_px": 64, "model__tile_overlap_px": 16}]
)
def test_a_lower_precision_is_checked_and_counts_nothing_twice(
    project: Path, tmp_path: Path, around: dict[str, Any]
) -> None:
    one_class = {"classes": [{"name": "bolt"}], **around}
    exact = run(project, tmp_path / "exact", engine__precision="float32", **one_class)
    half = run(project, tmp_path / "half", engine__precision="bfloat16", **one_class)
    assert exact.precision_check is None
    assert half.precision_check is not None
    assert half.precision_check.n_images == 4
    n_exact, n_half = sum(exact.unmapped.values()), sum(half.unmapped.values())
    assert 0 < n_half < 1.2 * n_exact  # rounding, not four images of sixteen again
    engines = json.loads(half.file.read_text())["model"]["engines"]
    assert list(engines.values()) == ["cpu, bfloat16, eager"]


def test_files_that_are_too_large_or_lead_elsewhere_are_not_read(project: Path, tmp_path: Path) -> None:
    images, outside = tmp_path / "images", tmp_path / "outside.png"
    write_image(images / "a.png", seed=1)
    write_image(outside, seed=2)
    (images / "link.png").symlink_to(outside)
    report = predict(settings_of(project), [images], tmp_path / "out", pictures=False)
    assert list(report.counts) == [str(images / "a.png")]
    assert [one.reason.partition(": ")[0] for one in report.failed] == [
        f"is a link to {outside}, outside of the source"
    ]
    report = predict(
        settings_of(project, source__max_image_bytes=100), [outside], tmp_path / "out", pictures=False
    )
    assert [one.reason.partition(", ")[2] for one in report.failed] == ["source.max_image_bytes allows 100"]


def test_a_picture_has_a_name_that_fits(project: Path, tmp_path: Path) -> None:
    name = "鉚" * 83 + ".png"  # 253 bytes
    write_image(tmp_path / "images" / name, seed=1)
    report = predict(settings_of(project), [tmp_path / "images"], tmp_path / "out")
    (picture,) = (tmp_path / "out").glob("*.png")
    assert picture.name.startswith("鉚" * 66 + "-")
    assert len(report.counts) == 1


def test_a_folder_that_cannot_be_made_is_said(project: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(ConfigError, match=r"out cannot be made a folder \(File exists\): name another one"):
        run(project, tmp_path / "out")
