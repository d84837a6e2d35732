"""Rows of dataset versions between Python and Arrow.

Read without what would import pandas, which takes a second of processor time: Arrow's arrays of Python
values, its filters and its moments with a timezone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from typing import Any

import pyarrow as pa

from detseg.datasets.sample import us_to_moment
from detseg.datasets.version import IndexRow
from detseg.errors import DatasetError

ROW = pa.schema(
    [
        ("image", pa.binary(32)),
        ("digest", pa.binary(32)),
        ("uri", pa.string()),
        ("metadata", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("state", pa.string()),
        ("regions", pa.string()),
        ("author", pa.string()),
        ("authors", pa.list_(pa.string())),
        ("reviews", pa.list_(pa.int64())),
        ("model_versions", pa.list_(pa.string())),
        ("n_disputed", pa.int32()),
        ("simulated", pa.bool_()),
        ("updated_at", pa.timestamp("us", tz="UTC")),
    ]
)

INDEX = pa.schema(
    [
        ("image", pa.binary(32)),
        ("digest", pa.binary(32)),
        ("source", pa.binary(32)),
        ("pack", pa.dictionary(pa.int32(), pa.string())),
        ("split", pa.dictionary(pa.int32(), pa.string())),
        ("state", pa.dictionary(pa.int32(), pa.string())),
        ("label_lines", pa.string()),
        ("author_lines", pa.string()),
        ("updated_us", pa.int64()),
        ("metadata", pa.string()),
    ]
)


def check_columns(stored: pa.Schema, wanted: pa.Schema, path: str) -> None:
    """Raise DatasetError for a file that lacks one of the columns, or has another type there."""
    for one in wanted:
        place = stored.get_field_index(one.name)
        if place < 0 or _plain(stored.field(place).type) != _plain(one.type):
            raise DatasetError(f"{path} has no column {one.name} of {one.type}: restore the file from a copy")


def _plain(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if pa.types.is_dictionary(type_) else type_


def index_table(rows: Sequence[IndexRow]) -> pa.Table:
    """The rows of an index as a table (``INDEX``)."""
    columns = (pa.array([getattr(row, one.name) for row in rows], one.type) for one in INDEX)
    return pa.Table.from_arrays(list(columns), schema=INDEX)


def find_runs(wanted: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Where those begin and end that are wanted and lie side by side.

    >>> list(find_runs([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    end = 0
    for is_wanted, run in groupby(wanted):
        start, end = end, end + sum(1 for _ in run)
        if is_wanted:
            yield start, end


def rows_of(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows of a batch (``ROW``)."""
    columns = [
        map(us_to_moment, column.view(pa.int64()).to_pylist())
        if pa.types.is_timestamp(column.type)
        else column.to_pylist()
        for column in batch.columns
    ]
    return (dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True))


def values_of(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column. A dictionary's are looked up here: Arrow takes ten times as long for each, and
    half a second to load what casts them."""
    if not pa.types.is_dictionary(column.type):
        values: list[Any] = column.to_pylist()
        return values
    return list(chain.from_iterable(map(_look_up, column.chunks)))


def _look_up(chunk: pa.DictionaryArray) -> Iterator[Any]:
    words = chunk.dictionary.to_pylist()
    return (None if place is None else words[place] for place in chunk.indices.to_pylist())
