"""Pictures of a large folder by their names: what a dictionary of them says, in a fraction of its memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from itertools import product
from pathlib import Path, PurePath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from detseg.formats.cityscapes_files import read_cityscapes
from detseg.formats.dataset import Opened
from detseg.formats.folders import images_below
from detseg.formats.kitti_files import read_kitti
from detseg.formats.picture_index import index_pictures


def kitti(root: Path) -> Opened:
    for folder in ("label_2", "image_2"):
        (root / "training" / folder).mkdir(parents=True)
    (root / "training/label_2/a.txt").write_text("bolt 0 0 0 1 1 9 9 1.5 1.6 3.9 1.8 1.5 8.4 0.01")
    Image.new("RGB", (40, 20)).save(root / "training/image_2/a.png")
    return read_kitti(root)


def cityscapes(root: Path) -> Opened:
    for folder in ("gtFine", "leftImg8bit"):
        (root / folder / "train").mkdir(parents=True)
    polygons = {"imgWidth": 40, "imgHeight": 20, "objects": []}
    (root / "gtFine/train/a_gtFine_polygons.json").write_text(json.dumps(polygons))
    Image.new("RGB", (40, 20)).save(root / "leftImg8bit/train/a_leftImg8bit.png")
    return read_cityscapes(root)


def make_pictures(root: Path, files: set[tuple[str, str]]) -> Path:
    """Empty files of these names in these folders."""
    for folder, name in files:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).touch()
    return root


folders = st.sampled_from(("", "train", "validation", "train/deep", "masks", "größe"))
names = st.sampled_from(("a.jpg", "a.png", "b.c.jpg", "b.jpg", "é.jpg", ".hidden.jpg", "a.txt"))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(files=st.sets(st.tuples(folders, names), max_size=10))
def test_it_finds_what_a_dictionary_of_all_pictures_has(
    files: set[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = make_pictures(tmp_path_factory.mktemp("pictures"), files)
    expected: dict[tuple[str, str], Path] = {}
    for path in images_below(root):
        parts = path.relative_to(root).parts
        if parts[0] != "masks":
            expected |= {(parts[0] if len(parts) > 1 else "", path.stem): path, ("", path.stem): path}
    index = index_pictures(root, without="masks")
    for stem in ("a", "b.c", "b", "é", "missing"):
        for asked in (("validation", "train"), ("größe",), ()):
            wanted = [expected[key] for part in (*asked, "") if (key := (part, stem)) in expected]
            assert index.find(stem, asked) == (wanted[0] if wanted else None)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(files=st.sets(st.tuples(folders, names), max_size=10))
def test_by_their_paths_it_finds_and_counts_what_a_dictionary_has(
    files: set[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = make_pictures(tmp_path_factory.mktemp("pictures"), files)
    expected = {str(path.relative_to(root).with_suffix("")): path for path in images_below(root)}
    index = index_pictures(root, name_of=lambda below: str(below.with_suffix("")))
    asked = [str(PurePath(folder, stem)) for folder, stem in product(("", "train", "größe"), ("a", "b.c"))]
    assert [index.find(name) for name in asked] == [expected.get(name) for name in asked]
    assert index.count_without(asked) == len(expected.keys() - set(asked))


def test_a_folder_that_is_not_there_has_no_pictures(tmp_path: Path) -> None:
    index = index_pictures(tmp_path / "missing")
    assert (index.find("a"), index.count_without(["a"])) == (None, 0)


@pytest.mark.parametrize("read", [kitti, cityscapes])
def test_readers_hold_little_of_each_picture(tmp_path: Path, read: Callable[[Path], Opened]) -> None:
    """Of pictures without labels, so that nothing else is held."""
    opened = read(tmp_path)
    list(opened.images())  # loads what reading needs
    n_pictures = 3000
    below = next(
        path
        for path in (tmp_path / "leftImg8bit" / "train", tmp_path / "training" / "image_2")
        if path.is_dir()
    )
    for number in range(n_pictures):
        (below / f"{number:016x}.png").touch()
    tracemalloc.start()
    images = opened.images()
    next(images)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert opened.left_out["images without labels"] == n_pictures
    assert held < 200 * n_pictures


def test_a_name_that_is_no_text_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "a\udcff.jpg").touch()
    assert index_pictures(tmp_path, without="").find("a\udcff", ()) == tmp_path / "a\udcff.jpg"


def test_a_picture_takes_less_than_a_hundred_bytes(tmp_path: Path) -> None:
    n_pictures = 5000
    (tmp_path / "train").mkdir()
    for number in range(n_pictures):
        (tmp_path / "train" / f"{number:016x}.jpg").touch()
    tracemalloc.start()
    index = index_pictures(tmp_path, without="masks")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert index.find(f"{n_pictures - 1:016x}", ("train",)) is not None
    assert held < 100 * n_pictures
