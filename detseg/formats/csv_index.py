"""CSV files that may be larger than memory: where in them the rows of each key are.

Each key, and 26 bytes a row, are kept; rows are read again where their key is asked for.
"""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError
from detseg.files import open_regular

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class CsvIndex:
    """The rows of some files, which are open, by the value of a column.

    Row i is in file ``files[i]``, at byte ``offsets[i]``, and has ``sizes[i]`` bytes. Those of key number j
    are ``order[starts[j]:starts[j + 1]]``, in the order of the files.
    """

    numbers: Mapping[str, int]
    opened: Sequence[tuple[Path, IO[bytes], Sequence[str]]]
    """each file with the names of its columns"""
    files: npt.NDArray[np.uint16]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int32]
    order: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    @property
    def keys(self) -> Collection[str]:
        """The keys, in the order in which they come first."""
        return self.numbers.keys()

    def rows(self, key: str) -> list[Row]:
        """Read the rows of a key; none for one that there is not."""
        number = self.numbers.get(key)
        if number is None:
            return []
        positions = self.order[self.starts[number] : self.starts[number + 1]]
        return [self._read(position) for position in positions.tolist()]

    def _read(self, position: int) -> Row:
        path, file, columns = self.opened[self.files[position]]
        file.seek(int(self.offsets[position]))
        text = file.read(int(self.sizes[position])).decode("utf-8-sig", errors="replace")
        row = next(csv.reader(io.StringIO(text, newline="")), [])
        if len(row) != len(columns):
            raise FormatError(f"{path} has changed since it was opened: try again")
        return dict(zip(columns, row, strict=True))


@contextmanager
def index_csv(paths: Sequence[Path], key: str, columns: Sequence[str] = ()) -> Iterator[CsvIndex]:
    """Go through CSV files once, and keep them open. They have that column, and the others that are named.

    Raises FormatError for what cannot be read, is no CSV in UTF-8, or lacks a column, and where.
    """
    numbers: dict[str, int] = {}
    owners, files, offsets, sizes = array("i"), array("H"), array("q"), array("i")
    opened: list[tuple[Path, IO[bytes], Sequence[str]]] = []
    with ExitStack() as stack:
        for path in paths:
            file = stack.enter_context(_open(path))
            names = None
            for row, start, end in _records(file, path):
                if names is None:
                    names = _check_columns(row, (key, *columns), path)
                    place = names.index(key)
                    continue
                owners.append(numbers.setdefault(row[place], len(numbers)))
                files.append(len(opened))
                offsets.append(start)
                sizes.append(end - start)
            opened.append((path, file, names or _check_columns([], (key, *columns), path)))
        owned = np.array(owners, dtype=np.int32)
        order = np.argsort(owned, kind="stable")
        yield CsvIndex(
            numbers,
            opened,
            np.array(files, dtype=np.uint16),
            np.array(offsets, dtype=np.int64),
            np.array(sizes, dtype=np.int32),
            order,
            np.searchsorted(owned[order], np.arange(len(numbers) + 1)),
        )


def read_column(paths: Sequence[Path], key: str) -> Iterator[str]:
    """Yield the values of a column, of file after file. Raises FormatError as ``index_csv``."""
    for path in paths:
        with _open(path) as file:
            records = _records(file, path)
            names = _check_columns(next(records, ([], 0, 0))[0], (key,), path)
            place = names.index(key)
            yield from (row[place] for row, _, _ in records)


def _open(path: Path) -> IO[bytes]:
    try:
        return open_regular(path)
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from error


def _records(file: IO[bytes], path: Path) -> Iterator[tuple[list[str], int, int]]:
    """The rows of a file that are not empty, as long as the first one, with the bytes where each begins and
    ends."""
    end = 0

    def lines() -> Iterator[str]:
        nonlocal end
        for line in file:
            end += len(line)
            yield line.decode("utf-8-sig")

    start = n_columns = 0
    try:
        reader = csv.reader(lines())  # which takes no line more than the row has
        for row in reader:
            if n_columns and row and len(row) != n_columns:
                raise FormatError(f"{path}, line {reader.line_num}: expected {n_columns} columns")
            if row:
                n_columns = len(row)
                yield row, start, end
            start = end
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} is not CSV in UTF-8: {error}") from error


def _check_columns(names: Sequence[str], wanted: Sequence[str], path: Path) -> Sequence[str]:
    if missing := [name for name in wanted if name not in names]:
        raise FormatError(f"{path}: expected a column {missing[0]} beside {list(names)!r:.80}")
    return names
