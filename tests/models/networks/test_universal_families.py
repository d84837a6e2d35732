"""Every mask family end to end, against the library's own post-processing of the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import transformers
from transformers import AutoImageProcessor, AutoProcessor, Mask2FormerImageProcessor

from detseg.geometry.masks import mask_to_bitmap
from detseg.models.checkpoints import read_architecture
from detseg.models.families import FAMILIES
from detseg.models.loading import load_predictor
from detseg.models.network import RawDetection
from detseg.models.predictor import PredictorOptions
from detseg.types import DecodedImage
from tests.models import tiny
from tests.models.answers import detections, network_of, photo, wanted
from tests.models.made import made_image
from tests.models.tiny_families import UNIVERSAL

IMAGE = made_image(160, 120)
LOW = {"threshold": 0.1, "mask_threshold": 0.5, "overlap_mask_area_threshold": 0.0}


@pytest.fixture(scope="module", params=sorted(UNIVERSAL))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(request.param, tmp_path_factory.mktemp("segmenters") / request.param)


@pytest.fixture(scope="module")
def rf_detr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save("rf_detr_masks", tmp_path_factory.mktemp("rf-detr") / "rf-detr-seg")


def raw(folder: Path, image: DecodedImage, *, panoptic: bool = True) -> tuple[Any, Any]:
    """The library's processor, and its model's output for the image."""
    architecture = read_architecture(str(folder))
    model = getattr(transformers, architecture).from_pretrained(folder).eval()
    if architecture.startswith("OneFormer"):
        processor = AutoProcessor.from_pretrained(folder, class_info_file=None)
        more = {"task_inputs": ["panoptic" if panoptic else "instance"]}
    else:
        processor, more = AutoImageProcessor.from_pretrained(folder), {}
    with torch.no_grad():
        return processor, model(**processor(images=image.rgb.copy(), return_tensors="pt", **more))


def segments(result: Any) -> list[tuple[int, float, bytes]]:
    """Label, score and pixels of the library's segments, in its order, without those that own no pixel."""
    maps = result["segmentation"].numpy()
    pixels = maps > 0 if maps.ndim == 3 else [maps == info["id"] for info in result["segments_info"]]
    rows = zip(result["segments_info"], pixels, strict=True)
    return [(info["label_id"], info["score"], one.tobytes()) for info, one in rows if one.any()]


def seen(some: tuple[RawDetection, ...]) -> list[tuple[int, float, bytes]]:
    """The same of ours; the library rounds scores."""
    return [
        (one.label_id, pytest.approx(one.score, abs=1e-5), bitmap(one).tobytes())
        for one in some
        if one.mask and one.mask.area
    ]


def bitmap(detection: RawDetection) -> npt.NDArray[np.bool_]:
    assert detection.mask
    return mask_to_bitmap(detection.mask).astype(bool)


def require_equal(folder: Path, image: DecodedImage, *, panoptic: bool) -> None:
    asked = wanted(mask_threshold=0.1, overlap_threshold=0.0, panoptic=panoptic)
    (ours,) = detections(network_of(folder, asked), [image])
    processor, outputs = raw(folder, image, panoptic=panoptic)
    sizes = [(image.size.height, image.size.width)]
    if panoptic and folder.name.startswith("eomt"):
        (theirs,) = processor.post_process_panoptic_segmentation(outputs, sizes, **LOW)
    elif panoptic:
        (theirs,) = processor.post_process_panoptic_segmentation(
            outputs, target_sizes=sizes, label_ids_to_fuse=set(), **LOW
        )
    elif folder.name.startswith("eomt"):
        (theirs,) = processor.post_process_instance_segmentation(outputs, sizes, threshold=0.1)
    else:
        if folder.name == "oneformer":
            processor = Mask2FormerImageProcessor()  # see test_oneformer_by_instance_leaves_a_background
        (theirs,) = processor.post_process_instance_segmentation(
            outputs, threshold=0.1, target_sizes=sizes, return_binary_maps=True
        )
    assert seen(ours) == segments(theirs)
    assert len(seen(ours)) > 1


@pytest.mark.parametrize("panoptic", [True, False])
def test_the_answer_is_the_librarys(folder: Path, panoptic: bool) -> None:
    require_equal(folder, IMAGE, panoptic=panoptic)


@pytest.mark.parametrize("panoptic", [True, False])
def test_the_answer_for_a_photo_is_the_librarys(folder: Path, shared_data: Path, panoptic: bool) -> None:
    require_equal(folder, photo(shared_data), panoptic=panoptic)


def require_alone_as_in_batch(folder: Path) -> None:
    network = network_of(folder, wanted(panoptic=True))
    images = [made_image(120, 160, seed=seed) for seed in (1, 2)]
    together = detections(network, images)
    for image, in_batch in zip(images, together, strict=True):
        (alone,) = detections(network, [image])
        assert [one.label_id for one in alone] == [one.label_id for one in in_batch]
        for one, other in zip(alone, in_batch, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)
            assert (bitmap(one) != bitmap(other)).sum() <= 2  # pixels on the edge, by rounding
    assert together[0] != together[1]


def test_an_image_alone_is_the_image_in_a_batch(folder: Path) -> None:
    require_alone_as_in_batch(folder)


def test_an_answer_without_segments_is_empty(folder: Path) -> None:
    network = network_of(folder, wanted(mask_threshold=1.0, panoptic=True))
    assert detections(network, [IMAGE]) == ((),)


