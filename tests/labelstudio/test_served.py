"""The folder of served images: what is placed are the bytes that were scanned, whatever happens to files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from detseg.errors import ImageError, LabelStudioError
from detseg.images import image_id
from detseg.labelstudio.served import ServedFolder
from detseg.sources.folder import stat_entry
from detseg.types import Entry, ImageId, ImageRef
from tests.leftovers import cleared


def written(path: Path, *, grey: int = 0, format_: str = "PNG") -> ImageRef:
    """A small image; greys make different bytes."""
    Image.new("L", (20, 10), grey).save(path, format_)
    return ImageRef(image_id(path.read_bytes()), str(path))


@pytest.fixture
def folder(tmp_path: Path) -> ServedFolder:
    made = ServedFolder(tmp_path / "root")
    made.make()
    return made


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """A folder that no file can be linked from, where there is such a one."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    with cleared(path, remove=True):
        yield path


def files(folder: ServedFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.iterdir()}


def digest(ref: ImageRef) -> str:
    return ref.id.removeprefix("sha256:")


@pytest.mark.parametrize(
    ("format_", "suffix"),
    [
        ("PNG", "png"),
        ("JPEG", "jpg"),
        ("BMP", "bmp"),
        ("GIF", "gif"),
        ("WEBP", "webp"),
        ("AVIF", "avif"),
    ],
)
def test_names_are_the_content_and_its_format(
    folder: ServedFolder, tmp_path: Path, format_: str, suffix: str
) -> None:
    ref = written(tmp_path / "any name.html", format_=format_)
    assert folder.url(ref.id) is None
    for _ in range(2):
        folder.place(ref)
    assert files(folder) == {f"{digest(ref)}.{suffix}": Path(ref.uri).read_bytes()}
    assert folder.url(ref.id) == f"/data/local-files/?d=detseg-images/{digest(ref)}.{suffix}"
    assert ServedFolder(folder.document_root).url(ref.id) == folder.url(ref.id)


def test_a_link_costs_no_room_and_a_copy_is_made_from_another_disk(
    folder: ServedFolder, tmp_path: Path, other_disk: Path
) -> None:
    here, there = written(tmp_path / "a.png"), written(other_disk / "b.png", grey=1)
    os.chmod(there.uri, 0o640)
    for ref in (here, there):
        folder.place(ref)
    linked, copied = (folder.path / f"{digest(ref)}.png" for ref in (here, there))
    assert linked.samefile(here.uri)
    if os.stat(other_disk).st_dev != os.stat(tmp_path).st_dev:
        assert copied.stat().st_nlink == 1
        assert copied.stat().st_mode & 0o777 == 0o640
    assert copied.read_bytes() == Path(there.uri).read_bytes()


def test_equal_files_and_symbolic_links_are_one_file_which_is_no_link(
    folder: ServedFolder, tmp_path: Path
) -> None:
    ref = written(tmp_path / "a.png")
    shutil.copy(ref.uri, tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to("b.png")
    for name in ("c.png", "a.png", "b.png"):
        ServedFolder(folder.document_root).place(ImageRef(ref.id, str(tmp_path / name)))
    (path,) = folder.path.iterdir()
    assert path.is_file()
    assert not path.is_symlink()
    other = ServedFolder(folder.document_root)  # two runs at once, neither of which saw the other's
    assert other.url(ref.id)
    path.unlink()
    folder.place(ref)
    assert other.holds(ref.id)
    assert len(files(folder)) == 1


def test_what_is_not_the_image_any_more_is_not_placed(folder: ServedFolder, tmp_path: Path) -> None:
    image = written(tmp_path / "a.png")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    os.mkfifo(tmp_path / "pipe")
    link = tmp_path / "link.png"
    link.symlink_to(secret)
    for place, reason in (
        (secret, "changed since it was predicted"),
        (link, "changed since it was predicted"),
        (tmp_path / "gone.png", "cannot be read: No such file"),
        (tmp_path, "it is no file"),
        (tmp_path / "pipe", "it is no file"),
        (Path("/dev/zero"), "it is no file"),
    ):
        with pytest.raises(ImageError, match=reason):
            folder.place(ImageRef(image.id, str(place)))
    assert files(folder) == {}


def test_a_file_that_is_replaced_stays_what_it_was(folder: ServedFolder, tmp_path: Path) -> None:
    ref = written(tmp_path / "a.png")
    before = Path(ref.uri).read_bytes()
    folder.place(ref)
    (tmp_path / "new").write_text("secret")
    (tmp_path / "new").replace(ref.uri)
    assert folder.holds(ref.id)
    Path(ref.uri).unlink()
    assert folder.holds(ref.id)
    assert files(folder) == {f"{digest(ref)}.png": before}


def test_a_file_that_is_overwritten_in_its_place_is_withdrawn(folder: ServedFolder, tmp_path: Path) -> None:
    changed, kept = written(tmp_path / "a.png"), written(tmp_path / "b.png", grey=1)
    for ref in (changed, kept):
        folder.place(ref)
    Path(changed.uri).write_text("secret")
    assert (folder.holds(changed.id), folder.holds(kept.id)) == (False, True)
    for image in (changed.id, ImageId("sha256:" + "0" * 64)):
        folder.withdraw(image)
    assert list(files(folder)) == [f"{digest(kept)}.png"]
    assert folder.url(changed.id) is None
    assert not folder.holds(changed.id)
    assert Path(changed.uri).read_text() == "secret"


@pytest.mark.parametrize("is_copy", [False, True])
def test_what_is_overwritten_and_then_deleted_is_not_the_image(
    folder: ServedFolder, tmp_path: Path, is_copy: bool
) -> None:
    """Nobody else has the file any more, which says nothing about what became of it before."""
    ref = written(tmp_path / "a.png")
    before = Path(ref.uri).read_bytes()
    folder.place(ref)
    served = folder.path / f"{digest(ref)}.png"
    if is_copy:
        served.unlink()
        served.write_bytes(before)
    entries = [entry_of(ref)]
    assert folder.holds(ref.id, entries)
    (served if is_copy else Path(ref.uri)).write_bytes(b"secret".ljust(len(before)))
    Path(ref.uri).unlink()
    assert not folder.holds(ref.id, entries)
    (tmp_path / "b.png").write_bytes(before)
    folder.place(ImageRef(ref.id, str(tmp_path / "b.png")))
    assert files(folder) == {served.name: before}


def test_only_what_may_have_changed_is_read(folder: ServedFolder, tmp_path: Path) -> None:
    """What a listing shows as it was, and what was found to be ours alone, is believed by its time."""
    ref = written(tmp_path / "a.png")
    folder.place(ref)
    served = folder.path / f"{digest(ref)}.png"
    entries = [entry_of(ref)]
    Path(ref.uri).unlink()
    for listed in (entries, [], []):
        assert folder.holds(ref.id, listed)
    as_left = served.stat()
    served.write_bytes(b"x")
    assert not folder.holds(ref.id, entries)
    os.utime(served, ns=(0, as_left.st_mtime_ns))
    assert folder.holds(ref.id)  # so it was not read


def entry_of(ref: ImageRef) -> Entry:
    entry = stat_entry(ref.uri)
    assert isinstance(entry, Entry)
    return entry


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ref = written(tmp_path / "a.png")
    folder = ServedFolder(tmp_path / "file")
    with pytest.raises(LabelStudioError, match=r"no images can be put into .*Not a directory.*serve_images"):
        folder.make()
    gone = ServedFolder(tmp_path / "gone")
    with pytest.raises(LabelStudioError, match=r"no images can be put into .*label_studio.files"):
        gone.place(ref)
