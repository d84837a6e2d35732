"""YOLO folders that supervision reads: every box and outline, empty images, and what is lost, as was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import supervision
import yaml
from hypothesis import HealthCheck, given, settings
from matplotlib.path import Path as Outline
from PIL import Image
from scipy import ndimage

from detseg.errors import DatasetError
from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Format, Loss, check_names, describe_splits
from detseg.formats.yolo import YOLO, YOLO_SEGMENT
from detseg.geometry.extent import extent
from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap
from detseg.taxonomy import LabelClass
from detseg.types import Box, Instance, Mask, Size
from tests.formats.made import CLASSES, datasets

SIZE = Size(40, 30)
NUMBERS = {cls.name: number for number, cls in enumerate(CLASSES)}
EXAMPLES = settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def write(format_: Format, images: list[ImageLabels], folder: Path) -> tuple[Path, ...]:
    """The dataset with its pictures."""
    assert format_.image_path is not None
    for image in images:
        path = folder / format_.image_path(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (image.size.width, image.size.height)).save(path)
    return format_.write(Contents(CLASSES, lambda: iter(images), lambda _: b""), folder)


def losses(format_: Format, image: ImageLabels) -> Mapping[Loss, int]:
    assert format_.losses is not None
    return format_.losses(image)


def rows(folder: Path, image: ImageLabels) -> list[list[str]]:
    text = (folder / "labels" / (image.split or "train") / f"{Path(image.name).stem}.txt").read_text()
    return [line.split() for line in text.splitlines()]


def one_image(*instances: Instance, name: str = "a.png", split: str = "train") -> ImageLabels:
    return ImageLabels(name, SIZE, instances, split)


@EXAMPLES
@given(images=datasets())
def test_supervision_reads_the_boxes(
    images: list[ImageLabels], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("yolo")
    write(YOLO, images, folder)
    for side in {image.split or "train" for image in images}:
        read = supervision.DetectionDataset.from_yolo(
            str(folder / "images" / side), str(folder / "labels" / side), str(folder / "data.yaml")
        )
        assert read.classes == [cls.name for cls in CLASSES]
        of_side = [image for image in images if (image.split or "train") == side]
        assert sorted(Path(path).name for path in read.image_paths) == sorted(image.name for image in of_side)
        for image in of_side:
            found = read.annotations[str(folder / "images" / side / image.name)]
            things = [one for one in image.instances if one.kind == "thing"]
            lost = losses(YOLO, image)
            assert lost.get("stuff left out", 0) == len(image.instances) - len(things)
            assert lost.get("masks left out", 0) == sum(one.mask is not None for one in things)
            wanted = np.array([extent(one).xyxy for one in things]).reshape(-1, 4)
            np.testing.assert_allclose(found.xyxy, wanted, atol=1e-3)
            labels = [] if found.class_id is None else found.class_id.tolist()
            assert labels == [NUMBERS[one.label] for one in things]


def corners_of(row: list[str], size: Size) -> npt.NDArray[np.float64]:
    return np.array(row[1:], dtype=float).reshape(-1, 2) * (size.width, size.height)


def rasterise(row: list[str], size: Size) -> npt.NDArray[np.bool_]:
    """The pixels whose centres lie inside the row's polygon, by matplotlib."""
    corners = corners_of(row, size)
    y, x = np.mgrid[: size.height, : size.width] + 0.5
    inside = Outline(corners).contains_points(np.stack((x.ravel(), y.ravel()), axis=1))
    return inside.reshape(size.height, size.width)