def test_oneformer_by_instance_leaves_a_background(tmp_path: Path) -> None:
    """The library's own rules give every pixel to some thing, be it ever so unlikely."""
    processor, outputs = raw(tiny.save("oneformer", tmp_path), IMAGE, panoptic=False)
    processor.image_processor.class_info_file = ""  # None, it fails on
    (theirs,) = processor.post_process_instance_segmentation(
        outputs, threshold=0.0, overlap_mask_area_threshold=0.0, target_sizes=[(120, 160)]
    )
    covered = np.isin(theirs["segmentation"], [info["id"] for info in theirs["segments_info"]])
    logits = torch.nn.functional.interpolate(outputs.masks_queries_logits, size=(120, 160), mode="bilinear")
    background = (logits[0] < -0.5).all(0).numpy()
    assert (covered & background).sum() > 100

    network = network_of(tmp_path, wanted(mask_threshold=0.0, panoptic=False))
    (ours,) = detections(network, [IMAGE])
    assert len(ours) == 10
    assert not any((bitmap(one) & background).any() for one in ours)


def test_oneformer_is_told_what_to_do(tmp_path: Path) -> None:
    tiny.save("oneformer", tmp_path)
    tokens = [
        network_of(tmp_path, wanted(panoptic=panoptic)).prepare([IMAGE, IMAGE])["task_inputs"].tolist()
        for panoptic in (True, False)
    ]
    (panoptic, same), (instance, _) = tokens
    assert panoptic == same
    assert len(panoptic) == 16
    assert panoptic[:4] == instance[:4]
    assert panoptic != instance


def rf_detr_answer(folder: Path, image: DecodedImage, **asked: Any) -> tuple[RawDetection, ...]:
    (ours,) = detections(network_of(folder, wanted(**asked)), [image])
    return ours


def require_boxes_and_masks(folder: Path, image: DecodedImage) -> None:
    ours = rf_detr_answer(folder, image, box_threshold=0.2, mask_threshold=0.7, pixel_threshold=0.6)
    processor, outputs = raw(folder, image)
    sizes = [(image.size.height, image.size.width)]
    (boxes,) = processor.post_process_object_detection(outputs, threshold=0.2, target_sizes=sizes)
    assert [one.label_id for one in ours] == boxes["labels"].tolist()
    assert [one.score for one in ours] == pytest.approx(boxes["scores"].tolist(), abs=1e-5)
    corners = torch.tensor([one.box.xyxy for one in ours if one.box])
    torch.testing.assert_close(corners, boxes["boxes"], rtol=1e-5, atol=1e-3)
    (masks,) = processor.post_process_instance_segmentation(
        outputs,
        threshold=0.7,
        mask_threshold=float(torch.tensor(0.6).logit()),
        target_sizes=sizes,
        return_binary_maps=True,
    )
    assert seen(ours) == segments(masks)
    assert len(ours) > len(seen(ours)) > 1


def test_rf_detr_gives_boxes_and_masks_of_one_pass(rf_detr: Path) -> None:
    require_boxes_and_masks(rf_detr, IMAGE)
    require_alone_as_in_batch(rf_detr)


def test_rf_detr_gives_boxes_and_masks_of_a_photo(rf_detr: Path, shared_data: Path) -> None:
    require_boxes_and_masks(rf_detr, photo(shared_data))


def test_rf_detr_gives_what_is_asked_for(rf_detr: Path) -> None:
    both = rf_detr_answer(rf_detr, IMAGE)
    boxes = rf_detr_answer(rf_detr, IMAGE, masks=False)
    masks = rf_detr_answer(rf_detr, IMAGE, boxes=False)
    assert [one.box for one in boxes] == [one.box for one in both]
    assert [one.mask for one in masks] == [one.mask for one in both]
    assert not any(one.mask for one in boxes)
    assert not any(one.box for one in masks)
    assert rf_detr_answer(rf_detr, IMAGE, box_threshold=1.0, mask_threshold=1.0) == ()


@pytest.mark.parametrize(("pixel_threshold", "share"), [(0.0, 1.0), (1.0, 0.0)])
def test_rf_detr_takes_the_ends_of_the_range(rf_detr: Path, pixel_threshold: float, share: float) -> None:
    ours = rf_detr_answer(rf_detr, IMAGE, pixel_threshold=pixel_threshold)
    assert {one.mask.area for one in ours if one.mask} == {int(share * IMAGE.size.area)}


def test_each_universal_segmenter_of_the_library_for_images_is_in_the_registry() -> None:
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING_NAMES,
        MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES,
    )

    named = [
        *MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES.items(),
        *MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING_NAMES.items(),
    ]
    for kind, architecture in named:
        if kind != "videomt":  # of videos
            assert FAMILIES[architecture].kind == kind
            assert FAMILIES[architecture].masks


def test_rf_detr_as_a_segmenter_gives_instances_with_box_and_mask(rf_detr: Path) -> None:
    options = PredictorOptions(device="cpu", box_threshold=0.3, mask_threshold=0.3)
    (instances,) = load_predictor(None, str(rf_detr), options=options).predict([IMAGE])
    both = [one for one in instances if one.box and one.mask]
    assert len(both) > 1
    assert {one.seen_by for one in both} == {"both"}
