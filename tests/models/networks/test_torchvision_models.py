from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

from detseg.errors import ImageError, ModelError
from detseg.geometry.boxes import boxes_to_array
from detseg.geometry.masks import mask_to_bitmap, mask_to_box
from detseg.models.engine import Engine
from detseg.models.families import FAMILIES
from detseg.models.loading import load_predictor
from detseg.models.network import Network, NetworkRequest, RawDetection
from detseg.models.networks.semantic import read_regions
from detseg.models.networks.torchvision_checkpoints import save_torchvision
from detseg.models.predictor import PredictorOptions, predict_each
from detseg.types import DecodedImage
from tests.models.made import made_image
from tests.models.tiny_torchvision import LABELS, SEMANTIC_PRESET, as_tensor, build, torchvision_checkpoint

BUILDERS = [name for name, family in FAMILIES.items() if family.kind == "torchvision"]
DETECTORS = [name for name in BUILDERS if FAMILIES[name].boxes]
SEMANTIC = [name for name in BUILDERS if not FAMILIES[name].boxes]
IMAGES = (made_image(90, 60, 0), made_image(90, 60, 1))
LIGHT, MASKED = "fasterrcnn_mobilenet_v3_large_fpn", "maskrcnn_resnet50_fpn"
CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is deleted at once: these models have their real size, 160 MB each."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """The folder of a checkpoint by builder, built once, never written to."""
    root = tmp_path_factory.mktemp("torchvision")

    def get(builder: str) -> str:
        path = root / builder
        return str(path if path.exists() else torchvision_checkpoint(path, builder))

    yield get
    shutil.rmtree(root)


def load(folder: str | Path, *, boxes: bool, masks: bool, score: float, half: bool = False) -> Network:
    builder = json.loads((Path(folder) / "config.json").read_text())["architectures"][0]
    family = FAMILIES[builder]
    wanted = NetworkRequest(
        boxes=boxes,
        masks=masks,
        box_threshold=score,
        mask_threshold=score,
        pixel_threshold=0.5,
        overlap_threshold=0.8,
    )
    engine = Engine(CPU, torch.bfloat16 if half else torch.float32)
    return cast(Network, family.network(family.load(str(folder), builder), wanted, engine))


def answer(network: Network, *images: DecodedImage) -> tuple[tuple[RawDetection, ...], ...]:
    return network.read(network.run(network.prepare(images)), [image.size for image in images])


def ask(model: Any, *images: DecodedImage) -> list[dict[str, torch.Tensor]]:
    """The library's own answers.

    In the same memory layout, for these nets of random weights make much of how a convolution rounds.
    """
    model.to(memory_format=torch.channels_last)
    with torch.no_grad():
        results: list[dict[str, torch.Tensor]] = model([as_tensor(image) for image in images])
    return results


@pytest.mark.parametrize("builder", DETECTORS)
def test_a_detector_answers_what_the_library_answers_above_the_score(builder: str, folder: Path) -> None:
    model = build(builder)
    expected, _ = ask(model, *IMAGES)
    half = len(expected["scores"]) // 2
    score = float(expected["scores"][half - 1 : half + 1].mean())  # between two, so that rounding moves none
    keep = (expected["scores"] > score) & (expected["labels"] != 0)
    assert 4 <= int(keep.sum()) < len(keep)
    network = load(
        save_torchvision(model, folder, builder=builder, labels=LABELS),
        boxes=True,
        masks=FAMILIES[builder].masks,
        score=score,
    )
    found, other = answer(network, *IMAGES)
    assert [one.label_id for one in found] == expected["labels"][keep].tolist()
    np.testing.assert_allclose([one.score for one in found], expected["scores"][keep], rtol=0, atol=1e-5)
    np.testing.assert_allclose(_boxes(found), expected["boxes"][keep], rtol=0, atol=1e-3)
    (alone,) = answer(network, IMAGES[1])
    assert len(alone) == len(other) > 0
    apart = np.abs(_boxes(alone)[:, None] - _boxes(other)[None]).max(2)  # scores that tie may change places
    assert apart.min(0).max() < 1e-2
    assert apart.min(1).max() < 1e-2
    if not FAMILIES[builder].masks:
        assert all(one.mask is None for one in found)
        return
    for one, probabilities in zip(found, expected["masks"][keep][:, 0].numpy(), strict=True):
        assert one.mask is not None
        bitmap = mask_to_bitmap(one.mask)
        decided = np.abs(probabilities - 0.5) > 1e-4
        np.testing.assert_array_equal(bitmap[decided], (probabilities >= 0.5)[decided])
    assert sum(one.mask.area for one in found if one.mask) > 100


@pytest.mark.parametrize("builder", SEMANTIC)
def test_a_semantic_model_answers_the_regions_of_the_librarys_map(builder: str, folder: Path) -> None:
    model = build(builder)
    image = IMAGES[0]
    model.to(memory_format=torch.channels_last)
    with torch.no_grad():
        low = model(SEMANTIC_PRESET(torch.from_numpy(image.rgb.copy()).permute(2, 0, 1))[None])["out"]
        logits = functional.interpolate(low, size=image.rgb.shape[:2], mode="bilinear")[0]
    probabilities, labels = logits.softmax(0).max(0)
    top = logits.topk(2, dim=0).values
    tied = (top[0] - top[1]).numpy() < 1e-4
    path = save_torchvision(model, folder, builder=builder, labels=LABELS, resize_size=64)
    found, other = answer(load(path, boxes=False, masks=True, score=0.0), *IMAGES)
    regions = read_regions(labels.numpy(), probabilities.numpy(), threshold=0.0, seen_px=low[0, 0].numel())
    expected = [one for one in regions if one.label_id != 0]
    assert {one.label_id for one in found} == {one.label_id for one in expected}
    assert len(found) > 1
    for label_id in (1, 2, 3):
        np.testing.assert_array_equal(
            _union(found, label_id)[~tied], _union(expected, label_id)[~tied], err_msg=LABELS[label_id]
        )
    assert max(one.score for one in found) == pytest.approx(max(one.score for one in expected), abs=1e-4)
    assert other != found


def test_mask_rcnn_in_both_roles_gives_things_with_box_and_mask(saved: Callable[[str], str]) -> None:
    predictor = load_predictor(saved(MASKED), saved(MASKED), options=PredictorOptions(box_threshold=0.9))
    (things,) = predictor.predict(IMAGES[:1])
    assert {one.label for one in things} <= {"bolt", "nut", "gear"}
    assert any(one.box and one.mask and one.seen_by == "both" for one in things)
    assert predictor.version.startswith(f"{MASKED}@")


def test_a_semantic_model_alone_gives_things_their_boxes(folder: Path) -> None:
    name = "deeplabv3_mobilenet_v3_large"
    save_torchvision(build(name), folder, builder=name, labels=LABELS, resize_size=64)
    predictor = load_predictor(None, str(folder), options=PredictorOptions(mask_threshold=0.3))
    (things,) = predictor.predict(IMAGES[:1])
    assert things
    assert {one.label for one in things} <= {"bolt", "nut", "gear"}
    assert all(one.mask is not None and one.box == mask_to_box(one.mask) for one in things)


def test_a_thin_image_fills_no_memory(folder: Path) -> None:
    name = "lraspp_mobilenet_v3_large"
    save_torchvision(build(name), folder, builder=name, labels=LABELS)
    predictor = load_predictor(None, str(folder), options=PredictorOptions())
    tiny, thin = predict_each(predictor, [made_image(1, 1), made_image(10_000, 10)])
    assert isinstance(tiny, tuple)
    assert "16 times as long as wide" in str(thin)


def test_mask_rcnn_as_a_detector_runs_no_mask_head(saved: Callable[[str], str]) -> None:
    both = load(saved(MASKED), boxes=True, masks=True, score=0.6)
    boxes = load(saved(MASKED), boxes=True, masks=False, score=0.6)
    (result,) = boxes.run(boxes.prepare(IMAGES[:1]))
    assert "masks" not in result
    with_masks, without = answer(both, IMAGES[0])[0], answer(boxes, IMAGES[0])[0]
    np.testing.assert_array_equal(_boxes(with_masks), _boxes(without))
    assert all(one.mask is None for one in without)


def test_mask_rcnn_beside_a_detector_gives_masks_alone(saved: Callable[[str], str]) -> None:
    found = answer(load(saved(MASKED), boxes=False, masks=True, score=0.6), IMAGES[0])[0]
    assert found
    assert all(one.box is None and one.mask is not None for one in found)


def test_the_mask_head_runs_on_what_is_above_the_score_only(saved: Callable[[str], str]) -> None:
    every = answer(load(saved(MASKED), boxes=True, masks=True, score=0.0), IMAGES[0])[0]
    score = every[len(every) // 2].score
    network = load(saved(MASKED), boxes=True, masks=True, score=score)
    (result,) = network.run(network.prepare(IMAGES[:1]))
    assert 0 < len(result["scores"]) < len(every)
    assert result["masks"].shape == (len(result["scores"]), 1, 28, 28)
    assert (result["scores"] > score).all()


def test_an_image_without_an_object_has_no_instances(saved: Callable[[str], str]) -> None:
    assert answer(load(saved(MASKED), boxes=True, masks=True, score=1.0), *IMAGES) == ((), ())


def test_in_half_precision_boxes_keep_their_digits(saved: Callable[[str], str]) -> None:
    network = load(saved(LIGHT), boxes=True, masks=False, score=0.5, half=True)
    (result,) = network.run(network.prepare(IMAGES[:1]))
    boxes = result["boxes"]
    assert len(boxes) > 5
    assert boxes.dtype == torch.float32
    rounded = boxes.bfloat16().float() == boxes
    assert float(rounded.float().mean()) < 0.5  # some are 0, or the image's edge


def test_the_float32_twin_of_a_model_in_half_precision_is_exact(saved: Callable[[str], str]) -> None:
    half = load_predictor(saved(LIGHT), None, options=PredictorOptions(precision="bfloat16", device="cpu"))
    twin = half.in_float32()
    alone = load_predictor(saved(LIGHT), None, options=PredictorOptions(precision="float32", device="cpu"))
    exact = alone.predict(IMAGES[:1])
    assert exact[0]
    assert twin.predict(IMAGES[:1]) == exact
    assert half.predict(IMAGES[:1]) != exact


@pytest.mark.parametrize("size", [(1, 1), (3000, 4), (4, 3000)])
def test_extreme_images_are_answered_or_said_to_be_impossible(
    saved: Callable[[str], str], size: tuple[int, int]
) -> None:
    predictor = load_predictor(saved(LIGHT), None, options=PredictorOptions(box_threshold=0.3))
    good, odd = predict_each(predictor, [IMAGES[0], made_image(*size)])
    assert isinstance(good, tuple)
    if isinstance(odd, ImageError):
        assert "\n" not in str(odd)
        assert f"{size[0]}x{size[1]}" in str(odd)


def test_the_epsilon_of_frozen_norms_is_kept(folder: Path) -> None:
    trained = models.get_model(LIGHT, weights=None, weights_backbone=None, num_classes=len(LABELS))
    _freeze(trained, eps=0.01)
    save_torchvision(trained.eval(), folder, builder=LIGHT, labels=LABELS)
    loaded = FAMILIES[LIGHT].load(str(folder), LIGHT)
    x = as_tensor(IMAGES[0])[None]
    torch.testing.assert_close(loaded.model.backbone(x)["0"], trained.backbone(x)["0"])


def test_sizes_and_thresholds_of_the_model_are_kept(folder: Path) -> None:
    settings = {"min_size": 100, "max_size": 200, "box_nms_thresh": 0.2, "rpn_nms_thresh": 0.6}
    settings |= {"box_detections_per_img": 7, "rpn_post_nms_top_n_test": 50, "rpn_pre_nms_top_n_test": 60}
    model = models.get_model(LIGHT, weights=None, weights_backbone=None, num_classes=4, **settings)
    save_torchvision(model, folder, builder=LIGHT, labels=LABELS)
    written = json.loads((folder / "config.json").read_text())
    assert written.items() >= settings.items()
    loaded = FAMILIES[LIGHT].load(str(folder), LIGHT).model
    assert loaded.transform.min_size == (100,)
    assert loaded.roi_heads.detections_per_img == 7
    assert loaded.rpn.score_thresh == 0.05  # this builder's own
    assert loaded.config.id2label == {1: "bolt", 2: "nut", 3: "gear"}


def test_the_head_for_training_is_not_saved(folder: Path) -> None:
    name = "deeplabv3_mobilenet_v3_large"
    model = models.get_model(name, weights=None, weights_backbone=None, num_classes=4, aux_loss=True)
    save_torchvision(model, folder, builder=name, labels=LABELS)
    assert load(folder, boxes=False, masks=True, score=0.5)


@pytest.mark.parametrize(
    ("builder", "labels", "said"),
    [
        ("resnet50", LABELS, "no builder"),
        ("fasterrcnn_resnet50", LABELS, "no builder"),
        ("fasterrcnn_resnet50_fpn", LABELS, "another model"),
        ("ssd300_vgg16", LABELS, "not made by ssd300_vgg16"),
        (LIGHT, LABELS[1:], "number of classes"),
    ],
)
def test_a_model_that_its_builder_does_not_make_is_not_saved(
    tmp_path: Path, builder: str, labels: tuple[str, ...], said: str
) -> None:
    model = models.get_model(LIGHT, weights=None, weights_backbone=None, num_classes=4)
    with pytest.raises(ModelError, match=said) as caught:
        save_torchvision(model, tmp_path / "new", builder=builder, labels=labels)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_a_model_with_anchors_of_its_own_is_not_saved(tmp_path: Path) -> None:
    model = models.get_model(LIGHT, weights=None, weights_backbone=None, num_classes=4)
    model.rpn.anchor_generator.sizes = ((16, 32, 64, 128, 256),) * 3
    with pytest.raises(ModelError, match="anchors"):
        save_torchvision(model, tmp_path, builder=LIGHT, labels=LABELS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"minsize": 64}, "'minsize' is no setting"),
        ({"min_size": "64"}, "does not fit"),
        ({"image_mean": [0.5]}, "does not fit"),
        ({"id2label": ["bolt"]}, "id2label"),
        ({"id2label": {}}, "names no class"),
        ({"id2label": {"1": "bolt"}}, "number of classes"),
        ({"frozen_norm_eps": "small"}, "frozen_norm_eps"),
        ({"architectures": ["fasterrcnn_resnet50_fpn"]}, "another model"),
        ({"architectures": ["resnet50"]}, "is no detector but a resnet50"),
    ],
)
def test_a_config_that_cannot_be_is_one_line(
    saved: Callable[[str], str], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    folder = _copy(saved(LIGHT), tmp_path, **change)
    with pytest.raises(ModelError, match=said) as caught:
        load_predictor(str(folder), None, options=PredictorOptions())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"model.safetensors": b"no weights"}, "cannot be loaded"),
        ({"model.safetensors": None}, "no weights"),
        ({"model.safetensors": None, "model.pth": b"pickle"}, "pickled"),
        ({"config.json": b"{"}, "config.json"),
        ({"config.json": None}, "config.json"),
    ],
)
def test_damaged_files_are_one_line(
    saved: Callable[[str], str], tmp_path: Path, files: dict[str, bytes | None], said: str
) -> None:
    folder = _copy(saved(LIGHT), tmp_path)
    for name, content in files.items():
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=said) as caught:
        load_predictor(str(folder), None, options=PredictorOptions())
    assert "\n" not in str(caught.value)


def test_statistics_that_are_not_numbers_are_refused(folder: Path) -> None:
    model = build(LIGHT)
    next(one for name, one in model.named_buffers() if name.endswith("running_var")).fill_(float("nan"))
    save_torchvision(model, folder, builder=LIGHT, labels=LABELS)
    with pytest.raises(ModelError, match="not numbers"):
        load_predictor(str(folder), None, options=PredictorOptions())


def _copy(folder: str, tmp_path: Path, **change: Any) -> Path:
    """A folder with a changed config and the same weights (a hard link, replaced where a test writes)."""
    copied = tmp_path / "copied"
    copied.mkdir()
    content = json.loads((Path(folder) / "config.json").read_text()) | change
    (copied / "config.json").write_text(json.dumps(content))
    (copied / "model.safetensors").symlink_to(Path(folder) / "model.safetensors")
    return copied


def _freeze(module: torch.nn.Module, *, eps: float) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, torch.nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=eps))
        else:
            _freeze(child, eps=eps)


def _boxes(found: tuple[RawDetection, ...]) -> Any:
    return boxes_to_array([one.box for one in found if one.box])


def _union(found: Any, label_id: int) -> Any:
    bitmaps = [mask_to_bitmap(one.mask) for one in found if one.label_id == label_id]
    return np.any(bitmaps, axis=0) if bitmaps else np.zeros((60, 90), dtype=bool)
