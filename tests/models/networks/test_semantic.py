"""Every semantic family end to end, against the library's own class map; the regions that are made of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import transformers
from transformers import AutoImageProcessor

from detseg.errors import ImageError
from detseg.geometry.masks import mask_to_bitmap
from detseg.models.checkpoints import read_architecture
from detseg.models.families import FAMILIES
from detseg.models.network import RawDetection
from detseg.models.networks.semantic import SPECK_PX, SPECK_SHARE, class_map, read_regions
from detseg.types import DecodedImage, Size
from tests.models import tiny
from tests.models.answers import detections, network_of, photo, wanted
from tests.models.made import made_image
from tests.models.tiny_families import SEMANTIC

CROPPING = {"beit", "mobilenet_v2", "mobilevit", "mobilevitv2"}


@pytest.fixture(scope="module", params=sorted(SEMANTIC))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(request.param, tmp_path_factory.mktemp("semantic") / request.param)


def theirs(folder: Path, image: DecodedImage) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The library's class map of the whole image, -1 at ties, and the probability of each pixel's class."""
    processor = AutoImageProcessor.from_pretrained(folder)
    model = getattr(transformers, read_architecture(str(folder))).from_pretrained(folder).eval()
    whole: dict[str, Any] = {"do_center_crop": False} if folder.name in CROPPING else {}
    if folder.name == "beit":
        whole["size"] = dict(processor.crop_size)
    with torch.no_grad():
        outputs = model(**processor(images=image.rgb.copy(), return_tensors="pt", **whole))
    (result,) = processor.post_process_semantic_segmentation(
        outputs, target_sizes=[(image.size.height, image.size.width)], return_segmentation_scores=True
    )
    best, second = result["segmentation_scores"].topk(2, dim=0).values
    labels = torch.where(best - second > 1e-3, result["segmentation"], -1)
    probabilities = result["segmentation_scores"].softmax(0).max(0).values
    return labels.numpy(), probabilities.numpy()


def bitmap(detection: RawDetection) -> npt.NDArray[np.bool_]:
    assert detection.mask
    return mask_to_bitmap(detection.mask).astype(bool)


def require_equal(folder: Path, image: DecodedImage) -> None:
    (ours,) = detections(network_of(folder, wanted(mask_threshold=0.0)), [image])
    labels, probabilities = theirs(folder, image)
    assert {one.label_id for one in ours} == set(np.unique(labels).tolist()) - {-1}
    assert len({one.label_id for one in ours}) > 1
    covered = np.zeros_like(labels, dtype=int)
    for one in ours:
        pixels = bitmap(one)
        covered += pixels
        assert set(np.unique(labels[pixels]).tolist()) <= {one.label_id, -1}
        assert one.score == pytest.approx(float(probabilities[pixels].mean()), abs=1e-4)
    assert covered.max() == 1
    assert (labels == -1).mean() < 0.005
    assert covered.mean() > 0.9  # specks are left out


def test_the_regions_are_those_of_the_librarys_map(folder: Path) -> None:
    require_equal(folder, made_image(160, 120))


def test_the_regions_of_a_photo_are_those_of_the_librarys_map(folder: Path, shared_data: Path) -> None:
    require_equal(folder, photo(shared_data))


def test_an_image_alone_is_the_image_in_a_batch(folder: Path) -> None:
    network = network_of(folder, wanted(mask_threshold=0.0))
    images = [made_image(120, 160, seed=seed) for seed in (1, 2)]
    together = network.run(network.prepare(images))
    for image, in_batch in zip(images, together.logits, strict=True):
        alone = network.run(network.prepare([image])).logits[0]
        labels, probabilities = class_map(alone, image.size)
        batch_labels, batch_probabilities = class_map(in_batch, image.size)
        assert probabilities == pytest.approx(batch_probabilities, abs=1e-3)
        assert (labels != batch_labels).mean() < 1e-3  # of pixels that are as likely one as the other


def test_the_whole_image_is_looked_at(tmp_path: Path) -> None:
    """The processor would cut the centre out of a wide image, and the answer be stretched over all of it."""
    tiny.save("mobilenet_v2", tmp_path)
    wide = made_image(200, 50)
    cut = AutoImageProcessor.from_pretrained(tmp_path)(images=wide.rgb.copy(), return_tensors="pt")
    assert cut["pixel_values"].shape == (1, 3, 64, 64)
    network = network_of(tmp_path, wanted())
    assert network.prepare([wide])["pixel_values"].shape == (1, 3, 64, 256)


def test_a_long_image_is_squeezed_where_nothing_else_limits_it(tmp_path: Path) -> None:
    tiny.save("mobilenet_v2", tmp_path)
    network = network_of(tmp_path, wanted())
    assert network.prepare([made_image(900, 9)])["pixel_values"].shape == (1, 3, 64, 512)
    assert network.prepare([made_image(9, 900)])["pixel_values"].shape == (1, 3, 512, 64)
    (ours,) = detections(network, [made_image(900, 9)])
    assert {one.mask.size for one in ours if one.mask} == {Size(900, 9)}


