"""Pictures of a large folder by their names: what a dictionary of them says, in a fraction of its memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detseg.formats.folders import images_below
from detseg.formats.picture_index import index_pictures

folders = st.sampled_from(("", "train", "validation", "train/deep", "masks", "größe"))
names = st.sampled_from(("a.jpg", "a.png", "b.c.jpg", "b.jpg", "é.jpg", ".hidden.jpg", "a.txt"))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(files=st.sets(st.tuples(folders, names), max_size=10))
def test_it_finds_what_a_dictionary_of_all_pictures_has(
    files: set[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("pictures")
    for folder, name in files:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).touch()
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