@EXAMPLES
@given(images=datasets())
def test_the_polygons_of_a_mask_are_its_pieces_with_their_holes_filled(
    images: list[ImageLabels], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("yolo")
    write(YOLO_SEGMENT, images, folder)
    for image in images:
        lost: Counter[str] = Counter()
        left = rows(folder, image)
        for one in image.instances:
            if one.mask is None:
                lost["boxes written as their four corners"] += 1
                row = left.pop(0)
                assert len(row) == 9
                corners = corners_of(row, image.size)
                found = (*corners.min(axis=0), *corners.max(axis=0))
                np.testing.assert_allclose(found, extent(one).xyxy, atol=1e-3)
                continue
            bitmap = mask_to_bitmap(one.mask)
            n_pieces = ndimage.label(bitmap, np.ones((3, 3)))[1]
            mine, left = left[:n_pieces], left[n_pieces:]
            assert {row[0] for row in mine} == {str(NUMBERS[one.label])}
            filled = np.any([rasterise(row, image.size) for row in mine], axis=0)
            assert (filled == ndimage.binary_fill_holes(bitmap)).all()
            lost["masks with holes filled"] += bool((filled != bitmap).any())
            lost["masks in several pieces"] += n_pieces > 1
            lost["pieces written as objects of their own"] += n_pieces if n_pieces > 1 else 0
            lost["boxes beside masks left out"] += one.box is not None and not tight(one.box, bitmap)
            lost["stuff written as things"] += one.kind == "stuff"
        assert not left
        assert dict(losses(YOLO_SEGMENT, image)) == dict(+lost)


def tight(box: Box, bitmap: npt.NDArray[np.bool_]) -> bool:
    y, x = np.nonzero(bitmap)
    return box.xyxy == (x.min(), y.min(), x.max() + 1, y.max() + 1)


def test_supervision_reads_the_masks(tmp_path: Path) -> None:
    bitmap = np.zeros((SIZE.height, SIZE.width), dtype=bool)
    bitmap[5:25, 10:35] = True
    image = one_image(Instance("bolt", "thing", mask=bitmap_to_mask(bitmap)))
    write(YOLO_SEGMENT, [image], tmp_path)
    read = supervision.DetectionDataset.from_yolo(
        str(tmp_path / "images/train"), str(tmp_path / "labels/train"), str(tmp_path / "data.yaml")
    )
    (found,) = read.annotations.values()
    assert found.mask is not None
    around = ndimage.binary_dilation(bitmap, np.ones((3, 3)))  # it fills the pixels on the outline as well
    assert not (found.mask[0] & ~around).any()
    assert not (bitmap & ~found.mask[0]).any()


@pytest.mark.parametrize("format_", [YOLO, YOLO_SEGMENT])
def test_what_has_no_area_in_the_image_is_left_out(format_: Format, tmp_path: Path) -> None:
    image = one_image(
        Instance("bolt", "thing", Box(3, 3, 3, 9)),
        Instance("bolt", "thing", Box(-9, 3, -2, 9)),
        Instance("bolt", "thing", mask=Mask(SIZE, (SIZE.area,))),
        Instance("bolt", "thing", Box(-5, 3, 20, 99)),
    )
    write(format_, [image], tmp_path)
    assert losses(format_, image)["regions without area left out"] == 3
    assert losses(format_, image)["boxes cut at the image's border"] == 1
    (row,) = rows(tmp_path, image)
    assert all(0 <= float(value) <= 1 for value in row[1:])


@pytest.mark.parametrize(
    ("splits", "paths", "said"),
    [
        (("train", "val", "test"), {"train": "train", "val": "val", "test": "test"}, ()),
        (("",), {"train": "train", "val": "train"}, ("images without a split", "there is no val")),
        (("val",), {"train": "val", "val": "val"}, ()),
        (("train", "val", "x: y"), {"train": "train", "val": "val", "x: y": "x: y"}, ("not x: y",)),
    ],
)
def test_data_yaml_names_the_sides_that_ultralytics_wants(
    splits: tuple[str, ...], paths: dict[str, str], said: tuple[str, ...], tmp_path: Path
) -> None:
    images = [one_image(name=f"{number}.png", split=split) for number, split in enumerate(splits)]
    data, *folders = write(YOLO, images, tmp_path)
    read = yaml.safe_load(data.read_text())
    assert read.pop("names") == {number: cls.name for number, cls in enumerate(CLASSES)}
    assert read == {key: f"images/{side}" for key, side in paths.items()}
    assert all((tmp_path / path).is_dir() for path in read.values())
    assert all(folder.is_dir() for folder in folders)
    lines = list(describe_splits(YOLO, Counter(splits)))
    assert len(lines) == len(said)
    assert all(text in line for text, line in zip(said, lines, strict=True))


def test_names_that_cannot_be_spelled_are_refused_with_what_to_rename(tmp_path: Path) -> None:
    for name in ("bolt: #1", '"', "螺栓 😀", "no", "1.5", "~"):
        contents = Contents((LabelClass(name),), lambda: (), lambda _: b"")
        (tmp_path / "data.yaml").unlink(missing_ok=True)
        (data,) = YOLO.write(contents, tmp_path)
        assert yaml.safe_load(data.read_text())["names"] == {0: name}
    with pytest.raises(DatasetError, match=r"yolo cannot spell the class 'a\\nb', .*rename it"):
        check_names(YOLO, [LabelClass("a\nb")], ["train"])
    with pytest.raises(DatasetError, match=r"the split '\.\./up' cannot be the name of a folder"):
        check_names(YOLO, CLASSES, ["../up"])


def test_two_images_never_share_a_file_of_labels(tmp_path: Path) -> None:
    images = [one_image(name="a.png"), one_image(name="a.jpg")]
    with pytest.raises(DatasetError, match=r"two images would have the file a\.txt"):
        write(YOLO, images, tmp_path)
