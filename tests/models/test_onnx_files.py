"""Exported files that are damaged, contradict themselves or mean harm: one line, before anything runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from detseg.errors import DetsegError, ImageError, ModelError
from detseg.models.loading import load_predictor
from detseg.models.predictor import PredictorOptions
from tests.models import exported
from tests.models.exported import NAMES, rf_detr, ultralytics
from tests.models.made import made_image

GRID = exported.grid(np.array([[32, 32, 20, 10]]), np.array([[0.9, 0.0, 0.0]]))
LABELS = {"dets": np.zeros((1, 3, 4)), "labels": np.zeros((1, 3, 4))}


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_predictor(str(path), None, options=PredictorOptions())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return exported.save(tmp_path / "a.onnx", {"output0": GRID}, ultralytics())


def changed(path: Path, change: Callable[[Any], object]) -> Path:
    model = onnx.load(str(path))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("size", [0, 1, 40, 200, -3])
def test_a_damaged_file_is_refused(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    assert "a.onnx cannot be loaded: " in refused(path)


def test_a_pointer_of_git_lfs_is_no_damaged_file(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\nsize 9\n")
    assert "a pointer of Git LFS: run `git lfs pull`" in refused(path)


@pytest.mark.parametrize(
    ("outputs", "line"),
    [
        ({"logits": (1, 300, 3), "pred_boxes": (1, 300, 4)}, "logits (1, 300, 3), pred_boxes (1, 300, 4)"),
        ({"boxes": (9, 4), "labels": (9,), "scores": (9,)}, "boxes (9, 4), labels (9), scores (9)"),
        ({"logits": (1, 3, 16, 16)}, "logits (1, 3, 16, 16)"),
    ],
)
def test_other_exports_name_their_outputs(
    tmp_path: Path, outputs: dict[str, tuple[int, ...]], line: str
) -> None:
    answers = {name: np.zeros(shape) for name, shape in outputs.items()}
    path = exported.save(tmp_path / "a.onnx", answers, {})
    assert f"its outputs are {line}, and those of YOLO (boxes, segments) or RF-DETR are read" in refused(path)


def test_noise_is_refused(path: Path) -> None:
    for seed in range(20):
        path.write_bytes(np.random.default_rng(seed).bytes(2000))
        assert "a.onnx cannot be loaded: " in refused(path)


def test_bytes_that_are_changed_anywhere_end_in_a_line_or_an_answer(path: Path) -> None:
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    n_loaded, lines = 0, list[str]()
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            load_predictor(str(path), None, options=PredictorOptions()).predict([made_image(64, 64)])
            n_loaded += 1
        except DetsegError as error:
            lines.append(str(error))
    assert 0 < n_loaded < 60
    assert not [line for line in lines if "\n" in line]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "gone.onnx is not there" in refused(tmp_path / "gone.onnx")


def test_a_folder_with_two_does_not_say_which(path: Path) -> None:
    path.with_name("b.onnx").write_bytes(path.read_bytes())
    assert "has 2 ONNX files (a.onnx, ...): name one of them" in refused(path.parent)


def extra(path: Path, *nodes: Any) -> Path:
    return exported.save(path, {"output0": GRID}, ultralytics(), nodes=nodes)


def test_operators_of_libraries_are_never_run(path: Path) -> None:
    extra(path, helper.make_node("Evil", ["images"], ["x"], domain="com.evil"))
    assert "the custom operator com.evil.Evil, which is never run" in refused(path)


def test_custom_operators_hide_in_no_branch(path: Path) -> None:
    inner = helper.make_node("Evil", [], ["x"], domain="com.evil")
    branch = helper.make_graph([inner], "b", [], [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])])
    yes = numpy_helper.from_array(np.array(True), "yes")
    extra(
        path,
        helper.make_node("Constant", [], ["yes"], value=yes),
        helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
    )
    assert "custom operator com.evil.Evil" in refused(path)


def test_what_may_run_for_ever_is_refused(path: Path) -> None:
    body = helper.make_graph([], "body", [], [])
    extra(path, helper.make_node("Loop", ["", ""], [], body=body))
    assert "it has a Loop, which may run for ever" in refused(path)


def test_results_that_fill_any_memory_are_refused(path: Path) -> None:
    sides = numpy_helper.from_array(np.array([100_000, 100_000, 100]), "sides")
    extra(
        path,
        helper.make_node("Constant", [], ["sides"], value=sides),
        helper.make_node("ConstantOfShape", ["sides"], ["huge"]),
    )
    assert "is to be 100000 x 100000 x 100 numbers" in refused(path)


@pytest.mark.parametrize("sides", [[1 << 40, 1 << 40], [-1, 4]])
def test_weights_of_no_possible_size_are_refused(path: Path, sides: Sequence[int]) -> None:
    def grow(model: Any) -> None:
        del model.graph.initializer[1].dims[:]
        model.graph.initializer[1].dims.extend(sides)

    assert f"is to be {' x '.join(map(str, sides))} numbers" in refused(changed(path, grow))


@pytest.mark.parametrize("place", ["../secret", "/etc/hostname", "", "sub/../../secret", "link"])
def test_weights_come_from_nowhere_else(path: Path, place: str) -> None:
    secret = path.parent.parent / "secret"
    secret.write_bytes(b"0" * 4096)
    (path.parent / "sub").mkdir()
    (path.parent / "link").symlink_to(secret)

    def move(model: Any) -> None:
        tensor = model.graph.initializer[1]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)

    assert "which is outside of its folder" in refused(changed(path, move))


def test_weights_that_are_gone_are_named(path: Path) -> None:
    def move(model: Any) -> None:
        tensor = model.graph.initializer[1]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="a.data")

    assert "its weights are in a.data, which is not beside it" in refused(changed(path, move))
    (path.parent / "a.data").write_bytes(b"0")
    assert "a.onnx cannot be loaded: " in refused(path)


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"task": "pose"}, "it is a YOLO for 'pose'"),
        ({"task": "segment"}, "it is for segment, and its outputs are (1, 7, 84)"),
        ({"names": {0: "bolt"}}, "of 1 classes, as its metadata name them, expected (1, 5, n)"),
        ({"names": {0: "bolt", 2: "nut"}}, "its metadata name no classes by number, under 'names'"),
        ({"names": {}}, "its metadata name no classes by number"),
        ({"names": 7}, "its metadata name no classes by number"),
        ({"names": {"a": "b"}}, "cannot be loaded"),
        ({"names": "__import__('os').system('false')"}, "'names' in its metadata is \"__import__"),
        ({"names": "[" * 10_000}, "'names' in its metadata is '[[["),
        ({"names": "(" * 900_000}, "'names' in its metadata is '((("),
        ({"names": " " * 2_000_000}, "its metadata are longer than 1 MiB"),
        ({"stride": 0}, "'stride' in its metadata is 0; expected 1 to 256"),
        ({"stride": 10**30}, "'stride' in its metadata is 1000"),
        ({"imgsz": [10**9, 64]}, "its images are to be [1000000000, 64]; expected 1 to 8192 pixels a side"),
        ({"imgsz": [64]}, "its images are to be [64]"),
    ],
)
def test_metadata_that_make_no_sense_are_named(tmp_path: Path, facts: dict[str, Any], line: str) -> None:
    path = exported.save(tmp_path / "a.onnx", {"output0": GRID}, ultralytics(**facts))
    assert line in refused(path)


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"task": "keypoints"}, "it is an RF-DETR for 'keypoints'"),
        ({"means": [0, 0]}, "for the colours' means or deviations"),
        ({"stds": [1, 0, 1]}, "for the colours' deviations"),
        ({"means": [float("inf"), 0, 0]}, "for the colours' means or deviations"),
        ({"class_id_to_name": {"9": "bolt"}}, "its metadata name class 9, and it has 4 logits"),
        ({"class_id_to_name": {}, "class_names": []}, "its metadata name no classes by number"),
    ],
)
def test_metadata_of_rf_detr_that_make_no_sense_are_named(
    tmp_path: Path, facts: dict[str, Any], line: str
) -> None:
    assert line in refused(exported.save(tmp_path / "a.onnx", LABELS, rf_detr(**facts)))


def test_an_rf_detr_of_older_versions_does_not_name_its_classes(tmp_path: Path) -> None:
    assert "write them into its metadata as 'names'" in refused(
        exported.save(tmp_path / "a.onnx", LABELS, {})
    )
    named = exported.save(tmp_path / "a.onnx", LABELS, {"names": str(NAMES)})
    assert load_predictor(str(named), None, options=PredictorOptions()).taxonomy.names == (
        "bolt",
        "nut",
        "gear",
    )
    assert "is not JSON" in refused(exported.save(tmp_path / "a.onnx", LABELS, {"rfdetr_inference": "{"}))
    text = json.dumps([1])
    assert "is no JSON object" in refused(
        exported.save(tmp_path / "a.onnx", LABELS, {"rfdetr_inference": text})
    )


@pytest.mark.parametrize("shape", [(1, 1, 64, 64), (1, 3, 64), (1, 3, 9000, 64), (500, 3, 64, 64)])
def test_inputs_that_are_no_images_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = exported.save(tmp_path / "a.onnx", {"output0": GRID}, ultralytics(), shape=shape)
    assert "expected" in refused(path)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (GRID * 40, "answers what no YOLO does"),
        (GRID * np.nan, "it answers what is no number"),
        (np.where(GRID == 20, np.inf, GRID), "is damaged"),
    ],
)
def test_answers_that_are_none_are_said(tmp_path: Path, values: Any, line: str) -> None:
    path = exported.save(tmp_path / "a.onnx", {"output0": values}, ultralytics())
    predictor = load_predictor(str(path), None, options=PredictorOptions())
    with pytest.raises((ImageError, ModelError), match=line):
        predictor.predict([made_image(64, 64)])


def test_a_class_that_is_not_named_is_said(tmp_path: Path) -> None:
    rows = exported.rows(np.array([[1, 1, 9, 9]]), np.array([0.9]), np.array([3]))
    path = exported.save(tmp_path / "a.onnx", {"output0": rows}, ultralytics())
    with pytest.raises(ModelError, match="answers a class that it does not name"):
        load_predictor(str(path), None, options=PredictorOptions()).predict([made_image(64, 64)])


def test_shapes_that_come_out_otherwise_than_told_are_said(tmp_path: Path) -> None:
    """A graph that tells nothing of its places, and answers fewer classes than it names."""
    wrong = np.zeros((1, 6, 84))
    path = exported.save(
        tmp_path / "a.onnx", {"output0": wrong}, ultralytics(), open_axes={"output0": {1: "channels"}}
    )
    assert "its output has the shape (1, ?, 84)" in refused(path)
