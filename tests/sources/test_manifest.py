"""Manifests: every row is an image with what is known about it, or one line that says why not."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from detseg.errors import ImageError, SourceError
from detseg.sources.manifest import read_manifest
from detseg.sources.protocol import Listed
from detseg.sources.registry import Sources
from detseg.types import Entry, Failure

Rows = list[dict[str, Any]]


def write_csv(path: Path, rows: Rows) -> None:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_jsonl(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_parquet(path: Path, rows: Rows) -> None:
    parquet.write_table(pa.Table.from_pylist(rows), path)


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}


def listed(path: Path) -> list[Listed]:
    return list(Sources().entries(str(path)))


def failures(path: Path) -> dict[str, str]:
    return {one.uri.removeprefix(f"{path}, "): one.reason for one in listed(path) if isinstance(one, Failure)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two images beside the manifest."""
    for name in ("photos/a.png", "photos/b, 🔩.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1234")
    return tmp_path


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_says_the_same(folder: Path, suffix: str) -> None:
    path = folder / f"list.{suffix}"
    rows = [
        {"camera": "left", "uri": "photos/a.png", "etag": None, "note": None},
        {"camera": "", "uri": "photos/b, 🔩.png", "etag": None, "note": 'says "ü"'},
        {"camera": "right", "uri": "https://a.example/c.png?x=1", "etag": "v1", "note": "n"},
    ]
    WRITERS[suffix](path, rows)
    first, second, third = listed(path)
    stat = (folder / "photos" / "a.png").stat()
    assert first == Entry(
        str(folder / "photos" / "a.png"), 4, str(stat.st_mtime_ns), metadata='{"camera":"left"}'
    )
    assert isinstance(second, Entry)
    assert json.loads(second.metadata) == {"note": 'says "ü"'}
    assert third == Entry("https://a.example/c.png?x=1", -1, "v1", metadata='{"camera":"right","note":"n"}')


def test_parquet_values_of_any_type_travel(folder: Path) -> None:
    from datetime import UTC, datetime

    moment = datetime(2026, 3, 1, tzinfo=UTC)
    row = {"uri": "photos/a.png", "n": 3, "share": float("nan"), "tags": ["x"], "at": moment, "ok": True}
    write_parquet(folder / "list.parquet", [row])
    (entry,) = listed(folder / "list.parquet")
    assert isinstance(entry, Entry)
    assert json.loads(entry.metadata) == {
        "at": "2026-03-01 00:00:00+00:00",
        "n": 3,
        "ok": True,
        "tags": ["x"],
    }


@pytest.mark.parametrize("suffix", WRITERS)
def test_no_uri_column_is_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"list.{suffix}"
    WRITERS[suffix](path, [{"path": "a.png", "camera": "left"}])
    with pytest.raises(
        SourceError, match=r"has no column 'uri', it has path, camera: name the column of the"
    ):
        listed(path)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_row_that_cannot_be_used_is_one_line_and_the_rest_is_listed(folder: Path, suffix: str) -> None:
    path = folder / f"list.{suffix}"
    uris = [
        "photos/a.png",
        "photos/../photos/a.png",
        "",
        "../outside.png",
        "photos/gone.png",
        "ftp://a.example/a.png",
        "https://me:secret@a.example/a.png",
        str(folder / "photos" / "b, 🔩.png"),
    ]
    WRITERS[suffix](path, [{"uri": uri} for uri in uris])
    offset = 1 if suffix == "csv" else 0  # the header is a line too
    assert [reason for _, reason in sorted(failures(path).items())] == [
        f"names photos/../photos/a.png again, after row {1 + offset}: it is taken once",
        "has nothing in the column 'uri'",
        "names ../outside.png, which climbs out of the manifest's folder: give an absolute path if it "
        "is meant",
        "names photos/gone.png, which cannot be read: No such file or directory",
        "names ftp://a.example/a.png: ftp:// is not read from a manifest, only paths and abfs, abfss, az, "
        "gcs, gs, http, https, s3",
        "holds a user or password in its URL: leave them out",
    ]
    assert list(failures(path)) == [f"row {n + offset}" for n in range(2, 8)]
    assert [Path(one.uri).name for one in listed(path) if isinstance(one, Entry)] == ["a.png", "b, 🔩.png"]


