"""CSV files whose rows are found by a key: what csv.DictReader reads, in the files' order."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detseg.errors import FormatError
from detseg.formats.csv_index import index_csv, read_column

cells = st.text(st.sampled_from("ab,\"'\n é世"), max_size=4)
rows = st.lists(st.tuples(st.sampled_from(("x", "y z", "é\n")), cells, cells), max_size=8)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(files=st.lists(rows, max_size=3), has_mark=st.booleans())
def test_rows_are_those_of_the_file_by_their_key(
    files: list[list[tuple[str, str, str]]], has_mark: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    paths = [folder / f"{number}.csv" for number in range(len(files))]
    expected: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for path, content in zip(paths, files, strict=True):
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(
            [("a", "key", "b"), *((a, k, b) for k, a, b in content)]
        )
        path.write_text(text.getvalue(), encoding="utf-8-sig" if has_mark else "utf-8", newline="")
        for row in csv.DictReader(io.StringIO(text.getvalue(), newline="")):
            expected[row["key"]].append(row)
    with index_csv(paths, "key", ("b",)) as index:
        assert {key: index.rows(key) for key in index.keys} == expected
        assert list(index.keys) == list(expected)
        assert index.rows("not there") == []
    keys = [key for content in files for key, _, _ in content]
    assert list(read_column(paths, "key")) == keys


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected a column key beside"),
        (b"a,b\n1,2\n", "expected a column key beside"),
        (b"key,b\n1,2\n1\n", "line 3: expected 2 columns"),
        (b"key,b\n1,2\n\n1,2,3\n", "line 4: expected 2 columns"),
        (b"key,b\n\xff,2\n", "is not CSV in UTF-8"),
        (b"key,b\n" + b"x" * 200_000 + b",2\n", "is not CSV in UTF-8"),
    ],
)
def test_what_is_wrong_is_said(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=said), index_csv([path], "key"):
        pass
    with pytest.raises(FormatError, match=said):
        list(read_column([path], "key"))
    with (
        pytest.raises(FormatError, match="cannot be read: No such file"),
        index_csv([tmp_path / "no"], "key"),
    ):
        pass


def test_a_file_that_changes_meanwhile_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("key,b\n1,2\n")
    with index_csv([path], "key") as index:
        path.write_text("key,b\n1\n22")
        with pytest.raises(FormatError, match=r"a\.csv has changed since it was opened"):
            index.rows("1")
