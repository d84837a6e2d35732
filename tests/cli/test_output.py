"""Names from outside on the terminal: nothing that they hold gets there as a control character."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from detseg.cli.output import note, print_failures, print_json, print_table, say
from detseg.escaping import escape_controls
from tests.cli.conftest import Run
from tests.pipeline.conftest import write_image

IN_CLASS = "a\x1b[2J\n\u202e[red]:smile:"

HOSTILE = "a\x1b[2J\x1b]0;title\x07\x9b31m\nDone: 100 files\r\u202egpj.\u2028x\x7f[red]:smile:"
"""Clears the screen, sets the title, forges a line, turns letters round; markup and an emoji for rich."""


def is_clean(text: str) -> bool:
    return all(escape_controls(line) == line for line in text.split("\n"))


def test_every_door_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    note(HOSTILE)
    print_table(("class", "n"), [(IN_CLASS, "1")])
    printed = capsys.readouterr()
    assert is_clean(printed.out)
    assert is_clean(printed.err)
    assert printed.err == f"{escape_controls(HOSTILE)}\n"
    assert printed.out.splitlines()[0] == escape_controls(HOSTILE)
    assert escape_controls(IN_CLASS) in printed.out.splitlines()[2]  # markup and emoji names are letters
    print_json({HOSTILE: "lone \udc80"})
    printed = capsys.readouterr()
    assert is_clean(printed.out)
    assert json.loads(printed.out) == {HOSTILE: "lone \udc80"}


def test_figures_are_whole_and_names_are_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name, figures = "a very long name " * 5, [f"{n},234,567 (1 to 9)" for n in range(6)]
    print_table(("class", *map(str, range(6))), [(name, *figures)])
    lines = capsys.readouterr().out.splitlines()
    assert all(figure in lines[1] for figure in figures)
    print_table(("class", "n"), [(name, "1,234,567")])
    lines = capsys.readouterr().out.splitlines()
    assert (max(map(len, lines)) <= 80, len(lines)) == (True, 3)


def test_what_many_images_have_in_common_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    alike = [(f"{n}.png", "was refused by Label Studio: no") for n in range(5_000)]
    few = [(f"empty-{n}.png", "is empty (0 bytes)") for n in range(3)]
    print_failures([*few, *alike])
    assert capsys.readouterr().err.splitlines() == [
        *(f"  {uri} {reason}" for uri, reason in few),
        "  0.png was refused by Label Studio: no (4,999 more are alike)",
    ]
    print_failures([(f"{n}.png", f"reason {n}") for n in range(12)])
    assert capsys.readouterr().err.splitlines()[-1] == "  ... and 2 more (--json lists all)"


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_predict_of_names_that_are_attacks(
    run: Run, models: tuple[str, ...], tmp_path: Path, as_json: tuple[str, ...]
) -> None:
    images = tmp_path / "in"
    write_image(images / f"{HOSTILE}.png", seed=0)
    bad = os.fsencode(images) + b"/\xff\x1b[31m.png"
    with open(bad, "wb") as file:
        file.write((images / f"{HOSTILE}.png").read_bytes())
    answer = run("predict", images, os.fsdecode(bad), "--out", "out", *models, *as_json)
    assert is_clean(answer.out)
    assert is_clean(answer.err)
    written = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    paths = [entry["path"] for entry in (*written["images"], *written["failed"])]
    assert str(images / f"{HOSTILE}.png") in paths
    if as_json:
        assert answer.json == written
    else:
        assert answer.out.splitlines()[0].startswith(escape_controls(str(images / HOSTILE)))


def test_classes_of_a_file_that_are_attacks(run: Run, tmp_path: Path) -> None:
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 8, 8]}
    truth = {
        "images": [{"id": 1, "width": 20, "height": 20}],
        "categories": [{"id": 1, "name": IN_CLASS}],
        "annotations": [box],
    }
    (tmp_path / "t.json").write_text(json.dumps(truth))
    (tmp_path / "r.json").write_text(json.dumps([{**box, "score": 0.9}]))
    command = ["score", "--truth", "t.json", "--results", "r.json"]
    answer = run(*command)
    assert answer.code == 0
    assert is_clean(answer.out)
    assert escape_controls(IN_CLASS) in answer.out
    assert list(run(*command, "--json").json["per_class"]) == [IN_CLASS]


def test_a_terminal_that_lacks_letters_gets_escapes(tmp_path: Path) -> None:
    """The real program, with an encoding that has no emoji and no Japanese."""
    (tmp_path / "detseg.toml").write_text('state_dir = "状態-é"\n', encoding="utf-8")
    command = [sys.executable, "-m", "detseg", "status"]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONPATH": os.pathsep.join(sys.path)}
    for more in ([], ["--json"]):
        done = subprocess.run([*command, *more], cwd=tmp_path, env=environment, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        if more:
            assert json.loads(done.stdout.decode("utf-8"))["state_dir"].endswith("状態-é")
        else:
            assert done.stdout.decode("latin-1").strip().endswith(r"\u72b6\u614b-é")
