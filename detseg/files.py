"""Files: ours written whole or not at all, private where need be; regular files and JSON of others read."""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import re
import secrets
import shutil
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import psutil

from detseg.errors import ConfigError, FormatError, NotJson

_POINTER, _LONGEST_POINTER = b"version https://git-lfs", 1024
_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600
_ANY_FILE = 0o666  # less what the umask takes
_ROOT = 0
_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def open_regular(path: str | Path) -> IO[bytes]:
    """A regular file, to be read. Raises OSError for what is none, as a pipe, which would never end.

    It is opened once and then looked at, so that nothing else can take its place in between.
    """
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "a file's name has no NUL", str(path))
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no file, but a folder, pipe, socket or device", str(path))
    return os.fdopen(handle, "rb")


_SMALL = 8_000_000  # bytes of JSON, which take 270 MB at the most
_ROOM = {"[": 96, "{": 250, ",": 40, '"': 28}  # of a list, an object, a number and its place, half a text
_CONTAINER = Path("/sys/fs/cgroup")
HALF_LETTER = re.compile(r"\\u[dD][89a-fA-F]")


def is_below(path: str, folder: str) -> bool:
    """Tell whether an absolute path lies in a folder, by their names alone."""
    return path.startswith(folder.rstrip("/") + "/")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises FormatError if it cannot be read or is not JSON."""
    try:
        with open_regular(path) as file:
            n_bytes = os.fstat(file.fileno()).st_size
            _check_room(n_bytes, n_bytes, str(path))
            data = file.read(n_bytes)
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a name with NUL
        raise FormatError(f"{path} cannot be read: {error}") from error
    return parse_json(data, str(path))


def parse_json(data: bytes | str, where: str) -> Any:
    """The value of JSON text from outside. Raises FormatError that begins with ``where``.

    Also for what Python's reader raises other errors for, or lets through: lists in lists without end,
    numbers of thousands of digits, and halves of letters (lone surrogates), which no database can hold. What
    takes more memory than there is, is refused before it is read.
    """
    try:
        text = data if isinstance(data, str) else data.decode(json.detect_encoding(data))
        if len(text) >= _SMALL:
            _check_room(len(text), _room_of(text), where)
        value = json.loads(text)
        if HALF_LETTER.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise FormatError(f"{where} cannot be read: its lists and objects nest too deeply") from error
    except UnicodeEncodeError as error:
        raise FormatError(f"{where} has half a letter in a text (a lone surrogate): write it anew") from error
    except json.JSONDecodeError as error:
        raise NotJson(f"{where} is not JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise NotJson(f"{where} is not JSON: it is not text in UTF-8 ({error})") from error
    except ValueError as error:  # Python's limit on the digits of a number
        raise FormatError(f"{where} cannot be read: it has a number of more than 4300 digits") from error
    return value


def _room_of(text: str) -> int:
    """Bytes of memory, rather too many, that the values of JSON text take beside it."""
    return sys.getsizeof(text) + sum(n_bytes * text.count(sign) for sign, n_bytes in _ROOM.items())


def _check_room(n_bytes: int, needed: int, where: str) -> None:
    """Raises FormatError where that much memory is not free. What is small is not looked at."""
    if n_bytes < _SMALL:
        return
    free = _free_memory()
    if needed > free:
        raise FormatError(
            f"{where} has {n_bytes / 1e9:.2f} GB, which take about {needed / 1e9:.1f} GB of memory to read, "
            f"and {free / 1e9:.1f} GB are free: end other programs, take a larger machine, or split it"
        )


def _free_memory() -> int:
    """Bytes that are free on this machine, or in the container whose limit is lower."""
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # no control groups here, or no limit ("max")
        limit, used = (int((_CONTAINER / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, max(0, limit - used))
    return free


@contextmanager
def replacing(path: Path, *, binary: bool = False, private: bool = False) -> Iterator[IO[Any]]:
    """A new file, UTF-8 unless it is binary, that takes the place of ``path`` at the end of the block.

    If the block raises, ``path`` stays as it was. Nobody can foresee the name that it is written under, and a
    link that stands there is not followed. Who may not enter the folder may not read the file either; a
    ``private`` one is for its owner alone.
    """
    beside = path.with_name(f".detseg-{secrets.token_hex(8)}.partial")
    mode = _PRIVATE_FILE if private else _ANY_FILE & path.parent.stat().st_mode
    handle = os.open(beside, os.O_WRONLY | _NEW, mode)
    try:
        with _open(handle, binary=binary) as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``path``, of none or an empty folder, at the end of the block.

    If the block raises, it is removed. What runs that were killed have left beside ``path`` is removed, too:
    those that live hold a lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}-*.partial"):
        _remove_left(left)
    beside = path.with_name(f".{path.name}-{secrets.token_hex(8)}.partial")
    beside.mkdir()
    handle = os.open(beside, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield beside
        beside.replace(path)
    finally:
        os.close(handle)
        shutil.rmtree(beside, ignore_errors=True)


def _remove_left(folder: Path) -> None:
    """Remove a folder that nobody writes any more. One that is empty may be about to be locked, and stays."""
    with suppress(OSError):  # it is gone, or somebody else's
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if any(folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)


def write_whole(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file of text, which is there as a whole or not at all; ``private``: for its owner alone."""
    with replacing(path, private=private) as file:
        file.write(text)


