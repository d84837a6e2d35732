from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from detseg.errors import FormatError
from detseg.formats.label_maps import read_label_map
from detseg.geometry.label_maps import map_to_array
from detseg.metrics.semantic import score_label_maps
from tests.images.made import flat_png

Array = npt.NDArray[np.int64]
Folders = tuple[Path, Path]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Three images of 30x40 in three classes; one lies in a folder of its own."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "sub/a.PNG"):
        for side in ("truth", "results"):
            blocks = rng.integers(0, 3, (6, 8)).repeat(5, axis=0).repeat(5, axis=1)
            write(tmp_path / side / name, blocks * 5)
    return tmp_path / "truth", tmp_path / "results"


def write(path: Path, array: npt.ArrayLike) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(path)


def pixels(folder: Path) -> Array:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return np.concatenate([np.asarray(Image.open(path)).ravel() for path in paths])


def test_all_images_are_counted_together(folders: Folders) -> None:
    score = score_label_maps(*folders)
    true, found = map(pixels, folders)
    assert score.n_images == 3
    assert score.pixel_accuracy == (true == found).mean()
    assert list(score.per_class) == ["0", "5", "10"]
    ious = []
    for value in (0, 5, 10):
        both = ((true == value) & (found == value)).sum()
        ious.append(both / ((true == value) | (found == value)).sum())
        of_class = score.per_class[str(value)]
        assert (of_class.n_truth_px, of_class.n_predicted_px, of_class.n_shared_px) == (
            *((side == value).sum() for side in (true, found)),
            both,
        )
    assert [one.iou for one in score.per_class.values()] == pytest.approx(ious)
    assert score.miou == pytest.approx(np.mean(ious))
    assert score.boundary_iou is not None


def test_a_folder_is_perfect_beside_itself(folders: Folders) -> None:
    score = score_label_maps(folders[0], folders[0])
    assert (score.pixel_accuracy, score.miou, score.dice, score.boundary_iou) == (1.0, 1.0, 1.0, 1.0)


def test_names_are_an_object_or_a_list_and_every_named_class_is_listed(
    folders: Folders, tmp_path: Path
) -> None:
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"10": "air", "5": "bolt", "0": "belt", "7": "nut"}))
    score = score_label_maps(*folders, names_path=path)
    assert list(score.per_class) == ["belt", "bolt", "nut", "air"]
    assert (score.per_class["nut"].iou, score.per_class["nut"].n_truth_px) == (None, 0)
    assert score.miou == score_label_maps(*folders).miou
    path.write_text(json.dumps([f"class {n}" for n in range(11)]))
    assert list(score_label_maps(*folders, names_path=path).per_class)[:2] == ["class 0", "class 1"]


def test_what_the_truth_ignores_does_not_count_what_the_results_ignore_was_not_found(tmp_path: Path) -> None:
    true, found = np.ones((2, 4, 5), dtype=np.uint8)
    true[0], found[:, 0] = 255, 255
    write(tmp_path / "truth/a.png", true)
    write(tmp_path / "results/a.png", found)
    score = score_label_maps(tmp_path / "truth", tmp_path / "results")
    assert list(score.per_class) == ["1"]
    of_class = score.per_class["1"]
    assert (of_class.n_truth_px, of_class.n_predicted_px, of_class.n_shared_px) == (15, 12, 12)
    assert score.pixel_accuracy == score.miou == 0.8
    other = score_label_maps(tmp_path / "truth", tmp_path / "results", ignore=1)
    assert (other.pixel_accuracy, list(other.per_class)) == (0.2, ["255"])
    assert list(score_label_maps(tmp_path / "truth", tmp_path / "results", ignore=None).per_class) == [
        "1",
        "255",
    ]


def test_images_that_are_ignored_whole_leave_nothing_to_measure(tmp_path: Path) -> None:
    for side in ("truth", "results"):
        write(tmp_path / side / "a.png", np.full((3, 3), 255))
    score = score_label_maps(tmp_path / "truth", tmp_path / "results")
    assert (score.pixel_accuracy, score.miou, score.per_class, score.n_images) == (None, None, {}, 1)


