"""DETR's boxes and masks from one forward pass against the library's own, with the real configuration."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import DetrConfig, DetrForSegmentation, DetrImageProcessor
from transformers.models.detr.image_processing_detr import compute_segments

from detseg.geometry.boxes import boxes_to_array
from detseg.geometry.masks import mask_to_bitmap
from detseg.images import read_image
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.network import NetworkRequest, RawDetection
from detseg.models.networks.detr import Detr
from detseg.models.networks.segments import panoptic_segments
from detseg.types import DecodedImage, Size

N_LABELS = 250
SHORTEST_EDGE = 224  # the library's own mask head takes 20 s and 13 GB at 800


@pytest.fixture(scope="module")
def model() -> DetrForSegmentation:
    """DETR-R50 panoptic in its real shape; under its random weights some of the queries survive, not all."""
    torch.manual_seed(0)
    model = DetrForSegmentation(DetrConfig(num_labels=N_LABELS)).eval()
    classifier = model.detr.class_labels_classifier
    torch.nn.init.normal_(model.detr.model.query_position_embeddings.weight, std=3.0)
    torch.nn.init.normal_(classifier.weight, std=0.4)
    torch.nn.init.normal_(model.mask_head.output_conv.weight, std=1.0)
    return model


@pytest.fixture(scope="module")
def processor() -> DetrImageProcessor:
    return DetrImageProcessor(size={"shortest_edge": SHORTEST_EDGE, "longest_edge": 400})


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> list[DecodedImage]:
    return [read_image(str(file)) for file in sorted((shared_data / "coco20" / "images").iterdir())[:3]]


def wanted(threshold: float) -> NetworkRequest:
    return NetworkRequest(
        boxes=True,
        masks=True,
        box_threshold=threshold,
        mask_threshold=threshold,
        pixel_threshold=0.5,
        overlap_threshold=0.2,
        panoptic=True,
    )


def lead_of_the_owner(output: Any, threshold: float, size: tuple[int, int]) -> Any:
    """By how much the largest weighed probability of a pixel leads the second, (H, W)."""
    scores, label_ids = output.logits[0].softmax(-1).max(-1)
    keep = (label_ids != N_LABELS) & (scores > threshold)
    upsampled = functional.interpolate(output.pred_masks[:, keep].sigmoid(), size, mode="bilinear")[0]
    best = (upsampled * scores[keep, None, None]).topk(2, dim=0).values
    return (best[0] - best[1]).numpy()


def network(model: DetrForSegmentation, processor: DetrImageProcessor, threshold: float = 0.1) -> Detr:
    checkpoint = Checkpoint("detr", copy.deepcopy(model), processor)
    return Detr(checkpoint, wanted(threshold), Engine(torch.device("cpu")))


@pytest.fixture(scope="module")
def theirs(
    model: DetrForSegmentation, processor: DetrImageProcessor, photos: list[DecodedImage]
) -> list[Any]:
    """The library's raw output per photo."""
    with torch.no_grad():
        return [model(**processor(images=photo.rgb.copy(), return_tensors="pt")) for photo in photos]


def answered(
    model: DetrForSegmentation, processor: DetrImageProcessor, photo: DecodedImage, threshold: float
) -> tuple[RawDetection, ...]:
    own = network(model, processor, threshold)
    (detections,) = own.read(own.run(own.prepare([photo])), [photo.size])
    return detections


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_boxes_and_masks_are_the_librarys(
    model: DetrForSegmentation,
    processor: DetrImageProcessor,
    photos: list[DecodedImage],
    theirs: list[Any],
    share: float,
) -> None:
    n_masks = n_queries = 0
    best = torch.cat([one.logits.softmax(-1)[..., :-1].amax(-1) for one in theirs])
    threshold = float(best.quantile(share))  # so that about so many queries do not survive
    for photo, output in zip(photos, theirs, strict=True):
        sizes = [(photo.size.height, photo.size.width)]
        (boxes,) = processor.post_process_object_detection(output, threshold=threshold, target_sizes=sizes)
        (segments,) = processor.post_process_panoptic_segmentation(
            output,
            threshold=threshold,
            overlap_mask_area_threshold=0.2,
            label_ids_to_fuse=set(),
            target_sizes=sizes,
        )
        ours = answered(model, processor, photo, threshold)
        found = [one for one in ours if one.box]
        assert [one.label_id for one in found] == boxes["labels"].tolist()
        assert [one.score for one in found] == pytest.approx(boxes["scores"].tolist(), abs=1e-5)
        corners = boxes_to_array([one.box for one in found if one.box])
        assert corners == pytest.approx(boxes["boxes"].numpy(), abs=1e-3)

        masked = [one for one in ours if one.mask]
        infos = segments["segments_info"]
        assert [one.label_id for one in masked] == [info["label_id"] for info in infos]
        assert [one.score for one in masked] == pytest.approx([info["score"] for info in infos], abs=1e-5)
        numbered = np.zeros(sizes[0], dtype=int)
        for number, one in enumerate(masked, 1):
            numbered[mask_to_bitmap(one.mask)] = number if one.mask else 0
        if not infos:
            continue
        different = numbered != segments["segmentation"].numpy()
        assert (lead_of_the_owner(output, threshold, sizes[0])[different] < 2e-4).all()
        assert different.mean() < 0.02
        n_masks += len(masked)
        n_queries += len(ours)
    assert n_masks >= 3
    assert 3 < n_queries < 250


def test_without_a_survivor_the_mask_head_does_not_run(
    model: DetrForSegmentation, processor: DetrImageProcessor, photos: list[DecodedImage]
) -> None:
    own = network(model, processor, threshold=1.0)
    (answer,) = own.run(own.prepare(photos[:1]))
    assert answer.masks is None
    assert own.read([answer], [photos[0].size]) == ((),)


def test_segments_follow_the_librarys_rules() -> None:
    """Random masks, some of which lose most of themselves to others, in sizes that do not divide."""
    generator = torch.Generator().manual_seed(3)
    kept = set()
    for n in (1, 2, 9):
        logits = functional.interpolate(torch.randn(1, n, 4, 5, generator=generator) * 6, (13, 17))[0]
        scores = torch.rand(n, generator=generator) * 0.5 + 0.5
        theirs, infos = compute_segments(
            logits.sigmoid(), scores, torch.arange(n), 0.5, 0.6, set(), target_size=(41, 57)
        )
        ours = panoptic_segments(logits, scores, Size(57, 41), pixel_threshold=0.5, overlap_threshold=0.6)
        assert ours.kept == tuple(info["label_id"] for info in infos)
        for info in infos:
            assert np.array_equal(ours.owners == info["label_id"], theirs.numpy() == info["id"])
        kept.add(len(infos) == n)
    assert kept == {True, False}
