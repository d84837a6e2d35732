"""Models with nothing to say: the sample's segmenter beside another detector, or all for other classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detseg.config import load_settings
from detseg.pipeline.choosing import choose_models
from detseg.pipeline.doctor import examine
from detseg.pipeline.predictors import describe_unfit, fitting_segmenter, predictor_settings


def checkpoint(folder: Path, *labels: str) -> str:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"id2label": dict(enumerate(labels))}))
    return folder.name


@pytest.fixture
def config(tmp_path: Path) -> Path:
    checkpoint(tmp_path / "cells", "RBC", "WBC")
    checkpoint(tmp_path / "parts", "Bolt", "rivet")
    (tmp_path / "weights").mkdir()
    (tmp_path / "detseg.toml").write_text("")
    return tmp_path / "detseg.toml"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, "sample"),
        ({"model__detector": "cells"}, None),
        ({"model__detector": "cells", "model__segmenter": "sample"}, "sample"),
        ({"model__detector": "cells", "model__segmenter": "facebook/sam"}, "facebook/sam"),
        ({"model__detector": "parts"}, "sample"),
        ({"model__detector": "weights"}, "sample"),
        ({"model__detector": "facebook/detr-resnet-50"}, "sample"),
        ({"model__detector": ""}, "sample"),
        ({"model__detector": "results:found.json"}, None),
    ],
)
def test_it_stays_unless_nobody_chose_it_and_no_class_is_shared(
    flags: dict[str, str], expected: str | None, config: Path
) -> None:
    settings = load_settings(config, environ={}, **flags)
    assert fitting_segmenter(settings) == expected
    assert predictor_settings(settings).model.segmenter == expected


def test_it_goes_where_the_file_names_the_detector(config: Path) -> None:
    config.write_text('[model]\ndetector = "cells"\n')
    assert fitting_segmenter(load_settings(config, environ={})) is None


@pytest.mark.parametrize(
    ("detector", "n_notes"), [("cells", 1), ("parts", 0), ("results:found.json", 0), ("", 0)]
)
def test_who_gets_boxes_alone_is_told(detector: str, n_notes: int, config: Path) -> None:
    notes = choose_models(load_settings(config, environ={}, model__detector=detector)).notes
    assert len(notes) == n_notes
    assert all(line.startswith("cells has no class in common with the segmenter") for line in notes)


@pytest.mark.parametrize(
    ("flags", "classes", "expected"),
    [
        (
            {},
            "RBC",
            "none of [[classes]] is known to sample (labels: belt, bolt, bracket, gear, nut, tray, ...)",
        ),
        ({}, "Bolt", None),
        ({"model__segmenter": "sample", "model__detector": "cells"}, "platelet", "known to cells and sample"),
        ({"model__detector": "cells"}, "rbc", None),
        ({"model__detector": "cells", "model__committee": ("parts",)}, "rivet", None),
        ({"model__detector": "unnamed", "model__segmenter": ""}, "RBC", None),
        ({"model__detector": "weights", "model__segmenter": ""}, "RBC", None),
        ({"model__detector": "", "model__segmenter": "facebook/sam"}, "RBC", None),
    ],
)
def test_models_that_know_no_class_are_said(
    flags: dict[str, object], classes: str, expected: str | None, config: Path
) -> None:
    checkpoint(config.parent / "unnamed", "LABEL_0", "LABEL_1")
    config.write_text(f'[[classes]]\nname = "{classes}"\n')
    said = "\n".join(describe_unfit(load_settings(config, environ={}, **flags)))
    assert (expected or "") in said
    assert expected or "none of [[classes]]" not in said


def test_doctor_finds_models_that_know_no_class(config: Path) -> None:
    config.write_text('[[classes]]\nname = "RBC"\n')
    (models,) = (one for one in examine(load_settings(config, environ={})) if one.name == "models")
    assert not models.ok
    assert "none of [[classes]] is known to sample" in models.found
