"""The sample scenes: the same for a seed for ever, with truth that agrees with itself to the pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from detseg.geometry.masks import mask_to_bitmap, mask_to_box
from detseg.samples.placement import PART_NAMES
from detseg.samples.scenes import SAMPLE_CLASSES, STUFF_NAMES, THING_NAMES, Scene, generate_scene
from detseg.types import Size

SIZES = (
    Size(640, 480),
    Size(97, 61),
    Size(61, 97),
    Size(300, 700),
    Size(1201, 333),
    Size(16, 16),
    Size(3, 2),
)
SCENES = tuple(generate_scene(seed, size) for size in SIZES for seed in (0, 1, 2))
LARGE = tuple(generate_scene(seed) for seed in range(30))

COARSE_SCENE_0 = (
    (118.37, 108.18, 113.07, 105.71),
    (136.69, 135.25, 133.58, 120.7),
    (134.66, 138.73, 136.85, 111.46),
    (121.23, 132.01, 129.0, 101.16),
)
THINGS_OF_SCENE_0 = [
    ("bolt", (8.0, 268.0, 121.0, 346.0)),
    ("washer", (434.0, 306.0, 506.0, 377.0)),
    ("washer", (83.0, 334.0, 165.0, 419.0)),
    ("bracket", (85.0, 178.0, 255.0, 302.0)),
    ("gear", (309.0, 73.0, 411.0, 175.0)),
    ("washer", (25.0, 340.0, 90.0, 405.0)),
    ("bolt", (119.0, 368.0, 222.0, 466.0)),
    ("bracket", (283.0, 203.0, 374.0, 299.0)),
    ("gear", (396.0, 112.0, 515.0, 230.0)),
]


def scene_name(scene: Scene) -> str:
    return f"{scene.size}-{scene.seed}"


def bitmaps(scene: Scene) -> list[npt.NDArray[np.bool_]]:
    return [mask_to_bitmap(i.mask) for i in scene.instances if i.mask is not None]


def test_the_classes_are_five_things_and_two_surfaces() -> None:
    assert THING_NAMES == ("bolt", "nut", "washer", "gear", "bracket") == PART_NAMES
    assert STUFF_NAMES == ("tray", "belt")
    assert len({c.colour for c in SAMPLE_CLASSES}) == len(SAMPLE_CLASSES)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_seed_and_a_size_make_one_scene(size: Size) -> None:
    first, second = generate_scene(5, size), generate_scene(5, size)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.panoptic.tobytes() == second.panoptic.tobytes()
    assert first.instances == second.instances


def test_other_seeds_make_other_scenes() -> None:
    assert len({scene.image.tobytes() for scene in LARGE}) == len(LARGE)
    assert {i.label for scene in LARGE for i in scene.instances} == set(THING_NAMES + STUFF_NAMES)


def test_the_scenes_are_the_ones_that_the_checkpoints_learned() -> None:
    """A change of the generator makes the shipped checkpoints worse without any other sign.

    The means of a coarse grid, so that another processor's rounding does not matter.
    """
    scene = generate_scene(0)
    coarse = scene.image.reshape(4, 120, 4, 160, 3).mean(axis=(1, 3, 4))
    np.testing.assert_allclose(coarse, COARSE_SCENE_0, atol=0.05)
    things = [i for i in scene.instances if i.box is not None]
    assert [i.label for i in things] == [label for label, _ in THINGS_OF_SCENE_0]
    for thing, (_, xyxy) in zip(things, THINGS_OF_SCENE_0, strict=True):
        assert thing.box is not None
        assert thing.box.xyxy == pytest.approx(xyxy, abs=1)


@pytest.mark.parametrize("scene", SCENES, ids=scene_name)
def test_image_and_map_have_the_size_that_was_asked_for(scene: Scene) -> None:
    height, width = scene.size.height, scene.size.width
    assert scene.image.shape == (height, width, 3)
    assert scene.image.dtype == np.uint8
    assert scene.panoptic.shape == (height, width)


@pytest.mark.parametrize("scene", SCENES, ids=scene_name)
def test_masks_share_no_pixel_and_cover_all(scene: Scene) -> None:
    assert (np.sum(bitmaps(scene), axis=0) == 1).all()


@pytest.mark.parametrize("scene", SCENES, ids=scene_name)
def test_the_panoptic_map_is_the_masks(scene: Scene) -> None:
    assert len(scene.segment_ids) == len(set(scene.segment_ids)) == len(scene.instances)
    assert min(scene.segment_ids) > 0  # 0 is nothing in COCO's panoptic format
    for segment_id, bitmap in zip(scene.segment_ids, bitmaps(scene), strict=True):
        np.testing.assert_array_equal(scene.panoptic == segment_id, bitmap)


@pytest.mark.parametrize("scene", SCENES, ids=scene_name)
def test_boxes_of_things_are_tight_and_surfaces_have_none(scene: Scene) -> None:
    for instance in scene.instances:
        assert instance.mask is not None
        assert instance.score is None
        assert instance.kind == ("thing" if instance.label in THING_NAMES else "stuff")
        assert instance.box == (mask_to_box(instance.mask) if instance.kind == "thing" else None)


@pytest.mark.parametrize("scene", LARGE, ids=scene_name)
def test_a_scene_has_parts_a_tray_and_a_belt_that_can_be_seen(scene: Scene) -> None:
    labels = [i.label for i in scene.instances]
    assert 3 <= sum(label in THING_NAMES for label in labels) <= 9
    assert labels[-2:] == ["tray", "belt"]
    for instance in scene.instances:
        assert instance.mask is not None
        assert instance.mask.area >= (60 if instance.kind == "thing" else 10_000)


def test_parts_are_hidden_cut_off_and_of_many_sizes() -> None:
    boxes = [i.box for scene in LARGE for i in scene.instances if i.box is not None]
    extents = [max(b.x1 - b.x0, b.y1 - b.y0) for b in boxes]
    assert np.percentile(extents, 10) < 70 < 110 < np.percentile(extents, 90)
    cut = [b for b in boxes if b.x0 == 0 or b.y0 == 0 or b.x1 == 640 or b.y1 == 480]
    assert len(cut) >= 5
    touching = 0
    for scene in LARGE:
        right, down = (
            scene.panoptic[:, :-1] != scene.panoptic[:, 1:],
            scene.panoptic[:-1] != scene.panoptic[1:],
        )
        parts = scene.panoptic >= 3
        touching += bool(
            (right & parts[:, :-1] & parts[:, 1:]).any() or (down & parts[:-1] & parts[1:]).any()
        )
    assert touching >= 10


def test_holes_show_what_lies_below() -> None:
    """The middle of an uncovered washer belongs to the tray, the belt or another part."""
    n_seen = 0
    for scene in LARGE:
        for instance, bitmap, segment_id in zip(
            scene.instances, bitmaps(scene), scene.segment_ids, strict=True
        ):
            if instance.label != "washer" or instance.box is None:
                continue
            box = instance.box
            inside = box.x0 > 0 and box.y0 > 0 and box.x1 < 640 and box.y1 < 480
            if not inside or abs((box.x1 - box.x0) - (box.y1 - box.y0)) > 2:
                continue
            y, x = int((box.y0 + box.y1) / 2), int((box.x0 + box.x1) / 2)
            assert not bitmap[y, x]
            assert scene.panoptic[y, x] != segment_id
            n_seen += 1
    assert n_seen >= 10


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        generate_scene(-1)