def test_devices_pipes_and_folders_are_one_line_each(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "link.png").symlink_to("pipe.png")
    (folder / "folder.png").mkdir()
    path = folder / "list.jsonl"
    uris = ["/dev/zero", "file:///dev/zero", "pipe.png", "link.png", "folder.png"]
    write_jsonl(path, [{"uri": uri} for uri in uris])
    reasons = failures(path)
    assert len(reasons) == 5
    assert all(
        reason.endswith("which is no file, but a folder, pipe, socket or device")
        for reason in reasons.values()
    )
    with Sources() as sources:
        for name in ("/dev/zero", str(folder / "pipe.png"), str(folder / "link.png")):
            with pytest.raises(ImageError, match="no file, but a folder, pipe, socket or device"):
                sources.read(name)


def test_a_manifest_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(SourceError, match="no file, but a folder, pipe, socket or device"):
        list(Sources().entries(str(tmp_path / "list.csv")))


def test_a_link_that_climbs_out_is_refused(folder: Path) -> None:
    below = folder / "below"
    below.mkdir()
    (below / "out").symlink_to(folder / "photos")
    write_csv(below / "list.csv", [{"uri": "out/a.png"}])
    assert "climbs out" in failures(below / "list.csv")["row 2"]


def test_broken_rows_and_files_are_named(folder: Path) -> None:
    path = folder / "list.csv"
    path.write_text("uri,note\nphotos/a.png,x,y\n", encoding="utf-8")
    assert failures(path) == {"row 2": "has more fields than the 2 of the header"}
    path.write_bytes(b"uri\n\xff.png\n")
    with pytest.raises(SourceError, match=r"list.csv cannot be read as CSV in UTF-8"):
        listed(path)
    path.write_text('uri\nphotos/a.png\n"photos/b.png\n', encoding="utf-8")
    with pytest.raises(
        SourceError, match=r"list.csv cannot be read as CSV after line 2 .*: is a quote not closed"
    ):
        listed(path)
    path.write_bytes(b"")
    with pytest.raises(SourceError, match=r"has no column 'uri', it has none at all"):
        listed(path)
    lines = folder / "list.jsonl"
    lines.write_text('{"uri": "photos/a.png"}\n\nno json\n[1]\n{"camera": 1}\n', encoding="utf-8")
    assert failures(lines) == {
        "row 3": "is not JSON: Expecting value: line 1 column 1 (char 0)",
        "row 4": "is list, expected an object",
        "row 5": "has nothing in the column 'uri'",
    }
    table = folder / "list.parquet"
    table.write_bytes(b"PAR1 no parquet")
    with pytest.raises(SourceError, match=r"list.parquet cannot be read as Parquet"):
        listed(table)
    with pytest.raises(SourceError, match=r"the manifest .*gone.csv cannot be read: No such file"):
        listed(folder / "gone.csv")


def test_an_empty_manifest_lists_nothing(folder: Path) -> None:
    (folder / "list.csv").write_text("uri,note\n", encoding="utf-8")
    (folder / "list.jsonl").write_text("", encoding="utf-8")
    parquet.write_table(pa.table({"uri": pa.array([], pa.string())}), folder / "list.parquet")
    assert [listed(folder / f"list.{suffix}") for suffix in WRITERS] == [[], [], []]


def test_a_spreadsheets_csv_is_read(folder: Path) -> None:
    """With a byte order mark, Windows' line ends and a column without a name."""
    (folder / "list.csv").write_bytes(b"\xef\xbb\xbf,uri\r\n0,photos/a.png\r\n")
    (entry,) = listed(folder / "list.csv")
    assert isinstance(entry, Entry)
    assert entry.metadata == ""


@given(uri=st.text(st.sampled_from("./a:\\%é"), max_size=12))
def test_no_relative_uri_leaves_the_folder(uri: str) -> None:
    remote = read_manifest(
        "s3://bucket/deep/list.jsonl", lambda: io.BytesIO(json.dumps({"uri": uri}).encode())
    )
    for one in remote:
        assert isinstance(one, Failure) or one.uri.startswith("s3://bucket/deep/")
        assert "/../" not in one.uri or isinstance(one, Failure)
