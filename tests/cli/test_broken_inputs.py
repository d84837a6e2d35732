"""More than 2,000 broken inputs: each is read, or refused in one line. Never a traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detseg.config import Settings, load_settings
from detseg.config.sections import Section
from detseg.errors import ConfigError, DetsegError, FormatError, SourceError
from detseg.formats.coco_entries import IouType
from detseg.metrics.detection import score_coco_files
from detseg.metrics.panoptic import score_panoptic_files
from detseg.metrics.semantic import score_label_maps
from detseg.sources.manifest import read_manifest
from tests.cli.conftest import Outcome, Run

NASTY: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**40,
    2**64,
    10**400,
    1.5,
    1e308,
    float("nan"),
    "",
    "a\x00b",
    "x" * 5_000,
    "../../etc/passwd",
    [],
    [[[[]]]],
    {},
    {"counts": "\x7f" * 50, "size": [2**20, 2**20]},
)
"""What stands in place of each value in turn."""

SQUARE = [[1, 1, 9, 1, 9, 9, 1, 9]]
RUNS = {"size": [20, 20], "counts": [0, 400]}
BOX = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 8, 8]}
TRUTH = {
    "images": [{"id": 1, "width": 20, "height": 20, "file_name": "a.png"}],
    "categories": [{"id": 1, "name": "bolt"}],
    "annotations": [{**BOX, "id": 1, "segmentation": SQUARE, "area": 64, "iscrowd": 0}],
}
RESULTS = [{**BOX, "segmentation": RUNS, "score": 0.5}]
PREDICTIONS = {
    "images": [
        {
            "path": "/in/a.png",
            "width": 20,
            "height": 20,
            "instances": [
                {"label": "bolt", "kind": "thing", "score": 0.5, "box": [1, 1, 9, 9], "mask": RUNS}
            ],
        }
    ],
    "failed": [],
}
PANOPTIC = {
    "images": [{"id": 1, "width": 8, "height": 8, "file_name": "a.jpg"}],
    "categories": [{"id": 1, "name": "road", "isthing": 0}],
    "annotations": [
        {"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 1, "category_id": 1, "iscrowd": 0}]}
    ],
}
BROKEN_TEXTS = (
    b"",
    b"\xff\xfe\x00",
    b"{",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"9" * 6_000,
    b'{"images": ' + b"1" * 6_000 + b"}",
    b'["\\ud800"]',
    b'["\xed\xa0\x80"]',
    b"NaN",
    b"\x00",
    b"null",
    b'"text"',
)


NASTY_TOML = (
    b"true", b"-1", b"0", b"2.5", b"nan", b"-inf", b"1e308", b"9223372036854775807", b"''", b"'x'",
    b'"a\\u0000b"',
    b'"http://[::1"', b"[]", b"[[]]", b"['']", b"[1]", b"{}", b"{a = 1}", b"[{}]",
    b"[{name = 'a'}, {name = 'a'}]",
    b"{a = nan}", b"2026-01-01", b"12:00:00", b"'" + b"x" * 5_000 + b"'",
)  # fmt: skip
NASTY_CELLS = (
    b'"', b'"a.png', b",", b",,,,", b"\x00,,", b"\xff,,", b"http://[::1,,", b"../a.png,,",
    b"a.png,\xed\xa0\x80,",
    b"x" * 200_000, b"\r\r\n", b"s3://,,", b"file://[,,", b"://,,",
)  # fmt: skip
NASTY_KEYS = ("", "-1", "65536", "9" * 5_000, "\u0661", "1.0", "01", "\u00b2", "a\0", "x" * 5_000)


def broken(document: Any) -> Iterator[Any]:
    """The document with every value in it replaced by each nasty one in turn, and left out."""
    for path in paths(document):
        for value in NASTY:
            changed = copy.deepcopy(document)
            place = changed
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
            yield changed
        del place[path[-1]]
        yield changed


def paths(document: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = (
        document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    )
    for key in keys:
        yield (*before, key)
        yield from paths(document[key], (*before, key))


def is_one_line(answer: Outcome) -> bool:
    """Done, or refused in one line that is no traceback."""
    lines = answer.err.splitlines()
    if answer.code == 0:
        return "Traceback" not in answer.err
    return (
        answer.code in (1, 2)
        and len(lines) == 1
        and lines[0].startswith("detseg: ")
        and len(lines[0]) < 1_000
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("t", TRUTH), ("r", RESULTS), ("p", PANOPTIC), ("q", PANOPTIC)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    for name in ("p", "q"):
        (tmp_path / name).mkdir()
        ids = np.zeros((8, 8, 3), dtype=np.uint8)
        ids[:, :, 0] = 1
        Image.fromarray(ids).save(tmp_path / name / "a.png")
    return tmp_path


BOXES = ("score", "--truth", "t.json", "--results", "r.json")
PIXELS = ("score", "--panoptic", "--truth", "p.json", "--results", "q.json")


def score(name: str, iou_type: IouType) -> None:
    if name == "p":
        score_panoptic_files(Path("p.json"), Path("q.json"))
    else:
        score_coco_files(Path("t.json"), Path("r.json"), iou_type)


@pytest.mark.parametrize(
    ("name", "document", "iou_type"),
    [
        ("t", TRUTH, "bbox"),
        ("t", TRUTH, "segm"),
        ("r", RESULTS, "segm"),
        ("r", PREDICTIONS, "segm"),
        ("p", PANOPTIC, "bbox"),
    ],
    ids=["truth", "true masks", "results", "predictions", "panoptic"],
)
def test_every_value_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, document: Any, iou_type: IouType
) -> None:
    """Whatever else is raised fails the test with its traceback."""
    monkeypatch.chdir(folder)
    refusals, n_scored = [], 0
    for changed in broken(document):
        (folder / f"{name}.json").write_text(json.dumps(changed))
        try:
            score(name, iou_type)
            n_scored += 1
        except FormatError as error:
            refusals.append(str(error))
    assert all(len(refusal.splitlines()) == 1 for refusal in refusals)
    assert n_scored > 0  # some of it is of no account


@pytest.mark.parametrize("text", BROKEN_TEXTS, ids=lambda text: repr(text[:12]))
def test_files_that_are_no_json(run: Run, folder: Path, text: bytes) -> None:
    for name, command in (("t", BOXES), ("r", BOXES), ("p", PIXELS), ("q", PIXELS)):
        before = (folder / f"{name}.json").read_bytes()
        (folder / f"{name}.json").write_bytes(text)
        answer = run(*command)
        assert answer.code == 1
        assert is_one_line(answer)
        (folder / f"{name}.json").write_bytes(before)


@pytest.mark.parametrize("text", BROKEN_TEXTS, ids=lambda text: repr(text[:12]))
def test_settings_that_are_no_toml(run: Run, folder: Path, text: bytes) -> None:
    (folder / "detseg.toml").write_bytes(b"model.committee = " + text)
    answer = run("status")
    assert answer.code == 2
    assert is_one_line(answer)


@pytest.mark.parametrize(
    "source",
    [
        "ftp://127.0.0.1/x",
        "sftp://127.0.0.1/x",
        "github://a/b",
        "hdfs://127.0.0.1/x",
        "zip://x.zip",
        "jupyter://x",
        "http://[::1/x.jpg",
        "https://me:pa55word@127.0.0.1/x.csv",
        "nonsense://x",
        "a\x1b[2J",
    ],
)
def test_sources_that_are_none(run: Run, folder: Path, source: str) -> None:
    del folder
    answer = run("preannotate", "--dry-run", "--source", source)
    assert answer.code in (1, 2)
    assert is_one_line(answer)
    assert "pa55word" not in answer.err


def names_of_settings() -> Iterator[str]:
    """All of them, and the sections themselves."""
    for name, value in Settings():
        if name != "root":
            yield name
        if isinstance(value, Section):
            yield from (f"{name}.{option}" for option, _ in value)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # two sections are called as options were before them
@pytest.mark.parametrize("name", list(names_of_settings()))
def test_every_setting_replaced(tmp_path: Path, name: str) -> None:
    """Each is taken, or refused in one line."""
    file, refusals = tmp_path / "detseg.toml", []
    for value in NASTY_TOML:
        file.write_bytes(f"{name} = ".encode() + value)
        try:
            load_settings(file, environ={})
        except DetsegError as error:
            refusals.append(str(error))
    assert refusals
    assert all(len(refusal.splitlines()) == 1 for refusal in refusals)


def test_settings_have_a_largest_size(tmp_path: Path) -> None:
    (tmp_path / "detseg.toml").write_text("#" * 1_000_001)
    with pytest.raises(ConfigError, match="more than 1,000,000 bytes"):
        load_settings(tmp_path / "detseg.toml", environ={})


ROW = {"uri": "a.png", "etag": "1", "line": 3, "more": {"camera": ["left", None]}}


def test_every_value_of_a_manifest_replaced(folder: Path) -> None:
    Image.new("L", (8, 8)).save(folder / "a.png")
    for changed in (
        *broken({"row": ROW}),
        *({"row": {**ROW, value: 1}} for value in ("", "a\0", "x" * 5_000)),
    ):
        (folder / "m.jsonl").write_text(f"{json.dumps(ROW)}\n{json.dumps(changed.get('row'))}\n")
        found = list(read_manifest(str(folder / "m.jsonl"), lambda: (folder / "m.jsonl").open("rb")))
        assert len(found) == 2
    for value in NASTY_CELLS:
        (folder / "m.csv").write_bytes(b"uri,etag,line\na.png,1,2\n" + value)
        with suppress(SourceError):
            list(read_manifest(str(folder / "m.csv"), lambda: (folder / "m.csv").open("rb")))


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_row_of_a_manifest_has_a_largest_size(folder: Path, suffix: str) -> None:
    file = folder / f"m.{suffix}"
    file.write_text("uri\n" if suffix == "csv" else '{"uri": "a.png"}\n')
    with file.open("a") as more:
        more.write(",".join(["x" * 1_000] * 2_000))
    with pytest.raises(SourceError, match="line 2: has 1,000,000 characters or more"):
        list(read_manifest(str(file), lambda: file.open("rb")))


NAMES = {"0": "table", "1": "bolt", "2": "nut"}


def test_every_name_of_label_maps_replaced(tmp_path: Path) -> None:
    for side in ("truth", "found"):
        (tmp_path / side).mkdir()
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) % 3).save(tmp_path / side / "a.png")
    names = tmp_path / "names.json"
    wrongly = [
        *broken(NAMES),
        *broken([*NAMES.values()]),
        *NASTY,
        *({**NAMES, key: "x"} for key in NASTY_KEYS),
    ]
    refusals, n_scored = [], 0
    for changed in wrongly:
        names.write_text(json.dumps(changed))
        try:
            score_label_maps(tmp_path / "truth", tmp_path / "found", names_path=names)
            n_scored += 1
        except FormatError as error:
            refusals.append(str(error))
    assert all(len(refusal.splitlines()) == 1 for refusal in refusals)
    assert n_scored > 0


def test_manifests_with_rows_that_are_broken(run: Run, models: tuple[str, ...], folder: Path) -> None:
    """Each broken row is put aside with its reason, and the run goes on."""
    rows = [
        b'{"uri": "http://[::1/x.jpg"}',
        b'{"uri": "a\\u0000b.png"}',
        b'{"uri": "\\ud800.png"}',
        b'{"uri": "ftp://127.0.0.1/x.png"}',
        b'{"uri": "file://[::1/x.png"}',
        b'{"uri": [], "n": 1}',
        b'{"uri": "x.png", "n": ' + b"1" * 6_000 + b"}",
        b"[" * 100_000,
        b"\x00",
        b'{"uri": "' + b"x" * 5_000 + b'.png"}',
    ]
    (folder / "m.jsonl").write_bytes(b'{"uri": "first.png"}\n' + b"\n".join(rows) + b"\n")
    answer = run("preannotate", "--dry-run", "--source", "m.jsonl", *models, "--json")
    assert answer.code == 3
    assert len(answer.json["quarantined"]) == 1 + len(rows)
