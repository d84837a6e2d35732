"""A real token goes through real runs, and is looked for in everything that they left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect.blocks.system import Secret

from detseg.errors import ConfigError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.label_config import taxonomy_to_config
from detseg.labelstudio.server import Connection
from detseg.pipeline.workspace import opened_catalog, record_project
from flows.collect import collect
from flows.parameters import run_settings
from flows.token_block import with_secrets
from tests.pipeline.conftest import TAXONOMY


@pytest.fixture
def config(
    tmp_path: Path, label_studio: Connection, client: LabelStudioClient, new_title: Callable[[], str]
) -> Path:
    """A detseg.toml without the token, and an empty project that the catalog knows."""
    title = new_title()
    file = tmp_path / "detseg.toml"
    file.write_text(
        f"label_studio.url = {json.dumps(label_studio.url)}\nqueue.project = {json.dumps(title)}\n"
    )
    project = client.create_project(title, taxonomy_to_config(TAXONOMY))
    with opened_catalog(run_settings(file)) as catalog:
        record_project(catalog, client.url, project)
    return file


def holding(token: str, *folders: Path) -> list[Path]:
    """The files below these folders in which the token stands."""
    files = (file for folder in folders for file in folder.rglob("*") if file.is_file())
    return [file for file in files if token.encode() in file.read_bytes()]


def command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "detseg", *arguments],
        cwd=cwd,
        env={
            **os.environ,
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        }
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_token_is_in_nothing_that_a_run_leaves(
    config: Path, label_studio: Connection, prefect_state: Path, prefect_environment: dict[str, str]
) -> None:
    token, folder = label_studio.token, config.parent
    environment = prefect_environment | {"DETSEG_LABEL_STUDIO__TOKEN": token}
    done = command("collect", "--json", cwd=folder, **environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reviews"] == {"new": 0, "updated": 0, "deleted": 0}
    failed = command("collect", "--project", "no such", cwd=folder, **environment)
    assert failed.returncode == 1
    for run in (done, failed):
        assert token not in run.stdout + run.stderr
    assert (prefect_state / "prefect").exists()
    assert holding(token, folder, prefect_state) == []


def test_the_token_in_a_file_is_in_no_other_file(
    config: Path, label_studio: Connection, prefect_state: Path, prefect_url: str
) -> None:
    del prefect_url
    file = config.parent / "token"
    file.write_text(label_studio.token)
    config.write_text(config.read_text() + 'label_studio.token_file = "token"\n')
    assert collect(config).new == 0
    assert holding(label_studio.token, config.parent, prefect_state) == [file]


@pytest.mark.usefixtures("prefect_url")
def test_the_token_in_a_block_is_read_inside_the_flow_alone(
    config: Path, label_studio: Connection, prefect_state: Path
) -> None:
    Secret(value=label_studio.token).save("label-studio-of-the-test", overwrite=True)
    config.write_text(config.read_text() + 'label_studio.token_block = "label-studio-of-the-test"\n')
    assert run_settings(config).label_studio.token is None
    assert collect(config).new == 0
    assert holding(label_studio.token, config.parent, prefect_state) == []  # the block is encrypted


@pytest.mark.usefixtures("prefect_url")
def test_a_block_that_is_not_there_is_one_line(config: Path) -> None:
    settings = run_settings(config, {"label_studio__token_block": "nothing-here"})
    with pytest.raises(ConfigError, match="Prefect has no Secret block 'nothing-here'"):
        with_secrets(settings)


def test_settings_never_show_the_token(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETSEG_LABEL_STUDIO__TOKEN", "very-secret")
    settings = run_settings(config)
    assert settings.label_studio.token is not None
    assert "very-secret" not in f"{settings!r} {settings} {settings.model_dump_json()}"
