"""Exported models: their answers, and what numpy, OpenCV, torch and torchvision make of the same numbers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional
from torchvision.ops import batched_nms
from torchvision.transforms.functional import normalize
from torchvision.transforms.functional import resize as torchvision_resize

from detseg.config import Settings
from detseg.errors import ModelError
from detseg.geometry.masks import mask_to_bitmap
from detseg.models.checkpoint_predictor import CheckpointPredictor
from detseg.models.checkpoints import read_architecture
from detseg.models.families import FAMILIES
from detseg.models.loading import load_predictor
from detseg.models.networks.exported import fit_letterbox
from detseg.models.predictor import PredictorOptions
from detseg.pipeline.predictors import load, predictor_settings
from detseg.types import DecodedImage, Instance, Size
from tests.models import exported
from tests.models.answers import network_of, wanted
from tests.models.exported import NAMES, Array, rf_detr, ultralytics
from tests.models.made import made_image

RNG = np.random.default_rng(3)
BOXES = np.array([[32, 32, 20, 10], [33, 32, 20, 10], [10, 30, 8, 8], [50, 30, 6, 16]], dtype=np.float32)
SCORES = np.array([[0.9, 0.1, 0.0], [0.8, 0.0, 0.0], [0.0, 0.7, 0.1], [0.2, 0.3, 0.4]], dtype=np.float32)
KEPT = {0.5: (0, 2), 0.3: (0, 2, 3)}  # the second box is the first again
WIDE, TALL, SMALL = made_image(128, 64), made_image(90, 180), made_image(30, 20)


def load_file(path: Path, role: str = "detector", **options: Any) -> CheckpointPredictor:
    names = {"detector": (str(path), None), "segmenter": (None, str(path)), "both": (str(path), str(path))}
    return load_predictor(*names[role], options=PredictorOptions(**options))


def outputs_of(layout: str, coefficients: Array | None = None) -> Array:
    """The four boxes in one of YOLO's layouts, with what each would leave after its own suppression."""
    if layout == "grid":
        return exported.grid(BOXES, SCORES, coefficients)
    if layout == "anchors":
        objectness = np.array([0.9, 0.9, 1.0, 0.8], dtype=np.float32)
        return exported.anchors(BOXES, SCORES / objectness[:, None], objectness, coefficients)
    kept = [0, 2, 3]
    corners = np.concatenate((BOXES[:, :2] - BOXES[:, 2:] / 2, BOXES[:, :2] + BOXES[:, 2:] / 2), axis=1)
    rest = None if coefficients is None else coefficients[kept]
    return exported.rows(corners[kept], SCORES.max(1)[kept], SCORES.argmax(1)[kept], rest)


def metadata_of(layout: str, task: str = "detect") -> dict[str, str]:
    """YOLOv5 says less than Ultralytics; YOLO26 says that it is end to end."""
    if layout == "anchors":
        return {"stride": "32", "names": str(list(NAMES.values()))}
    return ultralytics(task, end2end=layout == "rows")


def in_image(size: Size, side: int = 64) -> Array:
    """The boxes in pixels of an image of that size, by the rule of Ultralytics' ``scale_boxes``."""
    gain = min(side / size.height, side / size.width)
    pad = [round((side - round(length * gain)) / 2 - 0.1) for length in (size.width, size.height)]
    corners = np.concatenate((BOXES[:, :2] - BOXES[:, 2:] / 2, BOXES[:, :2] + BOXES[:, 2:] / 2), axis=1)
    return (corners - pad * 2) / gain


def boxes_in(instances: Sequence[Instance]) -> list[tuple[float, ...]]:
    return [one.box.xyxy for one in instances if one.box]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("threshold", KEPT)
