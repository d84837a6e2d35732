"""A folder lists what looks like an image, sorted, and says when it is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detseg.errors import SourceError
from detseg.sources.folder import list_images


def test_lists_images_of_subfolders_sorted_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/c.webp", "notes.txt", ".hidden.png", ".git/d.png", "żółć 🔩.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1234")
    os.mkfifo(tmp_path / "pipe.png")
    names = [Path(file.uri).relative_to(tmp_path).as_posix() for file in list_images(tmp_path)]
    assert names == ["a.JPG", "b.png", "sub/c.webp", "żółć 🔩.png"]
    assert {file.byte_size for file in list_images(tmp_path)} == {4}


def test_a_dead_link_is_listed_so_that_it_is_reported(tmp_path: Path) -> None:
    (tmp_path / "dead.png").symlink_to(tmp_path / "gone.png")
    (found,) = list_images(tmp_path)
    assert found.byte_size == -1


def test_an_empty_folder_lists_nothing_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    assert list_images(tmp_path) == ()
    with pytest.raises(SourceError, match="there is no folder"):
        list_images(tmp_path / "gone")


def test_a_single_file_is_listed_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(b"1")
    assert [file.uri for file in list_images(path)] == [str(path)]
