"""The token in a Secret block of Prefect alone: tasks come to be, and it is in nothing that a run leaves."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from detseg.cli.options import with_token
from detseg.config import load_settings
from detseg.errors import ServiceError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from flows.collect import collect
from flows.server import prefect_api
from tests.models import tiny
from tests.pipeline.conftest import write_image

BLOCK, WRONG_BLOCK = "label-studio-of-preannotate", "wrong-token-of-preannotate"
WRONG = "0123456789abcdef0123456789abcdef01234567"
N_IMAGES = 3


@pytest.fixture
def workplace(
    tmp_path: Path,
    label_studio: Connection,
    document_root: Path,
    prefect_url: str,
    new_title: Callable[[], str],
) -> Path:
    """A folder with images, a model and a detseg.toml that names the block; the token is nowhere in it."""
    del prefect_url
    Secret(value=SecretStr(label_studio.token)).save(BLOCK, overwrite=True)
    Secret(value=SecretStr(WRONG)).save(WRONG_BLOCK, overwrite=True)
    folder = tmp_path / "workplace"
    for number in range(N_IMAGES):
        write_image(folder / "images" / f"{number}.png", seed=number)
    values = {
        "queue.project": new_title(),
        "label_studio.url": label_studio.url,
        "label_studio.files": str(document_root),
        "label_studio.token_block": BLOCK,
        "model.detector": str(tiny.save("detr", tmp_path / "detector")),
        "model.segmenter": "",
        "engine.device": "cpu",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    (folder / "detseg.toml").write_text("\n".join([*lines, "experiments.control_share = 0"]))
    return folder


def detseg(*arguments: str, cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A command that knows the way to Prefect alone, and says all that Prefect has to say."""
    foreign = ("DETSEG_", "PREFECT_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return subprocess.run(
        [sys.executable, "-m", "detseg", *arguments],
        cwd=cwd,
        env=own | environment | {"PREFECT_DEBUG_MODE": "true"},
        capture_output=True,
        text=True,
        check=False,
    )


def places_of(token: str, *folders: Path) -> list[str]:
    """Files and rows of SQLite databases below the folders in which the token stands, also as base64."""
    coded = [base64.b64encode(b"\0" * shift + token.encode())[4:-4] for shift in range(3)]
    wanted = [token.encode(), *coded]
    found: list[str] = []
    for file in (file for folder in folders for file in folder.rglob("*") if file.is_file()):
        data = file.read_bytes()
        found += [str(file)] * any(one in data for one in wanted)
        if data.startswith(b"SQLite format 3\0"):  # long rows are cut into pages there
            with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
                database.text_factory = bytes
                found += [
                    f"{file}: {row[:60]!r}" for row in _rows(database) if any(one in row for one in wanted)
                ]
    return found


def _rows(database: sqlite3.Connection) -> list[bytes]:
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    tables = [name.decode().replace('"', '""') for (name,) in names]
    return [
        b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
        for table in tables
        for row in database.execute(f'SELECT * FROM "{table}"')
    ]


def test_it_goes_through_to_tasks_and_is_nowhere_afterwards(
    workplace: Path,
    client: LabelStudioClient,
    label_studio: Connection,
    prefect_state: Path,
    prefect_environment: dict[str, str],
) -> None:
    done = detseg("preannotate", "--json", cwd=workplace, environment=prefect_environment)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["pushed"], report["quarantined"]) == (N_IMAGES, [])
    tasks = [client.task(task) for task in client.task_ids(report["project_id"])]
    assert [[one["model_version"] for one in task["predictions"]] for task in tasks] == [
        [report["model_version"]]
    ] * N_IMAGES
    toml = workplace / "detseg.toml"
    toml.write_text(toml.read_text().replace(BLOCK, WRONG_BLOCK))
    refused = detseg("preannotate", cwd=workplace, environment=prefect_environment)
    assert (refused.returncode, refused.stdout) == (1, "")
    said = [line for line in refused.stderr.splitlines() if line.startswith("detseg: ")]
    assert "whoami (HTTP 401: Invalid token.)" in said[-1]  # before any work; Prefect may have more to say
    for token in (label_studio.token, WRONG):
        assert all(token not in run.stdout + run.stderr for run in (done, refused))
        assert places_of(token, workplace, prefect_state) == []


@pytest.mark.usefixtures("prefect_url")
def test_what_runs_outside_of_a_flow_reads_the_block_too(workplace: Path, label_studio: Connection) -> None:
    found = with_token(load_settings(workplace / "detseg.toml", environ={})).label_studio.token
    assert found is not None
    assert found.get_secret_value() == label_studio.token


def test_a_prefect_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = "http://127.0.0.1:9/api"
    (tmp_path / "detseg.toml").write_text('label_studio.url = "http://127.0.0.1:9"')
    monkeypatch.setenv("DETSEG_LABEL_STUDIO__TOKEN", WRONG)
    settings = load_settings(tmp_path / "detseg.toml", environ={}, label_studio__token_block=BLOCK)
    with temporary_settings({PREFECT_API_URL: nobody}):
        with pytest.raises(ServiceError, match=f"Prefect at {nobody} does not answer") as caught:
            with_token(settings)
        assert "\n" not in str(caught.value)
        with pytest.raises(ServiceError, match=f"Prefect at {nobody} does not"), prefect_api(tmp_path):
            collect(tmp_path / "detseg.toml")


def test_what_is_looked_for_would_be_found(tmp_path: Path) -> None:
    """In a file, in a long row of a database, and in base64."""
    token = "5f0c" * 10
    assert places_of(token, tmp_path) == []
    (tmp_path / "log").write_text(f"line {token} end")
    for shift in range(3):
        (tmp_path / f"{shift}.b64").write_bytes(base64.b64encode(b"x" * shift + token.encode() + b"yz"))
    with closing(sqlite3.connect(tmp_path / "rows.db")) as database, database:
        database.execute("CREATE TABLE runs (id, parameters)")
        database.executemany(
            "INSERT INTO runs VALUES (?, ?)", [(n, "x" * n + token) for n in range(3000, 6000)]
        )
    found = places_of(token, tmp_path)
    assert {Path(place.partition(": ")[0]).name for place in found} == {
        "log",
        "0.b64",
        "1.b64",
        "2.b64",
        "rows.db",
    }
    assert sum("rows.db: " in place for place in found) == 3000