@pytest.mark.parametrize("layout", ["grid", "anchors", "rows"])
def test_the_boxes_of_each_yolo_are_those_that_were_put_in(
    tmp_path: Path, layout: str, threshold: float, half: bool
) -> None:
    path = exported.save(
        tmp_path / "a.onnx",
        {"output0": outputs_of(layout)},
        metadata_of(layout),
        half=half,
        shape=(1, 3, 64, 64),
    )
    images = [WIDE, SMALL, WIDE, TALL]
    if layout == "anchors":  # it does not say the size of its images, and the graph does
        assert "imgsz" not in metadata_of(layout)
    answers = load_file(path, box_threshold=threshold).predict(images)
    assert answers[0] == answers[2]
    for image, instances in zip(images, answers, strict=True):
        limits = [image.size.width, image.size.height] * 2
        expected = [np.clip(in_image(image.size)[k], 0, limits) for k in KEPT[threshold]]
        found = [k for k, box in zip(KEPT[threshold], expected, strict=True) if (box[2:] > box[:2]).all()]
        assert len(found) >= 1
        assert [one.label for one in instances] == [NAMES[int(SCORES[k].argmax())] for k in found]
        assert [one.score for one in instances] == pytest.approx([SCORES[k].max() for k in found], abs=2e-3)
        assert np.allclose(
            boxes_in(instances), [expected[KEPT[threshold].index(k)] for k in found], atol=1e-3
        )


@pytest.mark.parametrize("layout", ["grid", "anchors", "rows"])
@pytest.mark.parametrize("image", [WIDE, TALL], ids=["wide", "tall"])
def test_masks_are_those_of_the_prototypes_in_the_boxes(
    tmp_path: Path, layout: str, image: DecodedImage
) -> None:
    """As Ultralytics' ``process_mask_native`` makes them: cut, enlarged by torch, cut to the box."""
    coefficients = RNG.normal(size=(4, 32)).astype(np.float32)
    protos = RNG.normal(size=(1, 32, 16, 16)).astype(np.float32)
    outputs = {"output0": outputs_of(layout, coefficients), "output1": protos}
    path = exported.save(tmp_path / "a.onnx", outputs, metadata_of(layout, "segment"))
    instances = load_file(path, "both").predict([image])[0]
    assert [one.label for one in instances] == ["bolt", "nut"][: len(instances)]
    size, box = image.size, in_image(image.size)
    inner = [
        round(length * min(64 / size.width, 64 / size.height)) // 4 for length in (size.width, size.height)
    ]
    left, top = ((16 - side) // 2 for side in inner)
    for k, one in zip(KEPT[0.5], instances, strict=False):
        logits = torch.tensor(np.einsum("c,chw->hw", coefficients[k], protos[0]))
        cut = logits[top : top + inner[1], left : left + inner[0]]
        large = functional.interpolate(
            cut[None, None], (size.height, size.width), mode="bilinear", align_corners=False
        )[0, 0].numpy()
        x, y = np.arange(size.width), np.arange(size.height)[:, None]
        inside = (x >= box[k, 0]) & (x < box[k, 2]) & (y >= box[k, 1]) & (y < box[k, 3])
        assert one.mask is not None
        assert one.seen_by == "both"
        differing = mask_to_bitmap(one.mask) != ((large > 0) & inside)
        assert np.abs(large[differing]).max(initial=0.0) < 1e-4  # where rounding decides
        assert 0 < one.mask.area < inside.sum()


def test_a_segmenter_alone_gives_masks_with_boxes_and_a_detector_boxes_alone(tmp_path: Path) -> None:
    coefficients, protos = np.ones((4, 32), np.float32), np.ones((1, 32, 16, 16), np.float32)
    outputs = {"output0": outputs_of("grid", coefficients), "output1": protos}
    path = exported.save(tmp_path / "a.onnx", outputs, ultralytics("segment"))
    (whole,), (boxes,) = (load_file(path, role).predict([WIDE]) for role in ("segmenter", "detector"))
    assert all(one.mask and one.box for one in whole)
    assert all(one.mask is None for one in boxes)
    assert boxes_in(whole) == boxes_in(boxes)
    (strict,) = load_file(path, "both", box_threshold=0.99, mask_threshold=0.8).predict([WIDE])
    assert [one.label for one in strict] == ["bolt"]


@pytest.mark.parametrize("size", [Size(100, 37), Size(37, 100), Size(640, 480), Size(3, 500), Size(64, 64)])
@pytest.mark.parametrize("open_size", [False, True])
def test_images_go_in_as_opencv_scales_them(tmp_path: Path, size: Size, open_size: bool) -> None:
    """Ultralytics' ``LetterBox``: OpenCV's resizing, a border of 114; of an open size, up to the stride."""
    shape = ("batch", 3, "height", "width") if open_size else (1, 3, 96, 64)
    facts = ultralytics(imgsz=[96, 64])
    path = exported.save(
        tmp_path / "a.onnx",
        {"output0": outputs_of("grid")},
        facts,
        shape=shape,
        open_axes={"output0": {2: "anchors"}} if open_size else None,
    )
    image = made_image(size.width, size.height)
    network = network_of(path, wanted(masks=False))
    (given,) = network.prepare([image])
    scale = min(96 / size.height, 64 / size.width)
    width, height = max(1, round(size.width * scale)), max(1, round(size.height * scale))
    across, down = 64 - width, 96 - height
    if open_size:
        across, down = across % 32, down % 32
    scaled = cv2.resize(image.rgb, (width, height), interpolation=cv2.INTER_LINEAR)
    top, bottom, left, right = (
        round(one) for one in (down / 2 - 0.1, down / 2 + 0.1, across / 2 - 0.1, across / 2 + 0.1)
    )
    expected = cv2.copyMakeBorder(
        scaled, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114)
    )
    assert given.shape == (1, 3, *expected.shape[:2])
    assert given.dtype == np.float32
    levels = np.abs(given[0].transpose(1, 2, 0) * 255 - expected)
    assert levels.max() < 1.01  # OpenCV counts in whole numbers
    assert (levels > 0.01).mean() < 0.2
    assert network.read(network.run([given]), [size])  # and the graph takes it


