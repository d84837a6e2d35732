"""The commands on everything real: processes, servers, database, checkpoints, photographs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

N_SCENES = 8
PREANNOTATE_KEYS = {
    *("scanned", "new", "predicted", "pushed", "already_done", "unneeded", "gold_waiting"),
    "quarantined",
    *("imported", "unreviewed", "model_version", "project_id", "queue", "precision_check", "seconds"),
}
QA_KEYS = {
    *("images", "edits", "answers", "model", "acceptance_rate", "box", "mask", "miou", "dice", "pq"),
    *("per_class", "report"),
}


def detseg(*argv: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command as a user does, and checks its exit code."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DETSEG_")}
    if "DETSEG_LABEL_STUDIO_BIN" in os.environ:  # where the server is installed is the machine's affair
        environ["DETSEG_LABEL_STUDIO_BIN"] = os.environ["DETSEG_LABEL_STUDIO_BIN"]
    done = subprocess.run(
        [sys.executable, "-m", "detseg", *map(str, argv)],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def answer(*argv: object, cwd: Path, code: int = 0) -> Any:
    """What a command says with --json; stdout holds nothing else."""
    return json.loads(detseg(*argv, "--json", cwd=cwd, code=code).stdout)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Any]]:
    """A demo whose servers are left running: its folder and its answer."""
    folder = tmp_path_factory.mktemp("demo")
    try:
        yield folder, answer("demo", "--out", folder, "--scenes", N_SCENES, "--keep", cwd=folder.parent)
    finally:
        detseg("down", cwd=folder)


def test_the_demo_takes_every_scene_through_the_loop(demo: tuple[Path, Any]) -> None:
    folder, result = demo
    assert {"preannotate", "collect", "qa", "label_studio_url", "report", "simulated"} <= result.keys()
    assert result["simulated"] is True
    preannotated, collected, measured = result["preannotate"], result["collect"], result["qa"]
    assert preannotated.keys() == PREANNOTATE_KEYS
    assert [preannotated[key] for key in ("scanned", "new", "predicted", "pushed")] == [N_SCENES] * 4
    assert preannotated["model_version"].count("@") == 1
    assert collected["reviews"] == {"new": N_SCENES, "updated": 0, "deleted": 0}
    assert sum(collected["states"].values()) == N_SCENES
    assert collected["states"]["unlabeled"] == 0
    assert measured.keys() >= QA_KEYS
    n_judged = measured["images"] + measured["model"]["n_control"]
    assert n_judged == N_SCENES - collected["states"]["skipped"]
    answers = measured["answers"]["model"]
    assert (answers["acceptance_rate"]["value"] or answers["acceptance_rate"]["rough"]["value"]) > 0.3
    assert measured["acceptance_rate"] > 0.3
    assert 0.0 <= measured["box"]["ap"] <= measured["box"]["ap50"] <= 1.0
    agreement = answers["agreement_assisted"]
    assert (agreement["value"] or agreement["rough"]["value"]) > 0.5
    log = next(folder.glob("**/prefect/flows.log")).read_text(encoding="utf-8")
    assert f"shard 1 of 1: {N_SCENES} images in " in log
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert str(folder / "report.html") == result["report"]
    assert "simulated" in page


def test_running_it_again_does_nothing_twice(demo: tuple[Path, Any]) -> None:
    folder, result = demo
    again = answer("preannotate", cwd=folder)
    assert [again[key] for key in ("new", "predicted", "pushed")] == [0, 0, 0]
    assert again["already_done"] == N_SCENES
    assert again["model_version"] == result["preannotate"]["model_version"]
    assert answer("preannotate", "--dry-run", cwd=folder)["pushed"] == 0
    collected = answer("collect", cwd=folder)
    assert collected == {**result["collect"], "reviews": {"new": 0, "updated": 0, "deleted": 0}}
    measured = answer("qa", "--out", folder / "again.html", cwd=folder)
    written = {name: result["qa"][name] for name in ("report", "figures")}
    assert {**measured, **written} == result["qa"]


def test_the_worst_suspects_go_back_into_a_tab(demo: tuple[Path, Any]) -> None:
    folder, result = demo
    measured = answer("qa", "--send-back", 3, cwd=folder)
    sent = measured["sent_back"]
    suspects = json.loads(Path(measured["figures"]).read_text(encoding="utf-8"))["suspects"]
    assert suspects["n_suspects"] == measured["suspects"]
    assert sent["problem"] is None
    assert sent["n_sent"] == min(3, suspects["n_suspect_images"])
    assert sent["url"] is None or sent["url"].startswith(f"{result['label_studio_url']}/projects/")
    assert answer("qa", "--send-back", 0, cwd=folder)["sent_back"]["url"] is None
    assert "--send-back" in detseg("qa", "--send-back", "-1", cwd=folder, code=2).stderr


def test_servers_run_until_they_are_stopped(demo: tuple[Path, Any]) -> None:
    folder, result = demo
    status = answer("status", cwd=folder)
    assert status["label_studio"] == {"running": True, "healthy": True, "url": result["label_studio_url"]}
    assert status["prefect"]["running"] is True
    tasks = result["collect"]["states"]
    assert status["catalog"] == {
        "images": N_SCENES,
        "model": None,
        "quarantine": [],
        "projects": [{"title": "detseg demo", "tasks": tasks}],
    }
    assert answer("up", cwd=folder)["label_studio"]["url"] == result["label_studio_url"]
    checks = answer("doctor", cwd=folder)
    assert checks["ok"], checks
    assert answer("down", cwd=folder)["stopped"] == {"label_studio": True, "prefect": True}
    assert answer("status", cwd=folder)["label_studio"]["running"] is False
    assert answer("down", cwd=folder)["stopped"] == {"label_studio": False, "prefect": False}
    for command in ("preannotate", "collect"):
        failed = detseg(command, "--json", cwd=folder, code=1)
        assert failed.stdout == ""
        assert failed.stderr == (
            f"detseg: no Label Studio runs for {folder / '.detseg'}: start it with `detseg up` (or go to the "
            "folder of your detseg.toml), or set label_studio.url\n"
        )
    assert answer("qa", cwd=folder)["images"] == result["qa"]["images"]  # needs the catalog alone
    failed = detseg("qa", "--send-back", 3, "--out", folder / "down.html", "--json", cwd=folder, code=1)
    assert failed.stderr.startswith("nothing was sent back: no Label Studio runs for ")
    assert failed.stderr.count("\n") == 1
    assert json.loads(failed.stdout)["report"] == str(folder / "down.html")
    assert (folder / "down.html").exists()


def test_the_demo_does_not_touch_what_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    failed = detseg("demo", "--out", tmp_path, cwd=tmp_path, code=2)
    assert "holds files that no demo made" in failed.stderr
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_predict_with_the_shipped_models_finds_what_is_there(tmp_path: Path) -> None:
    from detseg.samples.scenes import generate_scene

    scene = generate_scene(5_900_001)
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    result = answer("predict", "scene.png", "--out", "out", cwd=tmp_path)
    (image,) = result["images"]
    assert (image["width"], image["height"]) == (640, 480)
    truth = {instance.label for instance in scene.instances}
    assert {"tray", "belt"} <= image["counts"].keys() <= truth | {"bolt", "nut", "washer", "gear", "bracket"}
    assert any(instance["box"] and instance["mask"] for instance in image["instances"])
