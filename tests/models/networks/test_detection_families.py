"""Every detection family end to end, against the library's own post-processing of the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from detseg.models.families import FAMILIES
from detseg.types import DecodedImage
from tests.models import tiny
from tests.models.answers import detections, network_of, photo, wanted
from tests.models.made import made_image
from tests.models.tiny_families import DETECTORS


@pytest.fixture(scope="module", params=sorted(DETECTORS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(request.param, tmp_path_factory.mktemp("detectors") / request.param)


def theirs(folder: Path, image: DecodedImage, threshold: float) -> dict[str, Any]:
    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForObjectDetection.from_pretrained(folder).eval()
    with torch.no_grad():
        outputs = model(**processor(images=image.rgb.copy(), return_tensors="pt"))
    sizes = [(image.size.height, image.size.width)]
    (result,) = processor.post_process_object_detection(outputs, threshold=threshold, target_sizes=sizes)
    return dict(result)


def require_equal(folder: Path, image: DecodedImage) -> None:
    (ours,) = detections(network_of(folder, wanted(box_threshold=0.4)), [image])
    expected = theirs(folder, image, 0.4)
    assert len(ours) > 2
    assert [one.label_id for one in ours] == expected["labels"].tolist()
    assert [one.score for one in ours] == pytest.approx(expected["scores"].tolist(), abs=1e-5)
    boxes = [list(one.box.xyxy) for one in ours if one.box]
    assert len({tuple(box) for box in boxes}) > 2
    torch.testing.assert_close(torch.tensor(boxes), expected["boxes"], rtol=1e-5, atol=1e-3)


def test_the_answer_is_the_librarys(folder: Path) -> None:
    require_equal(folder, made_image(160, 120))


def test_the_answer_for_a_photo_is_the_librarys(folder: Path, shared_data: Path) -> None:
    require_equal(folder, photo(shared_data))


@pytest.mark.parametrize("kind", ["pp_doclayout_v2", "pp_doclayout_v3"])
def test_the_boxes_of_a_layout_are_the_librarys_without_its_reading_order(tmp_path: Path, kind: str) -> None:
    folder, image = tiny.save(kind, tmp_path / kind), made_image(160, 120)
    (ours,) = detections(network_of(folder, wanted(box_threshold=0.4)), [image])
    expected = theirs(folder, image, 0.4)
    best_first = expected["scores"].argsort(descending=True)
    assert len(ours) > 2
    assert [one.label_id for one in ours] == expected["labels"][best_first].tolist()
    assert [one.score for one in ours] == pytest.approx(expected["scores"][best_first].tolist(), abs=1e-5)
    boxes = torch.tensor([list(one.box.xyxy) for one in ours if one.box])
    torch.testing.assert_close(boxes, expected["boxes"][best_first], rtol=1e-5, atol=1e-3)


def test_an_image_alone_is_the_image_in_a_batch(folder: Path) -> None:
    network = network_of(folder, wanted())
    images = [made_image(120, 160, seed=seed) for seed in (1, 2)]
    together = detections(network, images)
    for image, in_batch in zip(images, together, strict=True):
        (alone,) = detections(network, [image])
        assert [one.label_id for one in alone] == [one.label_id for one in in_batch]
        for one, other in zip(alone, in_batch, strict=True):
            # Random weights blow rounding up: by 1.1e-4 on a CPU that adds in another order with two images.
            assert one.score == pytest.approx(other.score, abs=5e-4)
            assert one.box
            assert other.box
            assert one.box.xyxy == pytest.approx(other.box.xyxy, rel=1e-5, abs=1e-4)
    assert together[0] != together[1]


def test_each_detector_of_the_library_is_in_the_registry() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES as NAMES

    of_texts = ("pp_ocr", "pp_doclayout_v4")  # polygons around words, boxes with four corners of their own
    for kind, architecture in NAMES.items():
        if not kind.startswith(of_texts):
            assert FAMILIES[architecture].kind == kind
            assert FAMILIES[architecture].boxes
