"""JSON files of lists that may be longer than memory, written and read.

Written lists grow on disk and are joined at the end; read ones are gone through, element by element.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from detseg.errors import FormatError, NotJson
from detseg.files import HALF_LETTER, open_regular, parse_json, replacing


class JsonLists:
    """One JSON object in the making. Each of its lists is a file without a name until ``stack`` ends."""

    def __init__(self, names: tuple[str, ...], stack: ExitStack) -> None:
        self._lists = {name: stack.enter_context(_spool()) for name in names}
        self.counts = dict.fromkeys(names, 0)

    def append(self, name: str, *entries: Mapping[str, Any]) -> None:
        """Add entries to one of the lists."""
        if entries:
            comma = ",\n" if self.counts[name] else ""
            self._lists[name].write(comma + _ENCODER.encode(entries)[1:-1])
            self.counts[name] += len(entries)

    def write(self, path: Path, head: Mapping[str, Any]) -> None:
        """Write the object: what is in ``head``, and the lists."""
        with replacing(path) as file:
            file.write("{")
            for name, value in head.items():
                file.write(f"{json.dumps(name)}: {json.dumps(value)},\n")
            for position, (name, spooled) in enumerate(self._lists.items()):
                file.write((",\n" if position else "") + f"{json.dumps(name)}: [")
                spooled.seek(0)
                shutil.copyfileobj(spooled, file)
                file.write("]")
            file.write("}\n")


def _spool() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8")


ReadElement = Callable[[Any, int, int], None]
"""Takes an element of a list, and the offset and the number of its bytes in the file."""

_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder()
_AFTER_VALUE = frozenset(",:]} \t\n\r")
"""What ends a value for certain: a number at the end of what was read may go on."""
_MOST = 1 << 28
"""Bytes of one element, or of one value that is no list."""
_SIGN = re.compile(r"[^ \t\n\r]")
_BATCH = 1 << 18
"""Letters in which objects are decoded together."""
_END = re.compile(r"\}[ \t\n\r]*(?:(,)[ \t\n\r]*(?=\{)|(?=\]))")
"""The end of an object in a list, up to the next one or to the end of the list. Texts may have it, too."""


def read_lists(
    path: Path,
    wanted: Mapping[str, ReadElement],
    what: str,
    *,
    kept: Collection[str] = (),
    chunk_bytes: int = 1 << 22,
) -> dict[str, Any]:
    """Hand the elements of the named lists of a JSON object to their functions, in the file's order.

    The name of a file that is a list itself is empty. Of the file, which is UTF-8, some chunks are in memory.
    Returns those of the object's other values that are to be ``kept``, but for lists. ``what`` is what errors
    call the file. Raises FormatError for what is no JSON or lacks a list.
    """
    try:
        with open_regular(path) as file:
            scanner = _Scanner(file, path, wanted, kept=kept, chunk_bytes=chunk_bytes)
            missing = set(wanted) - scanner.scan()
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from error
    if missing:
        lists = f'a list under "{min(missing)}"' if min(missing) else "a list"
        raise FormatError(f"{path} is not {what}: expected {lists}")
    return scanner.found


class _Scanner:
    """The part of a file that is looked at: ``text`` has a letter for each byte, from ``offset`` on.

    JSON's own signs are ASCII, so that text outside of it is decoded where an element has some.
    """

    def __init__(
        self,
        file: IO[bytes],
        path: Path,
        wanted: Mapping[str, ReadElement],
        *,
        kept: Collection[str],
        chunk_bytes: int,
    ) -> None:
        self._file, self._path, self._wanted, self._kept = file, path, wanted, kept
        self._chunk = chunk_bytes
        self._text, self._offset, self._place = "", 0, 0
        self._is_plain = True
        self._one_by_one_to = 0
        """The offset up to which objects could not be decoded together."""
        self.found: dict[str, Any] = {}

    def scan(self) -> set[str]:
        """Go through the file. Return the names of the lists that it has."""
        self._grow()
        if json.detect_encoding(self._text[:4].encode("latin-1")) not in ("utf-8", "utf-8-sig"):
            raise NotJson(f"{self._path} is not text in UTF-8: write it anew")
        self._place = 3 * self._text.startswith("\xef\xbb\xbf")
        found = set()
        begin = self._peek()
        if begin == "[":
            found.add("")
            self._read_list(self._wanted.get(""))
        elif begin == "{":
            found |= self._read_object()
        else:
            self._read_value()
        if self._peek():
            raise self._error("more after its end")
        return found

    def _read_object(self) -> set[str]:
        found = set()
        for _ in self._parts("}"):
            name, _, _ = self._read_value()
            if not isinstance(name, str) or self._peek() != ":":
                raise self._error("expected a name and a colon")
            self._place += 1
            if self._peek() == "[":
                found.add(name)
                self._read_list(self._wanted.get(name))
            else:
                value, _, _ = self._read_value()
                if name in self._kept:
                    self.found[name] = value
        return found

    def _read_list(self, read: ReadElement | None) -> None:
        for _ in self._parts("]"):
            for value, offset, n_bytes in self._read_objects() or (self._read_value(),):
                if read is not None:
                    read(value, offset, n_bytes)

    def _read_objects(self) -> list[tuple[Any, int, int]]:
        """The objects of a list that begin here and are in memory, as ``_read_value`` gives each.

        Many are decoded at once, which is five times faster. None are where they might not be told apart.
        """
        start = self._place
        if self._offset + start < self._one_by_one_to or not self._text.startswith("{", start):
            return []
        begins, ends = [start], []
        for found in _END.finditer(self._text, start, start + _BATCH):
            ends.append(found.start() + 1)
            begins.append(found.end())
            if not found[1]:  # the list may end here
                break
        if not ends:
            return []
        text = self._text[start : ends[-1]]
        try:
            values = parse_json(f"[{text}]" if self._is_plain else f"[{text}]".encode("latin-1"), "")
        except FormatError:
            values = []
        if len(values) != len(ends) or not all(type(value) is dict for value in values):
            self._one_by_one_to = self._offset + start + _BATCH
            return []
        self._place = ends[-1]
        return [
            (value, self._offset + begin, end - begin)
            for value, begin, end in zip(values, begins, ends, strict=False)
        ]

    def _parts(self, closing: str) -> Iterator[None]:
        """Stop before each part of the list or object that begins here, and go past its end."""
        self._place += 1
        if self._peek() != closing:
            yield
            while (sign := self._peek()) == ",":
                self._place += 1
                yield
            if sign != closing:
                raise self._error(f"expected a comma or {closing}")
        self._place += 1

    def _read_value(self) -> tuple[Any, int, int]:
        """The value that stands here, its offset and its bytes."""
        self._peek()
        while True:
            value, end, problem = self._decode()
            is_whole = not problem and self._text[end : end + 1] in _AFTER_VALUE
            if is_whole or len(self._text) - self._place > _MOST or not self._grow():
                break
        if problem:
            raise self._error(problem)
        start, self._place = self._place, end
        if not self._is_plain:
            value = parse_json(self._text[start:end].encode("latin-1"), str(self._path))
        return value, self._offset + start, end - start

    def _decode(self) -> tuple[Any, int, str]:
        """The value that stands here, its end, and what is wrong as far as the file was read."""
        try:
            return *_DECODER.raw_decode(self._text, self._place), ""
        except json.JSONDecodeError as error:
            return None, self._place, error.msg
        except RecursionError as error:
            raise FormatError(
                f"{self._path} cannot be read: its lists and objects nest too deeply"
            ) from error
        except ValueError as error:  # Python's limit on the digits of a number
            raise FormatError(f"{self._path} cannot be read: it has a number of too many digits") from error

    def _peek(self) -> str:
        """The next sign that is no space; empty at the end of the file."""
        while True:
            if found := _SIGN.search(self._text, self._place):
                self._place = found.start()
                return found[0]
            self._place = len(self._text)
            if not self._grow():
                return ""

    def _grow(self) -> bool:
        """Read on, twice as much where what is there was not enough, and forget what is done with."""
        rest = self._text[self._place :]
        more = self._file.read(max(self._chunk, len(rest))).decode("latin-1")
        self._offset, self._place = self._offset + self._place, 0
        self._text = rest + more
        self._is_plain = self._text.isascii() and not HALF_LETTER.search(self._text)
        return bool(more)

    def _error(self, problem: str) -> NotJson:
        return NotJson(f"{self._path} is not JSON: {problem} (byte {self._offset + self._place:,})")
