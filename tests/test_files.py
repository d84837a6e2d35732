"""Files are there as a whole or not at all, follow no planted link, and are private where they have to be."""

from __future__ import annotations

import os
import socket
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from detseg.errors import ConfigError, FormatError
from detseg.files import (
    _room_of,
    open_private,
    open_regular,
    parse_json,
    private_folder,
    read_json,
    replacing,
    write_whole,
)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with replacing(path) as file:
        file.write("new, lone \ud800")
        assert path.read_text() == "old"
    assert path.read_text() == r"new, lone \ud800"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(TypeError), replacing(path, binary=True) as file:
        file.write("no bytes")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_links_are_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("a.json", f"a.json.{os.getpid()}.partial", "a.json.tmp", "a.tmp", "a.part"):
        (tmp_path / name).symlink_to(victim)
    write_whole(tmp_path / "a.json", "new")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "a.json").is_symlink()
    (tmp_path / "log").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        open_private(tmp_path / "log")


def test_a_planted_partial_file_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even whoever could foresee the name cannot plant a link there."""
    monkeypatch.setattr("secrets.token_hex", lambda n: "0" * 2 * n)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".detseg-{'0' * 16}.partial").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "a.json", "new")
    assert victim.read_text() == "precious"


def test_a_private_folder_and_its_files_are_for_their_owner_alone(tmp_path: Path, umask: int) -> None:
    state = private_folder(tmp_path / "new" / ".detseg")
    assert (mode(state), mode(state.parent)) == (0o700, 0o700)
    write_whole(state / "report.html", "")
    open_private(state / "flows.log").close()
    assert {mode(path) for path in state.iterdir()} == {0o600}
    write_whole(tmp_path / "report.html", "")
    tmp_path.chmod(0o755)
    write_whole(tmp_path / "shared.html", "")
    assert mode(tmp_path / "shared.html") == 0o644 & ~umask


def test_what_was_readable_becomes_private(tmp_path: Path, umask: int) -> None:
    del umask
    state, elsewhere = tmp_path / ".detseg", tmp_path / "elsewhere"
    state.mkdir(0o755)
    elsewhere.touch(0o644)
    elsewhere.chmod(0o644)
    (state / "link").symlink_to(elsewhere)
    names = ("catalog.sqlite3", "catalog.sqlite3-wal", "catalog.sqlite3-shm", "report.html", "up.lock")
    for name in names:
        (state / name).touch()
        (state / name).chmod(0o666)
    private_folder(state)
    assert mode(state) == 0o700
    assert {mode(state / name) for name in names} == {0o600}
    assert mode(elsewhere) == 0o644
    (state / "backup.sh").touch()
    (state / "backup.sh").chmod(0o755)
    private_folder(state)
    assert mode(state / "backup.sh") == 0o700  # its owner runs it as before
    (state / "flows.log").touch()
    (state / "flows.log").chmod(0o664)
    open_private(state / "flows.log").close()
    assert mode(state / "flows.log") == 0o600


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    if tmp_path.stat().st_uid == 0:  # what root prepared is taken
        assert private_folder(tmp_path) == tmp_path
        os.chown(tmp_path, 54321, -1)
    with pytest.raises(ConfigError, match="belongs to another user: set state_dir"):
        private_folder(tmp_path)


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device", "link to a pipe"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket may not be long
    path = tmp_path / "a"
    with socket.socket(socket.AF_UNIX) as bound:
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "link to a pipe":
            os.mkfifo(tmp_path / "b")
            path.symlink_to("b")
        elif kind == "socket":
            bound.bind("a")
        else:
            path = Path("/dev/zero")
        with pytest.raises(OSError, match=r"folder, pipe, socket or device|No such device"):
            open_regular(path)


def test_a_regular_file_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"bytes")
    (tmp_path / "b").symlink_to("a")
    with open_regular(tmp_path / "b") as file:
        assert file.read() == b"bytes"


def test_json_that_no_memory_holds_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    with path.open("wb") as file:
        file.truncate(2**42)  # takes no room on the disk
    with pytest.raises(FormatError, match=r"instances\.json has 4398\.05 GB, .* GB are free"):
        read_json(path)


@pytest.mark.parametrize(
    "one", ["[]", "[[[]]]", "{}", '{"a":1}', '{"a":{"b":[1.5]}}', "123456.5", '"letters"', '"é"', '""', "0"]
)
def test_json_takes_no_more_memory_than_is_asked_for(one: str) -> None:
    text = f"[{','.join([one] * 20_000)}]"
    tracemalloc.start()
    try:
        value = parse_json(text, "it")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(value) == 20_000
    assert peak <= _room_of(text)
