"""The version changes with everything that changes an answer, and with nothing else."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from detseg.models.loading import load_predictor
from detseg.models.predictor import LONGEST_VERSION, PredictorOptions
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import ModelVersion

Folder = Callable[[str], str]


def version_of(
    detector: object = None,
    segmenter: object = None,
    *,
    taxonomy: Taxonomy | None = None,
    **chosen: float | str | bool,
) -> ModelVersion:
    options = PredictorOptions(**{"device": "cpu", **chosen})  # type: ignore[arg-type]
    names = [None if name is None else str(name) for name in (detector, segmenter)]
    return load_predictor(*names, options=options, taxonomy=taxonomy).version


def test_it_is_a_name_and_eight_hex_digits(checkpoint: Folder) -> None:
    assert re.fullmatch(
        r"detr\+mask2former@[0-9a-f]{8}", version_of(checkpoint("detr"), checkpoint("mask2former"))
    )
    assert re.fullmatch(r"detr@[0-9a-f]{8}", version_of(checkpoint("detr")))
    assert re.fullmatch(r"mask2former@[0-9a-f]{8}", version_of(None, checkpoint("mask2former")))


def test_batch_size_strictness_and_place_do_not_count(checkpoint: Folder, tmp_path: Path) -> None:
    version = version_of(checkpoint("detr"))
    assert version_of(checkpoint("detr")) == version
    assert version_of(checkpoint("detr"), batch_size=9, strict=True) == version
    moved = shutil.copytree(checkpoint("detr"), tmp_path / "elsewhere" / "detr")
    assert version_of(moved) == version
    assert version_of(f"{moved}/") == version


def test_a_long_name_is_cut_to_what_a_catalog_keeps(checkpoint: Folder, tmp_path: Path) -> None:
    long = shutil.copytree(checkpoint("detr"), tmp_path / ("n" * 200))
    version = version_of(long)
    assert len(version) == LONGEST_VERSION
    assert version.rpartition("@")[2] == version_of(checkpoint("detr")).rpartition("@")[2]


@pytest.mark.parametrize(
    "changed",
    [
        {"box_threshold": 0.4},
        {"mask_threshold": 0.4},
        {"pixel_threshold": 0.4},
        {"overlap_threshold": 0.7},
        {"match_iou": 0.6},
    ],
)
def test_options_that_change_answers_count(checkpoint: Folder, changed: dict[str, float]) -> None:
    assert version_of(checkpoint("detr"), **changed) != version_of(checkpoint("detr"))


def test_a_second_model_counts(checkpoint: Folder) -> None:
    assert version_of(checkpoint("detr")) != version_of(checkpoint("detr"), checkpoint("mask2former"))


def test_one_weight_counts(checkpoint: Folder, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkpoint("detr"), tmp_path / "detr"))
    tensors = load_file(copy / "model.safetensors")
    name = sorted(tensors)[-1]
    tensors[name].view(-1)[0] += 1
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert version_of(copy) != version_of(checkpoint("detr"))


def test_preprocessing_counts(checkpoint: Folder, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkpoint("detr"), tmp_path / "detr"))
    file = copy / "preprocessor_config.json"
    preprocessing = json.loads(file.read_text())
    preprocessing["size"]["longest_edge"] += 1
    file.write_text(json.dumps(preprocessing))
    assert version_of(copy) != version_of(checkpoint("detr"))


def test_the_mapping_to_classes_counts_and_colours_do_not(checkpoint: Folder) -> None:
    def mapped(name: str, colour: str = "#888888") -> ModelVersion:
        taxonomy = Taxonomy((LabelClass(name, colour=colour, aliases=("nut",)),))
        return version_of(checkpoint("detr"), taxonomy=taxonomy)

    assert mapped("fastener") == mapped("fastener", colour="#123456")
    assert mapped("fastener") != mapped("part")
