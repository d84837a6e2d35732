"""The commands of the loop where no Prefect server runs: the same work, and Prefect is not even loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from tests.models import tiny
from tests.pipeline.conftest import write_image

COMMAND = """
import sys
from detseg.cli import main
try:
    main()
finally:
    print("prefect" in sys.modules, file=sys.stderr)
"""
N_IMAGES = 3


@pytest.fixture
def workplace(
    tmp_path: Path, label_studio: Connection, document_root: Path, new_title: Callable[[], str]
) -> Path:
    """A folder with images, a model and a detseg.toml."""
    folder = tmp_path / "workplace"
    for number in range(N_IMAGES):
        write_image(folder / "images" / f"{number}.png", seed=number)
    values = {
        "queue.project": new_title(),
        "label_studio.url": label_studio.url,
        "label_studio.files": str(document_root),
        "model.detector": str(tiny.save("detr", tmp_path / "detector")),
        "model.segmenter": "",
        "engine.device": "cpu",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    (folder / "detseg.toml").write_text(
        "\n".join([*lines, "experiments.control_share = 0", "run.shard_size = 2"])
    )
    return folder


def detseg(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command, in a home folder and an environment in which nobody set anything of Prefect's."""
    foreign = ("DETSEG_", "PREFECT_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    home = {"HOME": str(cwd), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=cwd,
        env=own | home | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_loop_needs_no_prefect(
    workplace: Path, label_studio: Connection, client: LabelStudioClient
) -> None:
    token = label_studio.token

    def answer(*arguments: str) -> dict[str, object]:
        done = detseg(*arguments, "--json", cwd=workplace, DETSEG_LABEL_STUDIO__TOKEN=token)
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1] == "False"  # Prefect was not loaded
        found: dict[str, object] = json.loads(done.stdout)
        return found

    first = answer("preannotate")
    assert [first[name] for name in ("scanned", "predicted", "pushed")] == [N_IMAGES] * 3
    again = answer("preannotate")
    assert [again[name] for name in ("predicted", "pushed", "already_done")] == [0, 0, N_IMAGES]
    assert isinstance(first["project_id"], int)
    assert client.project(first["project_id"]).n_tasks == N_IMAGES
    assert answer("collect")["states"] == {"unlabeled": N_IMAGES, "empty": 0, "labeled": 0, "skipped": 0}
    evaluated = answer("qa")
    assert evaluated["report"] == str(workplace / ".detseg" / "report.html")
    assert (workplace / ".detseg" / "report.html").is_file()
    assert not (workplace / ".detseg" / "prefect").exists()


@pytest.mark.parametrize(
    ("command", "setting", "value"),
    [
        ("preannotate", "run.task_runner", "dask"),
        ("preannotate", "label_studio.shared_writers", "2"),
        ("preannotate", "label_studio.imports_per_minute", "60"),
        ("collect", "label_studio.token_block", "block"),
        ("qa --send-back 1", "label_studio.token_block", "block"),
    ],
)
def test_what_prefect_has_to_do_is_refused_in_one_line(
    tmp_path: Path, command: str, setting: str, value: str
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "detseg.toml").write_text('label_studio.url = "http://127.0.0.1:9"')
    variable = f"DETSEG_{setting.replace('.', '__').upper()}"
    done = detseg(*command.split(), cwd=tmp_path, **{variable: value})
    assert (done.returncode, done.stdout) == (2, "")
    line, loaded = done.stderr.splitlines()
    assert line == (
        f"detseg: {setting} works by a Prefect server, and none runs for {tmp_path / '.detseg'}: start it "
        "with `detseg up`, or set PREFECT_API_URL"
    )
    assert loaded == "False"