_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
"""The errors that NumPy raises for an ``.npz`` that is not there, or in which a byte is wrong."""


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays that were kept to save time (``keep_arrays``); none where the file is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except _DAMAGED:
        return {}


def keep_arrays(path: Path, **arrays: npt.ArrayLike) -> None:
    """Keep arrays for the next time; where the disk is full, the next time has to do without."""
    with suppress(OSError), replacing(path, binary=True, private=True) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stubs take these for allow_pickle


def _open(handle: int, *, binary: bool) -> IO[Any]:
    if binary:
        return os.fdopen(handle, "wb")
    return os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace")


def open_private(path: Path) -> IO[bytes]:
    """The file, to be appended to, for its owner alone; made if it is not there. A link is not followed."""
    handle = os.open(
        path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE_FILE
    )
    os.fchmod(handle, _PRIVATE_FILE)
    return os.fdopen(handle, "ab")


def private_folder(path: Path) -> Path:
    """Makes the folder if need be (0700), and leaves its files nothing but what their owner may do.

    Raises ConfigError if it belongs to another user, who could read and change what is put there.
    """
    _make_folder(path)
    owner, user = path.stat().st_uid, os.geteuid()
    if user not in (owner, _ROOT) and owner != _ROOT:  # root prepares volumes, and may read everything anyway
        raise ConfigError(f"{path} belongs to another user: set state_dir to a folder of your own")
    if user in (owner, _ROOT):
        path.chmod(_PRIVATE_FOLDER)
    with os.scandir(path) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # another run has done with it meanwhile
                _make_private(entry)
    return path


def _make_folder(path: Path) -> None:
    """Makes a folder that is private from the beginning, as are those above it that are made for it."""
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)


def _make_private(entry: os.DirEntry[str]) -> None:
    found = entry.stat(follow_symlinks=False)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_mode & 0o077:
        os.chmod(entry.path, found.st_mode & _PRIVATE_FOLDER)  # what its owner may do, as before


def file_stamps(paths: Iterable[Path]) -> list[Any]:
    """Return place, size and times of files, and of those in folders.

    Nobody can set back the time of the last change.
    """
    stamps = []
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix != ".pyc" and file.is_file():
                seen = file.stat()
                stamps.append((str(file), seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))
    return stamps


def is_pointer(file: Path) -> bool:
    """Tell whether Git LFS has left a pointer there, in the place of the file."""
    if not file.is_file() or file.stat().st_size > _LONGEST_POINTER:
        return False
    return file.read_bytes().startswith(_POINTER)