def test_random_weights_answer_what_torch_and_torchvision_make_of_them(tmp_path: Path) -> None:
    """A convolution with strides, whose 64 places overlap: scores and boxes depend on the image."""
    weight = RNG.normal(scale=0.2, size=(7, 3, 8, 8)).astype(np.float32)
    bias = np.zeros(7, np.float32)
    spread = np.array([8, 8, 4, 4, 1, 1, 1], np.float32).reshape(1, 7, 1)
    centre = np.zeros((1, 7, 64), np.float32)
    centre[0, :4] = np.stack(
        [np.tile(np.arange(8) * 8 + 4, 8), np.repeat(np.arange(8) * 8 + 4, 8), *[np.full(64, 60)] * 2]
    )
    told = {"weight": weight, "bias": bias, "spread": spread, "centre": centre, "flat": np.array([1, 7, 64])}
    nodes = [
        helper.make_node("Conv", ["images", "weight", "bias"], ["seen"], strides=[8, 8]),
        helper.make_node("Reshape", ["seen", "flat"], ["rows"]),
        helper.make_node("Sigmoid", ["rows"], ["share"]),
        helper.make_node("Mul", ["share", "spread"], ["moved"]),
        helper.make_node("Add", ["moved", "centre"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "looking",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 7, 64])],
        [numpy_helper.from_array(value, name) for name, value in told.items()],
    )
    path = exported.save_graph(tmp_path / "a.onnx", graph, ultralytics())
    images = [made_image(64, 64, seed) for seed in range(3)]
    answers = load_file(path, box_threshold=0.6).predict(images)
    for image, instances in zip(images, answers, strict=True):
        pixels = torch.tensor(image.rgb.copy()).permute(2, 0, 1)[None] / 255
        seen = functional.conv2d(pixels, torch.tensor(weight), stride=8).reshape(7, 64).sigmoid()
        values = seen * torch.tensor(spread[0]) + torch.tensor(centre[0])
        boxes = torch.cat((values[:2] - values[2:4] / 2, values[:2] + values[2:4] / 2)).T
        scores, labels = values[4:].max(0)
        sure = scores > 0.6
        kept = batched_nms(boxes[sure], scores[sure], labels[sure], 0.7)
        assert 0 < len(kept) < int(sure.sum())
        expected = boxes[sure][kept].clamp(0, 64).numpy()
        assert np.allclose(boxes_in(instances), expected, atol=1e-3)
        assert [one.score for one in instances] == pytest.approx(scores[sure][kept].tolist(), abs=1e-5)
    assert len({tuple(boxes_in(one)) for one in answers}) == 3
    for image, in_batch in zip(images, answers, strict=True):
        assert load_file(path, box_threshold=0.6).predict([image]) == (in_batch,)


