"""``detseg dataset`` as a person and a program run it: words, JSON and exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from detseg.cli.app import app
from tests.pipeline.labeled import CLASSES, LabeledProject, bolt, make_project, ring


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabeledProject:
    """Four labeled images and an empty one, in the working directory."""
    made = make_project(tmp_path)
    made.add(range(5))
    for number in range(4):
        made.review(number, [bolt(f"a{number}"), ring(f"b{number}")])
    made.review(4)
    classes = [f'[[classes]]\nname = "{cls.name}"\nkind = "{cls.kind}"' for cls in CLASSES]
    (tmp_path / "detseg.toml").write_text("\n".join(classes))
    monkeypatch.chdir(tmp_path)
    return made


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    app(["dataset", *arguments], standalone_mode=False)
    return capfd.readouterr().out


def run_json(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run(capfd, *arguments, "--json"))
    return answer


def test_programs_get_one_object_each(project: LabeledProject, capfd: pytest.CaptureFixture[str]) -> None:
    made = run_json(capfd, "create", "v1", "--split", "train=0.5,val=0.5")
    assert (made["name"], made["images"], made["regions"], made["parent"]) == ("v1", 5, 8, None)
    assert made["states"] == {"labeled": 4, "empty": 1}
    assert sum(made["splits"].values()) == 5
    assert sum(one.get("bolt", 0) for one in made["classes_by_split"].values()) == 4
    project.review(4, [bolt("new")])
    project.review(0, [bolt("a0", 30)])
    second = run_json(capfd, "create", "v2", "--split", "train=0.5,val=0.5")
    assert second["parent"] == made["id"]
    assert [one["name"] for one in run_json(capfd, "list")["versions"]] == ["v1", "v2"]
    assert all(line.endswith(f" {made['recipe']['project']}") for line in run(capfd, "list").splitlines()[1:])
    shown = run_json(capfd, "show", "v1")
    assert shown.items() > made.items()
    assert shown["figures"]["labels"]["per_class"]["nut"]["n_masks"] == 4
    assert shown["figures"]["lost"]["yolo"] == {"masks left out": 4}
    assert [one["name"] for one in shown["figures"]["growth"]] == ["v1"]
    difference = run_json(capfd, "diff", "v1", "v2")
    assert difference["images"] == {"added": 0, "removed": 0, "changed": 2}
    assert difference["regions"] == {"added": 1, "removed": 1, "changed": 1}
    assert difference["by_class"]["nut"] == {"added": 0, "removed": 1, "changed": 0}
    report = run_json(capfd, "diff", "v1", "v2", "--report", "differs/report.html")["report"]
    assert Path(report).read_text().count("data:image/jpeg") == 8  # two images changed
    done = run_json(capfd, "export", "v2", "--format", "coco", "--out", "out")
    assert (done["images"], done["regions"], done["lost"], done["missing"]) == (5, 8, {}, [])
    assert all(Path(path).is_file() for path in done["written"])
    assert run_json(capfd, "verify", "v1") == {"ok": True, "problems": []}
    (first, last) = run_json(capfd, "trace", "photo 0.jpg")["versions"]
    assert (first["reviews"], last["reviews"], last["authors"]) == ([1], [7], ["person 1"])


@pytest.mark.usefixtures("project")
def test_people_get_lines(capfd: pytest.CaptureFixture[str]) -> None:
    assert "`detseg dataset create NAME` makes one" in run(capfd, "list")
    assert "5 images with 8 regions" in run(capfd, "create", "v1")
    shown = run(capfd, "show", "v1")
    assert re.search(r"bolt +4\nnut +4", shown)
    assert re.search(r"nut +4 +7\.\d\d% +4 +0 +0", shown)
    assert "as yolo it loses masks left out: 4" in shown
    assert run(capfd, "show", "v1", "--report", "v1.html").endswith("\n\nreport: v1.html\n")
    assert "v1 is whole: 5 images as they were" in run(capfd, "verify", "v1")
    assert "authors: person 1" in run(capfd, "trace", "photo 2.jpg")
    assert "removed v1" in run(capfd, "rm", "v1")


def test_images_that_are_left_out_are_named(
    project: LabeledProject, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(capfd, "create", "v1")
    Path(project.images[3].entry.uri).unlink()
    app(
        ["dataset", "export", "v1", "--format", "coco", "--out", str(tmp_path / "v1"), "--skip-missing"],
        standalone_mode=False,
    )
    written = capfd.readouterr()
    assert "4 images with 6 regions as coco" in written.out
    assert re.search(r"(?m)^left out: .*photo 3\.jpg cannot be read: No such file", written.err)


def test_what_rotted_is_an_exit_code(project: LabeledProject, capfd: pytest.CaptureFixture[str]) -> None:
    run(capfd, "create", "v1")
    (pack,) = (project.settings.state_path / "datasets" / "packs").iterdir()
    pack.write_bytes(pack.read_bytes()[:-1])
    with pytest.raises(SystemExit) as exited:
        app(["dataset", "verify", "v1", "--json"], standalone_mode=True)
    assert exited.value.code == 1
    assert json.loads(capfd.readouterr().out)["ok"] is False
