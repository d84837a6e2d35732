"""init and predict: the exact JSON, and one clear line for whatever is wrong."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from detseg.config import Settings
from detseg.geometry.masks import decode_mask
from detseg.images import image_id
from detseg.pipeline.registry import register
from tests.cli.conftest import Run
from tests.pipeline.conftest import write_image
from tests.pipeline.models import make_trained

COMMANDS = (
    "demo",
    "init",
    "up",
    "down",
    "status",
    "preannotate",
    "collect",
    "hook",
    "qa",
    "predict",
    "score",
    "doctor",
)


def test_help_lists_every_command_and_every_command_has_help(run: Run) -> None:
    listed = run("--help").out
    assert "..." not in listed.partition("Commands:")[2]  # no summary is cut off
    for command in COMMANDS:
        assert f"  {command} " in listed
        answer = run(command, "--help")
        assert (answer.code, answer.err) == (0, "")
        assert answer.out.startswith(f"Usage: detseg {command}")


def test_version_and_wrong_usage(run: Run) -> None:
    assert run("--version").out.startswith("detseg 0.")
    for argv in (["fly"], ["predict"], ["score", "--truth", "x"], ["demo", "--scenes", "0"]):
        answer = run(*argv)
        assert (answer.code, answer.out) == (2, "")


def test_init_writes_a_file_that_can_be_read_once(run: Run, tmp_path: Path) -> None:
    assert run("init").code == 0
    assert tomllib.loads((tmp_path / "detseg.toml").read_text())["model"]["detector"] == "sample"
    again = run("init")
    assert (again.code, again.err) == (2, "detseg: detseg.toml is there already: --force replaces it\n")
    assert run("init", "--force").code == 0


def test_a_dry_run_refuses_settings_that_a_run_refuses(run: Run, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "detseg.toml").write_text('queue.serve_images = "url"\n')
    done = run("preannotate", "--dry-run")
    assert (done.code, done.out) == (2, "")
    assert "cannot reach the browser by queue.serve_images" in done.err


def test_a_file_of_the_first_release_works_and_is_moved_into_sections(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "detseg.toml"
    file.write_text('project = "parts"\nbatch_size = 3\nlabel_studio_token = "hunter2"\n')
    before = run("preannotate", "--dry-run", "--source", "nowhere")
    (moved, refusal) = before.err.splitlines()
    assert moved == (
        "detseg: detseg.toml: project, batch_size, label_studio_token: settings are in sections now, and "
        "read as those of detseg 0.1: `detseg init --from detseg.toml new.toml` writes a file with sections"
    )
    assert "nowhere" in refusal
    assert (run("init", "--from", file, "new.toml").code, run("init", "--from", file, "new.toml").code) == (
        0,
        2,
    )
    new = tomllib.loads((tmp_path / "new.toml").read_text())
    assert (new["queue"]["project"], new["engine"]["batch_size"]) == ("parts", 3)
    assert new["label_studio"]["token"] == "hunter2"
    assert (tmp_path / "new.toml").stat().st_mode & 0o077 == 0
    (tmp_path / "new.toml").replace(file)
    assert run("preannotate", "--dry-run", "--source", "nowhere").err == f"{refusal}\n"


def test_a_disk_that_does_not_take_a_file_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".detseg").touch()  # where the state folder is to be
    write_image(tmp_path / "images" / "x.png", seed=0)
    answer = run("preannotate", "--dry-run")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"detseg: [Errno 17] File exists: '{tmp_path / '.detseg'}'\n"


def test_predict_answers_json_pictures_and_failures(
    run: Run, models: tuple[str, ...], tmp_path: Path
) -> None:
    images = tmp_path / "in"
    for number, name in enumerate(("a b.png", "🔩.jpg", "sub/deep.png")):
        write_image(images / name, seed=number, width=80 + number, height=60)
    (images / "bad.png").write_bytes(b"")
    answer = run("predict", images, "--out", tmp_path / "out", "--box-threshold", 0, *models, "--json")
    assert answer.code == 3  # one of four could not be used
    result = answer.json
    assert result.keys() == {"model", "images", "failed"}
    assert result["model"].keys() == {"detector", "segmenter", "version", "engines", "precision_check"}
    assert result["model"]["detector"] == models[1]
    assert result["failed"] == [{"path": str(images / "bad.png"), "reason": "is empty (0 bytes)"}]
    assert [Path(entry["path"]).name for entry in result["images"]] == ["a b.png", "deep.png", "🔩.jpg"]
    for entry in result["images"]:
        keys = {"path", "id", "width", "height", "counts", "coverage", "instances", "picture"}
        assert entry.keys() == keys
        masked = {one["label"] for one in entry["instances"] if one["mask"]}
        assert entry["coverage"].keys() == masked
        assert all(0 < share <= 1 for share in entry["coverage"].values())
        assert entry["id"] == image_id(Path(entry["path"]).read_bytes())
        assert sum(entry["counts"].values()) == len(entry["instances"]) > 0
        with Image.open(entry["picture"]) as picture:
            assert picture.width > 300
        for instance in entry["instances"]:
            assert {"label", "kind", "score", "box", "mask"} <= instance.keys()
            assert instance["box"] or instance["mask"]
            if instance["mask"]:
                mask = decode_mask(instance["mask"])
                assert (mask.size.width, mask.size.height) == (entry["width"], entry["height"])
    assert json.loads((tmp_path / "out" / "predictions.json").read_text()) == result


def test_predict_for_people_names_files_and_counts(run: Run, models: tuple[str, ...], tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", seed=0)
    answer = run("predict", "x.png", "--out", "out", *models)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[0].startswith(str(tmp_path / "x.png") + ": ")
    assert answer.out.splitlines()[-1] == "1 picture and predictions.json in out"


def test_predict_takes_the_promoted_model(run: Run, models: tuple[str, ...], tmp_path: Path) -> None:
    folder = make_trained(tmp_path / "mine")
    shutil.copytree(models[1], folder, dirs_exist_ok=True)
    register(Settings(root=tmp_path), folder)
    assert run("models", "promote", "mine", "--force").code == 0
    write_image(tmp_path / "x.png", seed=0)
    answer = run("predict", "x.png", "--out", "out", "--segmenter", "", "--json")
    assert answer.json["model"]["detector"] == str(folder)
    assert "predicting with mine, the promoted model" in answer.err
    given = run("predict", "x.png", "--out", "out", *models, "--json")
    assert given.json["model"]["detector"] == models[1]


def test_predict_with_models_of_ones_own_asks_no_catalog(
    run: Run, models: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "x.png", seed=0)
    monkeypatch.setenv("DETSEG_CATALOG", "postgresql://127.0.0.1:1/nowhere")
    assert run("predict", "x.png", "--out", "out", *models).code == 0
    refused = run("predict", "x.png", "--out", "out", *models[:2])
    assert refused.code == 1
    assert "the catalog postgresql://127.0.0.1:1/nowhere cannot be used" in refused.err


def test_predict_says_what_is_wrong_in_one_line(run: Run, models: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_image(tmp_path / "x.png", seed=0)
    for argv, words in (
        (["gone.png", *models], "there is no file or folder gone.png"),
        (["empty", *models], "no images in empty"),
        (["x.png", "--detector", "empty", "--segmenter", ""], "empty"),
        (["x.png", "--detector", "x.png", "--segmenter", ""], "x.png"),
        (["x.png", "--detector", models[3], "--segmenter", ""], "--segmenter"),
        (["x.png", "--detector", "", "--segmenter", ""], "detector"),
    ):
        answer = run("predict", "--out", "out", *argv)
        assert (answer.code, answer.out) == (1, "")
        assert answer.err.startswith("detseg: ")
        assert answer.err.count("\n") == 1
        assert words in answer.err


def test_a_broken_settings_file_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", seed=0)
    (tmp_path / "detseg.toml").write_text("batch_size = many\n")
    answer = run("predict", "x.png", "--out", "out")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("detseg: detseg.toml is not valid TOML")
