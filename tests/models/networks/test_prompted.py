from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import Sam2Processor, SamHQProcessor, SamProcessor

from detseg.errors import ModelError
from detseg.geometry.masks import mask_iou, mask_to_bitmap
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import CompileSwitch, Engine
from detseg.models.families import FAMILIES
from detseg.models.loading import load_predictor
from detseg.models.network import Network, NetworkRequest, PromptedNetwork
from detseg.models.predictor import PredictorOptions
from detseg.taxonomy import taxonomy_of_labels
from detseg.types import Mask
from tests.models import tiny
from tests.models.made import made_image

NAMES = ("bolt", "hex nut", "gear")
PROMPTED = {"sam": "SamModel", "sam_hq": "SamHQModel", "sam2": "Sam2Model", "edgetam": "EdgeTamModel"}
PROCESSORS = {
    "sam": SamProcessor,
    "sam_hq": SamHQProcessor,
    "sam2": Sam2Processor,
    "edgetam": Sam2Processor,
}
IMAGES = (made_image(90, 60, 0), made_image(90, 60, 1))
SIZES = [image.size for image in IMAGES]
BOXES = np.array([[5.0, 4.0, 40.0, 30.5], [50.2, 10.0, 88.0, 58.0], [0.0, 0.0, 90.0, 60.0]])
NONE = np.zeros((0, 4))
ENGINE = Engine(torch.device("cpu"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a tiny checkpoint by kind; built once, never written to."""
    root = tmp_path_factory.mktemp("prompted")

    def get(kind: str) -> str:
        path = root / kind
        return str(path if path.exists() else tiny.save(kind, path))

    return get


def wanted(*, score: float = 0.5, masks: bool = True, boxes: bool = True) -> NetworkRequest:
    return NetworkRequest(
        boxes=boxes,
        masks=masks,
        box_threshold=score,
        mask_threshold=score,
        pixel_threshold=0.5,
        overlap_threshold=0.8,
        names=NAMES,
    )


def load(folder: str, architecture: str, asked: NetworkRequest) -> tuple[Checkpoint, Any]:
    family = FAMILIES[architecture]
    checkpoint = family.load(folder, architecture)
    return checkpoint, family.network(checkpoint, asked, ENGINE)


@pytest.mark.parametrize(("kind", "architecture"), [("sam", "SamModel"), ("sam3", "Sam3Model")])
def test_a_checkpoint_stays_as_it_came(kind: str, architecture: str, saved: Callable[[str], str]) -> None:
    family = FAMILIES[architecture]
    checkpoint = family.load(saved(kind), architecture)
    parts = [dict(vars(part)) for part in checkpoint.model.modules()]
    family.network(checkpoint, wanted(), Engine(torch.device("cpu"), switch=CompileSwitch(on=True)))
    assert [vars(part) for part in checkpoint.model.modules()] == parts


def prompted(folder: str, architecture: str) -> tuple[Checkpoint, PromptedNetwork]:
    checkpoint, network = load(folder, architecture, wanted(boxes=False))
    return checkpoint, cast(PromptedNetwork, network)


@pytest.mark.parametrize("kind", PROMPTED)
def test_boxes_get_the_masks_that_the_library_gives_them(kind: str, saved: Callable[[str], str]) -> None:
    image = IMAGES[0]
    checkpoint, network = prompted(saved(kind), PROMPTED[kind])
    processor = PROCESSORS[kind](checkpoint.processor)
    inputs = processor(image.rgb.copy(), input_boxes=[BOXES.tolist()], return_tensors="pt")
    inputs["input_boxes"] = inputs["input_boxes"].float()
    with torch.no_grad():
        logits = checkpoint.model(**_of_model(inputs), multimask_output=False).pred_masks
    more = {"reshaped_input_sizes": inputs["reshaped_input_sizes"]} if kind in ("sam", "sam_hq") else {}
    expected = checkpoint.processor.post_process_masks(
        logits, inputs["original_sizes"], binarize=False, **more
    )
    (found,) = network.segment(network.prepare([image]), [BOXES], [image.size])
    assert len(found) == len(BOXES)
    for mask, one in zip(found, expected[0][:, 0].numpy(), strict=True):
        clear = np.abs(one) > 1e-3
        assert clear.mean() > 0.99
        np.testing.assert_array_equal(mask_to_bitmap(mask)[clear], (one > 0)[clear])
    assert any(0 < mask.area < image.size.area for mask in found)
    assert len({mask.counts for mask in found}) > 1


@pytest.mark.parametrize("kind", PROMPTED)
def test_an_image_has_the_masks_that_it_has_in_a_batch(kind: str, saved: Callable[[str], str]) -> None:
    _, network = prompted(saved(kind), PROMPTED[kind])
    together = network.segment(network.prepare(IMAGES), [BOXES, BOXES[::-1][:2]], SIZES)
    for image, boxes, masks in zip(IMAGES, (BOXES, BOXES[::-1][:2]), together, strict=True):
        (alone,) = network.segment(network.prepare([image]), [boxes], [image.size])
        assert [_difference(a, b) for a, b in zip(alone, masks, strict=True)] <= [3] * len(boxes)


@pytest.mark.parametrize("kind", PROMPTED)
def test_the_encoder_runs_once_per_image_and_never_for_none(kind: str, saved: Callable[[str], str]) -> None:
    checkpoint, network = prompted(saved(kind), PROMPTED[kind])
    encoded, decoded = _calls(checkpoint.model.vision_encoder), _calls(checkpoint.model.mask_decoder)
    many = np.tile(BOXES, (13, 1))  # 39, which is more than go through the decoder at once
    found = network.segment(network.prepare(IMAGES), [NONE, many], SIZES)
    assert [len(masks) for masks in found] == [0, 39]
    assert [_difference(a, b) for a, b in zip(found[1][:3], found[1][36:], strict=True)] <= [3, 3, 3]
    assert encoded == [1]
    assert decoded == [1, 1, 1]
    assert network.segment(network.prepare(IMAGES), [NONE, NONE], SIZES) == ((), ())
    assert (len(encoded), len(decoded)) == (1, 3)


@pytest.mark.parametrize(("threshold", "area"), [(0.0, 5400), (1.0, 0)])
def test_the_probability_of_a_pixel_decides(saved: Callable[[str], str], threshold: float, area: int) -> None:
    asked = NetworkRequest(False, True, 0.5, 0.5, pixel_threshold=threshold, overlap_threshold=0.8)
    _, network = load(saved("sam"), "SamModel", asked)
    assert [mask.area for mask in network.segment(network.prepare(IMAGES[:1]), [BOXES], SIZES[:1])[0]] == (
        [area] * 3
    )


@pytest.mark.parametrize("kind", ["sam2", "edgetam"])
def test_a_model_for_videos_gives_its_model_for_images(kind: str, saved: Callable[[str], str]) -> None:
    architecture = PROMPTED[kind].replace("Model", "VideoModel")
    checkpoint, network = prompted(saved(f"{kind}_video"), architecture)
    assert type(checkpoint.model).__name__ == PROMPTED[kind]
    kept = load_file(Path(saved(f"{kind}_video")) / "model.safetensors")
    for name, value in checkpoint.model.mask_decoder.state_dict().items():
        torch.testing.assert_close(value, kept[f"mask_decoder.{name}"])
    (found,) = network.segment(network.prepare(IMAGES[:1]), [BOXES], SIZES[:1])
    assert len(found) == 3


def test_sam3_for_videos_gives_its_model_for_images(saved: Callable[[str], str]) -> None:
    answers = []
    for kind, architecture in (("sam3", "Sam3Model"), ("sam3_video", "Sam3VideoModel")):
        _, network = load(saved(kind), architecture, wanted(score=0.0))
        answers.append(network.read(network.run(network.prepare(IMAGES[:1])), SIZES[:1])[0])
    assert answers[0]
    for one, other in zip(*answers, strict=True):
        assert one.label_id == other.label_id
        assert one.score == pytest.approx(other.score, abs=1e-5)
        assert one.box
        assert other.box
        assert one.box.xyxy == pytest.approx(other.box.xyxy, abs=1e-3)
        assert one.mask
        assert other.mask
        assert mask_iou(one.mask, other.mask) > 0.99  # rounding moves pixels at the threshold


@pytest.mark.parametrize("kind", PROMPTED)
def test_with_a_detector_things_have_box_and_mask(
    kind: str, saved: Callable[[str], str], checkpoint: Callable[[str], str]
) -> None:
    predictor = load_predictor(checkpoint("rt_detr_v2"), saved(kind), options=PredictorOptions())
    (things,) = predictor.predict([made_image(90, 60)])
    assert things
    assert all(one.box is not None for one in things)
    assert any(one.mask is not None and one.seen_by == "both" for one in things)
    assert predictor.version.startswith(f"rt_detr_v2+{kind}@")


def test_without_a_detector_there_are_no_boxes(saved: Callable[[str], str]) -> None:
    with pytest.raises(ModelError, match="--detector"):
        load_predictor(None, saved("sam"), options=PredictorOptions())


def test_a_prompted_model_is_no_detector(saved: Callable[[str], str]) -> None:
    with pytest.raises(ModelError, match="give it as --segmenter"):
        load_predictor(saved("sam2"), None, options=PredictorOptions())


def test_concepts_are_found_as_the_library_finds_them(saved: Callable[[str], str]) -> None:
    image = IMAGES[0]
    checkpoint, network = concepts(saved("sam3"), score=0.0)
    scores = [one.score for one in network.read(network.run(network.prepare([image])), [image.size])[0]]
    score = float(np.mean(sorted(scores)[len(scores) // 2 - 1 : len(scores) // 2 + 1]))
    checkpoint, network = concepts(saved("sam3"), score=score)
    (found,) = network.read(network.run(network.prepare([image])), [image.size])
    assert 0 < len(found) < len(scores)
    for label_id, name in enumerate(NAMES):
        inputs = checkpoint.processor(image.rgb.copy(), text=name, return_tensors="pt")
        with torch.no_grad():
            outputs = checkpoint.model(**_of_model(inputs))
        (expected,) = checkpoint.processor.image_processor.post_process_instance_segmentation(
            outputs, threshold=score, target_sizes=[(60, 90)]
        )
        mine = [one for one in found if one.label_id == label_id]
        np.testing.assert_allclose([one.score for one in mine], expected["scores"], rtol=0, atol=1e-5)
        corners = [one.box.xyxy for one in mine if one.box]
        np.testing.assert_allclose(
            np.reshape(corners, (-1, 4)), expected["boxes"].reshape(-1, 4), rtol=0, atol=1e-3
        )
        for one, mask in zip(mine, expected["masks"].numpy(), strict=True):
            assert one.mask is not None
            assert int((mask_to_bitmap(one.mask) != mask).sum()) <= 3


def test_an_image_is_encoded_once_for_all_concepts(saved: Callable[[str], str]) -> None:
    checkpoint, network = concepts(saved("sam3"), score=0.0)
    seen, texts = _calls(checkpoint.model.vision_encoder), _calls(checkpoint.model.text_encoder)
    found, other = network.read(network.run(network.prepare(IMAGES)), SIZES)
    assert {one.label_id for one in found} == {0, 1, 2}
    assert (seen, texts) == ([2], [])  # both images at once, and the names before
    (alone,) = network.read(network.run(network.prepare(IMAGES[1:])), SIZES[1:])
    np.testing.assert_allclose([one.score for one in alone], [one.score for one in other], atol=1e-5)


def test_concepts_answer_what_is_wanted_alone(saved: Callable[[str], str]) -> None:
    for masks, boxes in ((True, False), (False, True)):
        _, network = load(saved("sam3"), "Sam3Model", wanted(score=0.0, masks=masks, boxes=boxes))
        (found,) = network.read(network.run(network.prepare(IMAGES[:1])), SIZES[:1])
        assert found
        assert all((one.mask is not None, one.box is not None) == (masks, boxes) for one in found)


def test_a_name_that_is_too_long_for_the_model_is_one_line(saved: Callable[[str], str]) -> None:
    classes = taxonomy_of_labels(["bolt", "bolt " * 40])
    with pytest.raises(ModelError, match="rename the class"):
        load_predictor(saved("sam3"), None, options=PredictorOptions(), taxonomy=classes)


def test_concepts_come_from_the_taxonomy(saved: Callable[[str], str]) -> None:
    options = PredictorOptions(box_threshold=0.01, mask_threshold=0.01)
    predictor = load_predictor(
        saved("sam3"), saved("sam3"), options=options, taxonomy=taxonomy_of_labels(NAMES)
    )
    (things,) = predictor.predict(IMAGES[:1])
    assert things
    assert {one.label for one in things} <= set(NAMES)
    with pytest.raises(ModelError, match="classes"):
        load_predictor(saved("sam3"), None, options=PredictorOptions())


def concepts(folder: str, *, score: float) -> tuple[Checkpoint, Network]:
    checkpoint, network = load(folder, "Sam3Model", wanted(score=score))
    return checkpoint, cast(Network, network)


def test_weights_that_are_missing_are_said(saved: Callable[[str], str], tmp_path: Path) -> None:
    for file in Path(saved("sam")).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"preprocessor_config\.json"):
        FAMILIES["SamModel"].load(str(tmp_path), "SamModel")


def _of_model(inputs: Any) -> dict[str, Any]:
    return {k: v for k, v in inputs.items() if k not in ("original_sizes", "reshaped_input_sizes")}


def _calls(module: torch.nn.Module) -> list[int]:
    """Grows by the number of images with every call."""
    calls: list[int] = []

    def count(_: Any, args: Any, named: Any) -> None:
        first = args[0] if args else next(value for value in named.values() if torch.is_tensor(value))
        calls.append(len(first))

    module.register_forward_pre_hook(count, with_kwargs=True)
    return calls


def _difference(a: Mask, b: Mask) -> int:
    return int((mask_to_bitmap(a) != mask_to_bitmap(b)).sum())
