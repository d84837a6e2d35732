"""A folder lists what looks like an image, in order, and says what cannot be one and why."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.errors import ImageError, SourceError
from detseg.sources.folder import Folders
from detseg.sources.protocol import Limits, Listed
from detseg.types import Entry, Failure


def names(listed: Iterable[Listed], root: Path) -> list[str]:
    return [Path(one.uri).relative_to(root).as_posix() for one in listed]


def test_lists_images_of_subfolders_in_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/c.webp", "notes.txt", ".hidden.png", ".git/d.png", "żółć 🔩.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1234")
    os.mkfifo(tmp_path / "pipe.png")
    listed = list(Folders().entries(str(tmp_path)))
    assert names(listed, tmp_path) == ["a.JPG", "b.png", "sub/c.webp", "żółć 🔩.png"]
    assert listed[0] == Entry(
        str(tmp_path / "a.JPG"), 4, str((tmp_path / "a.JPG").stat().st_mtime_ns), metadata=""
    )


PARTS = st.text("ab-.0Z", min_size=1, max_size=3).filter(lambda part: not part.startswith("."))


@settings(max_examples=40)
@given(tree=st.sets(st.lists(PARTS, min_size=1, max_size=3).map(tuple), max_size=12))
def test_a_whole_tree_comes_in_the_order_of_its_paths(
    tree: set[tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for *folders, name in tree:
        folder = root.joinpath(*(f"{part}d" for part in folders))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").touch()
    listed = [one.uri for one in Folders().entries(str(root))]
    assert listed == sorted(listed)
    assert len(listed) == len(tree)
    shutil.rmtree(root)


def test_links_stay_inside(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "rooted"
    for path in (root / "sub" / "a.png", outside / "b.png"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"1")
    (root / "again.png").symlink_to(root / "sub" / "a.png")
    (root / "folder again").symlink_to(root / "sub")
    (root / "loop").symlink_to(root)
    (root / "out.png").symlink_to(outside / "b.png")
    (root / "out").symlink_to(outside)
    (root / "dead.png").symlink_to(root / "gone.png")
    listed = list(Folders().entries(str(root)))
    assert names((one for one in listed if isinstance(one, Entry)), root) == ["again.png", "sub/a.png"]
    assert {Path(one.uri).name: one.reason for one in listed if isinstance(one, Failure)} == {
        "dead.png": f"is a link to {root / 'gone.png'}, which is not there",
        "out": f"is a link to {outside}, outside of the source: copy it in, or make that a source of its own",
        "out.png": f"is a link to {outside / 'b.png'}, outside of the source: copy it in, or make that a "
        "source of its own",
    }


def test_a_source_that_is_a_link_itself_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert names(Folders().entries(str(tmp_path / "link")), tmp_path) == ["link/a.png"]


def test_a_folder_that_goes_away_meanwhile_is_one_line_and_the_rest_is_listed(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png", "c/3.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"1")
    listing = Folders().entries(str(tmp_path))
    first = next(listing)
    shutil.rmtree(tmp_path / "b")
    gone, last = listing
    assert names([first, last], tmp_path) == ["a/1.png", "c/3.png"]
    assert isinstance(gone, Failure)
    assert gone.uri == str(tmp_path / "b")
    assert "No such file" in gone.reason


def test_a_name_that_is_no_text_is_said(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"1")
    assert list(Folders().entries(str(tmp_path))) == [
        Failure(f"{tmp_path}/\\udcff.png", "has a name that is not UTF-8: rename it")
    ]


def test_an_empty_folder_lists_nothing_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    assert list(Folders().entries(str(tmp_path))) == []
    with pytest.raises(SourceError, match="there is no folder"):
        Folders().entries(str(tmp_path / "gone"))


def test_a_single_file_is_listed_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(b"1")
    assert [one.uri for one in Folders().entries(str(path))] == [str(path)]


def test_reading_is_bounded_and_says_why_not(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"12345")
    assert Folders(Limits(max_bytes=5)).read(str(path)) == b"12345"
    with pytest.raises(ImageError, match=r"^has 5 bytes, source.max_image_bytes allows 4$"):
        Folders(Limits(max_bytes=4)).read(str(path))
    for missing in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(ImageError, match="cannot be read"):
            Folders().read(str(missing))


def test_what_is_ours_is_neither_listed_nor_read(tmp_path: Path) -> None:
    for name in ("a.png", "state/b.png", "state/served/c.png", "stated/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "link.png").symlink_to("state/b.png")
    (tmp_path / "way").symlink_to(tmp_path)
    store = Folders(Limits(closed=(os.path.realpath(tmp_path / "state"),)))
    assert names(store.entries(str(tmp_path)), tmp_path) == ["a.png", "link.png", "stated/d.png"]
    for path in ("state/b.png", "way/state/b.png", "stated/../state/served/c.png", "link.png"):
        with pytest.raises(ImageError, match=r"^is in a folder of detseg's own, of which nothing is read$"):
            store.read(str(tmp_path / path))
    for path in ("state", "state/served", "way/state"):
        with pytest.raises(SourceError, match=r"is in a folder of detseg's own: give another folder"):
            store.entries(str(tmp_path / path))
    assert store.read(str(tmp_path / "a.png")) == b"1"


def test_what_never_ends_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", Path("/dev/zero"), Path("/dev/tty")):
        with pytest.raises(ImageError, match=r"cannot be read: (it is no file|No such device)"):
            Folders().read(str(path))


def test_a_file_that_does_not_end_where_it_says_is_refused() -> None:
    with pytest.raises(ImageError, match="grew while it was being read"):
        Folders().read("/proc/self/status")  # a regular file of 0 bytes, from which bytes come