@pytest.mark.parametrize(("width", "height", "n_pieces"), [(160, 120, 2), (60, 170, 3), (64, 64, 1)])
def test_a_semantic_eomt_looks_at_an_image_in_pieces(
    tmp_path: Path, width: int, height: int, n_pieces: int
) -> None:
    tiny.save("eomt_in_pieces", tmp_path)
    image = made_image(width, height)
    network = network_of(tmp_path, wanted(mask_threshold=0.0))
    inputs = network.prepare([image])
    assert len(inputs["pixel_values"]) == n_pieces
    (ours,) = network.read(network.run(inputs), [image.size])

    processor = AutoImageProcessor.from_pretrained(tmp_path)
    model = transformers.EomtForUniversalSegmentation.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        outputs = model(**processor(images=image.rgb.copy(), return_tensors="pt"))
    (result,) = processor.post_process_semantic_segmentation(
        outputs, [(height, width)], return_segmentation_scores=True
    )
    scores, labels = result["segmentation_scores"], result["segmentation"].numpy()
    shares = (scores.max(0).values / scores.sum(0)).numpy()
    assert len(ours) > 1
    for one in ours:
        pixels = bitmap(one)
        assert (labels[pixels] == one.label_id).all()
        assert one.score == pytest.approx(float(shares[pixels].mean()), abs=1e-4)


def test_a_semantic_eomt_with_two_images_gives_each_its_own(tmp_path: Path) -> None:
    tiny.save("eomt_in_pieces", tmp_path)
    network = network_of(tmp_path, wanted(mask_threshold=0.0))
    images = [made_image(120, 70, seed=seed) for seed in (1, 2)]
    together = detections(network, images)
    for image, in_batch in zip(images, together, strict=True):
        (alone,) = detections(network, [image])
        assert [one.label_id for one in alone] == [one.label_id for one in in_batch]
        for one, other in zip(alone, in_batch, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)
            assert (bitmap(one) != bitmap(other)).mean() < 1e-3
    assert together[0] != together[1]


def test_a_semantic_eomt_refuses_an_image_of_too_many_pieces(tmp_path: Path) -> None:
    tiny.save("eomt_in_pieces", tmp_path)
    network = network_of(tmp_path, wanted())
    with pytest.raises(ImageError, match="at 900x9 pixels, which are 100 square pieces"):
        network.prepare([made_image(900, 9)])


def test_each_region_is_a_sighting_with_its_mean_probability() -> None:
    labels = np.zeros((40, 50), dtype=np.int64)
    labels[2:6, 3:9] = 2
    labels[6:10, 9:12] = 2  # touches the one above at a corner
    labels[30:40, 40:50] = 2
    probabilities = np.full((40, 50), 0.75, dtype=np.float32)
    probabilities[2:6, 3:9] = 0.5
    ours = read_regions(labels, probabilities, threshold=0.0, seen_px=labels.size)
    found = [(one.label_id, one.mask.area, one.score) for one in ours if one.mask]
    assert found == [
        (0, 2000 - 136, pytest.approx(0.75)),
        (2, 36, pytest.approx((24 * 0.5 + 12 * 0.75) / 36)),
        (2, 100, pytest.approx(0.75)),
    ]
    assert (bitmap(ours[2]) == np.pad(np.ones((10, 10), bool), ((30, 0), (40, 0)))).all()


def test_a_region_that_is_no_surer_than_the_threshold_is_left_out() -> None:
    labels = np.array([[0, 0, 1, 1]])
    probabilities = np.array([[0.5, 0.7, 0.5, 0.5]], dtype=np.float32)
    assert [one.label_id for one in read_regions(labels, probabilities, threshold=0.5, seen_px=4)] == [0]


def test_specks_are_left_out_but_for_the_largest_region_of_a_label() -> None:
    labels = np.zeros((100, 100), dtype=np.int64)
    labels[10, 10:15] = 1  # as large as a speck can be, and one more
    labels[20, 10:14] = 1
    labels[30, 10:12] = 2
    labels[40, 10:11] = 2
    sure = np.ones((100, 100), dtype=np.float32)
    assert SPECK_SHARE * labels.size == SPECK_PX / 128_000 * labels.size == 5
    ours = read_regions(labels, sure, threshold=0.0, seen_px=128_000)
    assert [(one.label_id, one.mask.area) for one in ours if one.mask] == [(0, 9988), (1, 5), (2, 2)]
    seen_larger = read_regions(labels, sure, threshold=0.0, seen_px=160_000)
    assert [(one.label_id, one.mask.area) for one in seen_larger if one.mask][1:] == [(1, 5), (1, 4), (2, 2)]


def test_the_map_does_not_depend_on_how_many_labels_are_upsampled_at_once() -> None:
    logits = torch.randn(7, 5, 6, generator=torch.Generator().manual_seed(0)) * 3
    size = Size(31, 17)
    labels, probabilities = class_map(logits, size)
    upsampled = torch.nn.functional.interpolate(logits[None], size=(17, 31), mode="bilinear")[0]
    assert (labels == upsampled.argmax(0).numpy()).all()
    assert probabilities == pytest.approx(upsampled.softmax(0).max(0).values.numpy(), abs=1e-5)
    one_by_one = class_map(logits, size, elements_at_once=1)
    assert (labels == one_by_one[0]).all()
    assert probabilities == pytest.approx(one_by_one[1], abs=1e-5)


def test_scores_are_shares_of_their_sum() -> None:
    scores = torch.tensor([[[1.0, 0.0]], [[3.0, 0.0]]])
    labels, probabilities = class_map(scores, Size(2, 1), logits=False)
    assert labels.tolist() == [[1, 0]]
    assert probabilities.tolist() == [[0.75, 0.0]]


def test_a_single_pixel_has_its_class() -> None:
    labels, probabilities = class_map(torch.tensor([[[0.0]], [[1.0]]]), Size(1, 1))
    (only,) = read_regions(labels, probabilities, threshold=0.0, seen_px=labels.size)
    assert only.label_id == 1
    assert only.score == pytest.approx(1 / (1 + np.exp(-1.0)))


def test_each_semantic_family_is_in_the_registry() -> None:
    kinds = {family.kind for family in FAMILIES.values() if family.masks}
    assert kinds >= set(SEMANTIC)
