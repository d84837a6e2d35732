"""A split of a dataset version as a file that is mapped into memory: any image at once, few in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from detseg.datasets.rows import ROW, rows_of
from detseg.datasets.sample import Sample, decode_sample
from detseg.files import replacing
from detseg.paging import pages

_PAGE = 500


class SampleTable:
    """The samples of a file that ``write_table`` made, by their position."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, position: int) -> Sample:
        (batch,) = self._table.slice(position, 1).to_batches()
        (row,) = rows_of(batch)
        return decode_sample(row)

    def __getstate__(self) -> dict[str, Any]:
        """A process that loads images maps the file by itself."""
        return {"_path": self._path}

    @cached_property
    def _table(self) -> Any:
        return pa.ipc.open_file(pa.memory_map(str(self._path))).read_all()


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> SampleTable:
    """Write rows of a version (``datasets.store.ROW``), in their order."""
    with replacing(path, binary=True) as file, pa.ipc.new_file(file, ROW) as writer:
        for page in pages(rows, _PAGE):
            writer.write_table(pa.Table.from_pylist(list(page), ROW))
    return SampleTable(path)