@pytest.mark.parametrize(
    ("image", "values"),
    [
        (Image.fromarray(np.array([[0, 7], [255, 1]], dtype=np.uint8)), [[0, 7], [255, 1]]),
        (Image.fromarray(np.array([[0, 300], [65535, 1]], dtype=np.uint16)), [[0, 300], [65535, 1]]),
        (Image.fromarray(np.array([[True, False]])), [[1, 0]]),
        (Image.fromarray(np.array([[3, 0]], dtype=np.uint8)).convert("P"), [[3, 0]]),
    ],
    ids=["grey", "16 bits", "one bit", "palette"],
)
def test_every_kind_of_png_with_one_value_per_pixel_is_read(
    tmp_path: Path, image: Image.Image, values: list[list[int]]
) -> None:
    image.save(tmp_path / "a.png")
    assert map_to_array(read_label_map(tmp_path / "a.png")).tolist() == values


def colour(path: Path, mode: str) -> None:
    Image.open(path).convert(mode).save(path)


def jpeg(path: Path) -> None:
    Image.open(path).save(path, format="JPEG")


def striped(side: int) -> npt.NDArray[np.uint8]:
    return np.repeat((np.arange(side) % 2).astype(np.uint8)[:, None], side, axis=1)


def many_values(path: Path) -> None:
    Image.fromarray(np.arange(30 * 40, dtype=np.uint16).reshape(30, 40)).save(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "results/b.png").unlink(), r"results/b\.png is missing: .*truth has it"),
        (lambda f: (f / "truth/b.png").unlink(), r"truth/b\.png is missing: .*results has it"),
        (
            lambda f: [path.unlink() for path in (f / "results").glob("*.png")],
            r"a\.png and 1 more is missing",
        ),
        (lambda f: [path.unlink() for path in (f / "results").rglob("*.*")], "results has no PNG files"),
        (lambda f: (f / "results").rename(f / "x"), "folder of label maps .*results does not exist"),
        (
            lambda f: write(f / "results/b.png", np.zeros((40, 30))),
            r"results/b\.png is 30x40, .*b\.png is 40x30",
        ),
        (lambda f: colour(f / "results/b.png", "RGB"), r"results/b\.png is RGB: a label map has one value"),
        (lambda f: colour(f / "truth/b.png", "RGBA"), r"truth/b\.png is RGBA: a label map has one value"),
        (lambda f: colour(f / "truth/b.png", "LA"), r"truth/b\.png is LA: a label map has one value"),
        (lambda f: (f / "results/b.png").write_bytes(b"x"), r"results/b\.png is not an image of .*: PNG"),
        (lambda f: cut(f / "results/b.png"), r"results/b\.png is damaged"),
        (lambda f: jpeg(f / "results/b.png"), r"results/b\.png is not an image of .*: PNG"),
        (lambda f: (f / "truth/b.png").write_bytes(flat_png(65_000, 65_000, n_rows=1)), "b.png is too large"),
        (lambda f: write(f / "truth/b.png", striped(2_900)), r"b\.png has more than 8,000,000 changes"),
        (
            lambda f: many_values(f / "results/b.png"),
            r"b\.png has 1199 values: a label map has a value for each class",
        ),
    ],
)
def test_folders_that_do_not_fit_are_named(
    folders: Folders, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(folders[0].parent)
    with pytest.raises(FormatError, match=message) as raised:
        score_label_maps(*folders)
    assert "\n" not in str(raised.value)


def test_a_map_with_broken_bytes_is_scored_or_one_line(folders: Folders) -> None:
    path, random, lines = folders[1] / "b.png", Random(0), list[str]()
    whole = path.read_bytes()
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(random.randint(1, 4)):
            data[random.randrange(len(data))] = random.randrange(256)
        path.write_bytes(data[: random.choice((len(data), random.randrange(len(data))))])
        try:
            score_label_maps(*folders)
        except FormatError as error:
            lines.append(str(error))
    assert lines
    assert not any("\n" in line for line in lines)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ('{"0": "a", "5": "b"}', r"a\.png has the value 10, for which there is no name"),
        ('["a", "b"]', r"a\.png has the value 5, for which there is no name"),
        ('{"a": "b"}', "does not name values: expected an object"),
        ('{"0": 7}', "does not name values: expected an object"),
        ('{"0": ""}', "does not name values: expected an object"),
        ('{"70000": "a"}', "does not name values: expected an object"),
        ('"a"', "does not name values: expected an object"),
        ('["a", "a"]', "gives one name, or one value, twice"),
        ('{"1": "a", "01": "b"}', "gives one name, or one value, twice"),
        ("{", "is not JSON"),
    ],
)
def test_names_that_do_not_fit_are_named(folders: Folders, tmp_path: Path, names: str, message: str) -> None:
    (tmp_path / "names.json").write_text(names)
    with pytest.raises(FormatError, match=message):
        score_label_maps(*folders, names_path=tmp_path / "names.json")
