"""Our answers against direct calls of transformers on the same pixels, and where we differ on purpose."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoImageProcessor,
    AutoModelForObjectDetection,
    AutoModelForUniversalSegmentation,
    Mask2FormerImageProcessor,
)

from detseg.errors import ModelError
from detseg.geometry.masks import mask_to_bitmap
from detseg.models.findings import Findings, read_findings
from detseg.models.labels import LabelMap, map_labels
from detseg.models.loading import load_predictor
from detseg.models.network import NetworkRequest, RawDetection
from detseg.models.networks.detection import read_box
from detseg.models.networks.universal import post_process, read_segments, surviving_queries
from detseg.models.predictor import PredictorOptions
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, Size
from tests.models.made import made_image
from tests.models.tiny_families import SEGMENTER_LABELS

Folder = Callable[[str], str]
STUFF = {SEGMENTER_LABELS.index("tray"), SEGMENTER_LABELS.index("belt")}


def run(auto_class: Any, folder: str, image: Any) -> tuple[Any, Any, list[tuple[int, int]]]:
    processor, model = AutoImageProcessor.from_pretrained(folder), auto_class.from_pretrained(folder).eval()
    with torch.no_grad():
        outputs = model(**processor(images=image.rgb.copy(), return_tensors="pt"))
    return processor, outputs, [(image.size.height, image.size.width)]


@pytest.mark.parametrize("kind", ["detr", "rt_detr_v2"])
def test_boxes_are_the_librarys_clipped_to_the_image(checkpoint: Folder, kind: str) -> None:
    image = made_image(97, 61, seed=1)
    processor, outputs, sizes = run(AutoModelForObjectDetection, checkpoint(kind), image)
    (theirs,) = processor.post_process_object_detection(outputs, threshold=0.4, target_sizes=sizes)
    options = PredictorOptions(device="cpu", precision="float32", box_threshold=0.4)
    (ours,) = load_predictor(checkpoint(kind), None, options=options).predict([image])

    order = torch.argsort(theirs["scores"], descending=True, stable=True)
    expected = theirs["boxes"][order].numpy().clip(0, [97, 61, 97, 61])
    assert len(ours) == len(order) > 3
    assert [one.score for one in ours] == pytest.approx(theirs["scores"][order].tolist(), abs=1e-6)
    assert np.array([one.box.xyxy for one in ours if one.box]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", ["detr_panoptic", "mask2former"])
def test_masks_are_the_librarys(checkpoint: Folder, kind: str) -> None:
    image = made_image(97, 61, seed=1)
    processor, outputs, sizes = run(AutoModelForUniversalSegmentation, checkpoint(kind), image)
    (theirs,) = processor.post_process_panoptic_segmentation(
        outputs, threshold=0.3, overlap_mask_area_threshold=0.1, label_ids_to_fuse=set(), target_sizes=sizes
    )
    options = PredictorOptions(device="cpu", precision="float32", mask_threshold=0.3, overlap_threshold=0.1)
    taxonomy = Taxonomy(
        tuple(LabelClass(name, "stuff" if i in STUFF else "thing") for i, name in enumerate(SEGMENTER_LABELS))
    )
    (ours,) = load_predictor(None, checkpoint(kind), options=options, taxonomy=taxonomy).predict([image])

    expected: dict[Any, np.ndarray] = {}
    for info in theirs["segments_info"]:
        key = info["label_id"] if info["label_id"] in STUFF else (info["label_id"], info["id"])
        pixels = (theirs["segmentation"] == info["id"]).numpy()
        expected[key] = expected.get(key, np.zeros_like(pixels)) | pixels
    assert len([one for one in ours if one.mask]) == len(expected) > 0
    tied = lead_of_the_owner(outputs, 0.3, sizes[0]) < 1e-15  # of equals, rounding says whose the pixel is
    assert tied.mean() < 0.1
    bitmaps = {(mask_to_bitmap(one.mask) & ~tied).tobytes() for one in ours if one.mask}
    assert bitmaps == {(pixels & ~tied).tobytes() for pixels in expected.values()}


def lead_of_the_owner(outputs: Any, threshold: float, size: tuple[int, int]) -> np.ndarray:
    """By how much the largest weighed probability of a pixel leads the second, (H, W)."""
    logits = outputs.logits if "logits" in outputs else outputs.class_queries_logits
    masks = outputs.pred_masks if "pred_masks" in outputs else outputs.masks_queries_logits
    scores, label_ids = logits[0].softmax(-1).max(-1)
    keep = (label_ids != logits.shape[-1] - 1) & (scores > threshold)
    upsampled = torch.nn.functional.interpolate(masks[:, keep].sigmoid(), size, mode="bilinear")[0]
    best = (upsampled * scores[keep, None, None]).topk(2, dim=0).values
    lead: np.ndarray = (best[0] - best[1]).numpy()
    return lead


def stripes(label_ids: list[int], n_labels: int) -> SimpleNamespace:
    """What a Mask2Former would answer that sees one stripe per label, side by side, without doubt."""
    n = len(label_ids)
    logits = torch.full((1, n, n_labels + 1), -10.0)
    masks = torch.full((1, n, 4, 4 * n), -10.0)
    for i, label_id in enumerate(label_ids):
        logits[0, i, label_id] = 10.0
        masks[0, i, :, 4 * i : 4 * i + 4] = 10.0
    return SimpleNamespace(class_queries_logits=logits, masks_queries_logits=masks)


def names_of(labels: tuple[str, ...]) -> LabelMap:
    taxonomy = Taxonomy((LabelClass("bolt"), LabelClass("belt", "stuff")))
    return map_labels(dict(enumerate(labels)), taxonomy, boxes=False)


def wanted(*, panoptic: bool, threshold: float = 0.5) -> NetworkRequest:
    return NetworkRequest(
        boxes=False,
        masks=True,
        box_threshold=0.5,
        mask_threshold=threshold,
        pixel_threshold=0.5,
        overlap_threshold=0.02,
        panoptic=panoptic,
    )


def read(processor: Any, seen: SimpleNamespace, labels: LabelMap, *, panoptic: bool = True) -> Findings:
    size = Size(400, 40)
    (result,) = post_process(processor, seen, [size], wanted=wanted(panoptic=panoptic))
    return read_findings(read_segments(result), labels, size)


def test_a_class_of_stuff_is_one_instance_and_no_thing_is_lost_to_it() -> None:
    """belt, bolt, bolt, belt, bolt: with the library's own fusion the last bolt is one with the first."""
    seen = stripes([1, 0, 0, 1, 0], 2)
    processor = Mask2FormerImageProcessor()
    (fused,) = processor.post_process_panoptic_segmentation(
        seen, label_ids_to_fuse={1}, target_sizes=[(40, 400)]
    )
    assert len({info["id"] for info in fused["segments_info"] if info["label_id"] == 0}) == 2  # 3 bolts

    found = read(processor, seen, names_of(("bolt", "belt")))
    assert [one.label for one in found.instances] == ["bolt", "bolt", "bolt", "belt"]
    areas = [one.mask.area for one in found.instances if one.mask]
    assert sum(areas) == 40 * 400
    assert areas[3] == pytest.approx(2 * 40 * 80, rel=0.1)
    assert not found.unmapped