def test_an_rf_detr_gives_its_queries(tmp_path: Path) -> None:
    dets = np.array([[[0.5, 0.5, 0.4, 0.2], [0.25, 0.5, 0.1, 0.5], [0.9, 0.9, 0.5, 0.5]]], np.float32)
    labels = np.array([[[3.0, -9, -9, 0], [-9, 0.1, 1.0, -9], [-9, -9, -9, -1.0]]], np.float32)
    masks = RNG.normal(size=(1, 3, 12, 16)).astype(np.float32)
    outputs = {"labels": labels, "masks": masks, "dets": dets}  # found by name, not by place
    path = exported.save(tmp_path / "a.onnx", outputs, rf_detr("segment"), shape=(1, 3, 48, 64))
    (instances,) = load_file(path, "both", box_threshold=0.52, mask_threshold=0.6).predict([WIDE])
    assert [one.label for one in instances] == ["bolt", "gear", "nut"]
    scores = [3.0, 1.0, 0.1]
    assert [one.score for one in instances] == pytest.approx([1 / (1 + np.exp(-one)) for one in scores])
    first, second = (38.4, 25.6, 89.6, 38.4), (25.6, 16.0, 38.4, 48.0)
    assert np.allclose(boxes_in(instances), [first, second, second], atol=1e-4)
    large = functional.interpolate(torch.tensor(masks), (64, 128), mode="bilinear", align_corners=False)[0]
    for k, one in zip((0, 1), instances, strict=False):
        assert one.mask is not None
        assert (mask_to_bitmap(one.mask) == (large[k] > 0).numpy()).all()
    assert instances[2].mask is None  # 0.52 is enough for a box


