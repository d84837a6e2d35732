"""Settings of checkpoints with absurd numbers: one line, before anything of such a size is built."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detseg.errors import ModelError
from detseg.models.families import FAMILIES
from tests.models import tiny
from tests.models.tiny_families import ROWS
from tests.models.tiny_torchvision import torchvision_checkpoint

KINDS = (
    *("detr_panoptic", "mask2former", "rt_detr", "rf_detr", "oneformer", "segformer", "sam2"),
    *("grounding-dino", "ssdlite320_mobilenet_v3_large"),
)
HUGE = 10**400
INFINITE = float("inf")
ABSURD = (HUGE, 10**9, 300_000, 20_000, -1, -(10**9), 0, 0.5, INFINITE)
N_TRIED = 12

Path_ = tuple[str | int, ...]


def load(folder: Path) -> None:
    (architecture,) = json.loads((folder / "config.json").read_text())["architectures"]
    FAMILIES[architecture].load(str(folder), architecture)


def refusal(folder: Path) -> str:
    """Why it is refused; "" if it is not."""
    try:
        load(folder)
    except ModelError as error:
        return str(error)
    return ""


def numbers(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The ways to all numbers but the label ids."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key not in ("id2label", "label2id"):
                yield from numbers(one, (*path, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from numbers(one, (*path, index))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def changed(content: Any, path: Path_, value: float) -> str:
    twin = json.loads(json.dumps(content))
    inner = twin
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(twin).replace("Infinity", "1e999")


@pytest.mark.parametrize("kind", KINDS)
def test_no_number_takes_hours_or_gigabytes(tmp_path: Path, kind: str) -> None:
    """Whatever stands in place of a number, the folder loads or is refused in one line."""
    if kind in ROWS:
        folder = tiny.save(kind, tmp_path / "model")
    else:
        folder = torchvision_checkpoint(tmp_path / "model", kind)
    file = folder / "config.json"
    content = json.loads(file.read_text())
    cases = [(path, value) for path in numbers(content) for value in ABSURD]
    random.Random(0).shuffle(cases)
    for path, value in cases[:N_TRIED]:
        file.write_text(changed(content, path, value))
        said = refusal(folder)
        assert "\n" not in said, (path, value)
        assert len(said) < 700, (path, value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("decoder_layers", HUGE, r"decoder_layers = 100000\.\.\. \(401 digits\): its config.json is damaged"),
        ("decoder_layers", 10**9, "asks for decoder_layers = 1000000000"),
        ("decoder_layers", 300_000, "asks for more than .* layers, and its weights are .* tensors"),
        ("decoder_ffn_dim", 900_000, "asks for more than .* weights, and has"),
        ("num_labels", 10**9, "asks for num_labels = 1000000000"),
        ("decoder_ffn_dim", -1, "cannot be loaded"),
        ("num_queries", 0.5, "cannot be loaded"),
    ],
    ids=["digits", "number", "layers", "weights", "labels", "negative", "fraction"],
)
def test_what_is_asked_for_is_said(tmp_path: Path, key: str, value: float, words: str) -> None:
    folder = tiny.save("rt_detr", tmp_path / "model")
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, key: value}))
    with pytest.raises(ModelError, match=words):
        load(folder)


def test_a_model_of_torchvision_has_no_more_labels_than_its_weights(tmp_path: Path) -> None:
    folder = torchvision_checkpoint(tmp_path / "model", "ssdlite320_mobilenet_v3_large")
    file = folder / "config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "id2label": {"1": "bolt", "1000000000": "nut"}}))
    with pytest.raises(ModelError, match="asks for 1000000001 labels"):
        load(folder)


@pytest.mark.parametrize("value", [HUGE, 10**9, 1e9, 10_000], ids=["huge", "int", "float", "10,000"])
def test_images_are_not_made_larger_than_networks_take_them(tmp_path: Path, value: float) -> None:
    folder = tiny.save("rt_detr", tmp_path / "model")
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "size": {"height": value, "width": 32}}))
    with pytest.raises(ModelError, match=r"to have size\.height = .* pixels, and 8,192 a side are possible"):
        load(folder)


def test_nor_do_models_of_torchvision(tmp_path: Path) -> None:
    folder = torchvision_checkpoint(tmp_path / "model", "maskrcnn_resnet50_fpn")
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "max_size": 1e9}))
    with pytest.raises(ModelError, match=r"max_size"):
        load(folder)