def test_labels_without_a_class_are_counted_and_placeholders_are_not() -> None:
    labels = names_of(("bolt", "belt", "moose", "N/A"))
    found = read(Mask2FormerImageProcessor(), stripes([0, 2, 3, 1], 4), labels)
    assert [one.label for one in found.instances] == ["bolt", "belt"]
    assert found.unmapped == {"moose": 1}


def test_a_checkpoint_of_things_alone_does_not_flood_the_background() -> None:
    """One bolt in a quarter of the image: the panoptic form would give it every pixel."""
    seen = stripes([0], 1)
    seen.masks_queries_logits = torch.nn.functional.pad(seen.masks_queries_logits, (0, 12), value=-10.0)
    for panoptic, share in ((False, 0.25), (True, 1.0)):
        found = read(Mask2FormerImageProcessor(), seen, names_of(("bolt",)), panoptic=panoptic)
        assert [one.mask.area for one in found.instances if one.mask] == pytest.approx(
            [share * 40 * 400], rel=0.05
        )


def test_a_box_of_less_than_nothing_is_dropped_and_one_that_is_no_number_is_an_error() -> None:
    inverted = RawDetection(0, 0.9, box=read_box([5.0, 5.0, 3.0, 9.0], model="m"))
    assert inverted.box == Box(5.0, 5.0, 5.0, 9.0)
    assert read_findings([inverted], names_of(("bolt",)), Size(9, 9)).instances == ()
    for corner in (math.nan, math.inf):
        with pytest.raises(ModelError, match=r"m answered the box .*: the checkpoint is damaged"):
            read_box([0.0, 0.0, corner, 1.0], model="m")


def test_an_answer_without_segments_is_empty() -> None:
    seen = stripes([1], 1)  # "no object" only
    assert read(Mask2FormerImageProcessor(), seen, names_of(("bolt",))).instances == ()


@pytest.mark.parametrize("threshold", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("panoptic", [True, False])
def test_leaving_out_what_cannot_survive_changes_nothing(panoptic: bool, threshold: float) -> None:
    """Random queries, several labels of one query above a low threshold among them."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1, 90, 6, generator=generator) * 2
    logits[:, 20:, -1] += 9.0  # most queries are sure to be no object
    masks = torch.nn.functional.interpolate(torch.randn(1, 90, 3, 4, generator=generator) * 9, (12, 16))
    keep = surviving_queries(logits[0], threshold=threshold, panoptic=panoptic)
    assert 0 < len(keep) < 90
    answers = []
    for some in (slice(None), keep):
        outputs = SimpleNamespace(class_queries_logits=logits[:, some], masks_queries_logits=masks[:, some])
        asked = wanted(panoptic=panoptic, threshold=threshold)
        (result,) = post_process(Mask2FormerImageProcessor(), outputs, [Size(60, 50)], wanted=asked)
        answers.append(sorted(read_segments(result), key=lambda one: (-one.score, one.label_id)))
    assert answers[0] == answers[1] != []


def test_without_survivors_there_are_no_segments() -> None:
    outputs = SimpleNamespace(
        class_queries_logits=torch.zeros(1, 0, 3), masks_queries_logits=torch.zeros(1, 0, 4, 4)
    )
    for panoptic in (True, False):
        (result,) = post_process(
            Mask2FormerImageProcessor(), outputs, [Size(8, 8)], wanted=wanted(panoptic=panoptic)
        )
        assert read_segments(result) == ()