def test_images_go_into_an_rf_detr_as_torchvision_scales_them(tmp_path: Path) -> None:
    outputs = {"dets": np.zeros((1, 3, 4)), "labels": np.zeros((1, 3, 4))}
    path = exported.save(tmp_path / "a.onnx", outputs, rf_detr(), shape=(1, 3, 48, 64))
    (given,) = network_of(path, wanted(masks=False)).prepare([TALL])
    pixels = torch.tensor(TALL.rgb.copy()).permute(2, 0, 1) / 255
    scaled = torchvision_resize(pixels, [48, 64], antialias=False)
    expected = normalize(scaled, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert np.allclose(given[0], expected.numpy(), atol=1e-4)


def test_batches_of_a_fixed_number_and_of_any(tmp_path: Path) -> None:
    once = exported.save(tmp_path / "one.onnx", {"output0": outputs_of("grid")}, ultralytics())
    four = exported.save(
        tmp_path / "four.onnx",
        {"output0": np.repeat(outputs_of("grid"), 4, axis=0)},
        ultralytics(batch=4),
        shape=(4, 3, 64, 64),
    )
    assert load_file(once).predict([WIDE, TALL]) == load_file(four).predict([WIDE, TALL])
    assert load_file(once).predict([]) == ()


def test_the_version_is_that_of_file_and_thresholds_wherever_it_lies(tmp_path: Path) -> None:
    path = exported.save(tmp_path / "found.onnx", {"output0": outputs_of("grid")}, ultralytics())
    version = load_file(path).version
    assert version.startswith("found@")
    (tmp_path / "folder").mkdir()
    shutil.copy(path, tmp_path / "folder" / "found.onnx")
    assert load_file(tmp_path / "folder" / "found.onnx").version == version
    assert load_file(path, box_threshold=0.4).version != version
    exported.save(path, {"output0": outputs_of("grid") + 0.001}, ultralytics())
    assert load_file(path).version != version
    in_folder = load_file(tmp_path / "folder").version
    assert in_folder.startswith("folder@")
    assert in_folder.partition("@")[2] == version.partition("@")[2]


def test_weights_beside_the_file_are_part_of_the_version(tmp_path: Path) -> None:
    import onnx

    path = exported.save(tmp_path / "a.onnx", {"output0": outputs_of("grid")}, ultralytics())
    model = onnx.load(str(path))
    onnx.save(
        model, str(path), save_as_external_data=True, all_tensors_to_one_file=True, location="a.data",
        size_threshold=0,
    )  # fmt: skip
    predictor = load_file(path)
    assert predictor.files == (str(tmp_path / "a.data"),)
    assert len(predictor.predict([WIDE])[0]) == 2
    version = predictor.version
    data = bytearray((tmp_path / "a.data").read_bytes())
    data[-1] ^= 1
    (tmp_path / "a.data").write_bytes(data)
    assert load_file(path).version != version


def test_the_settings_name_it_by_a_path(tmp_path: Path) -> None:
    exported.save(tmp_path / "a.onnx", {"output0": outputs_of("grid")}, ultralytics())
    settings = Settings(root=tmp_path).updated(model__detector="a.onnx", model__segmenter="")
    predictor = load(predictor_settings(settings))
    assert predictor.taxonomy.names == ("bolt", "nut", "gear")
    assert [one.label for one in predictor.predict([WIDE])[0]] == ["bolt", "nut"]


def test_it_takes_as_many_threads_as_torch(tmp_path: Path) -> None:
    path = exported.save(tmp_path / "a.onnx", {"output0": outputs_of("grid")}, ultralytics())
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        runtime = network_of(path, wanted(masks=False))._runtime
        assert runtime._session.get_session_options().intra_op_num_threads == 1
    finally:
        torch.set_num_threads(before)


def test_without_the_runtime_a_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported.save(tmp_path / "a.onnx", {"output0": outputs_of("grid")}, ultralytics())
    for module in ("onnxruntime", "onnx"):
        with monkeypatch.context() as gone:
            gone.setitem(sys.modules, module, None)
            with pytest.raises(ModelError, match=rf"needs {module} .*pip install 'detseg\[onnx\]'"):
                load_file(path)


def test_each_family_is_in_the_registry(tmp_path: Path) -> None:
    path = exported.save(tmp_path / "a.onnx", {"output0": outputs_of("grid")}, ultralytics())
    assert FAMILIES[read_architecture(str(path))].kind == "yolo_onnx"
    with pytest.raises(ModelError, match=r"is a detector \(YoloDetectOnnx\): give it as --detector"):
        load_file(path, "segmenter")


def test_the_smallest_image_has_a_letterbox(tmp_path: Path) -> None:
    path = exported.save(tmp_path / "a.onnx", {"output0": outputs_of("grid")}, ultralytics())
    for image in (made_image(1, 1), made_image(1, 900), made_image(900, 1)):
        assert load_file(path, box_threshold=0.0).predict([image])
    export = network_of(path, wanted(masks=False))._export
    assert fit_letterbox(Size(5000, 1), export).inner == Size(64, 1)
