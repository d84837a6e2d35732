"""What is tried again and what is not, on a real server, and which settings a flow refuses."""

from pathlib import Path

import pytest
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from detseg.errors import (
    ConfigError,
    DetsegError,
    LabelStudioError,
    ModelError,
    Silent,
    Unreachable,
)
from flows.parameters import run_settings
from flows.retries import PAUSES_S, RETRY_IO
from flows.runners import task_runner

AT_ONCE = RETRY_IO | {"retry_delay_seconds": 0}


def attempts(error: DetsegError, n_failures: int) -> int:
    """How often a task with our options is tried that fails that many times before it succeeds."""
    tried = []

    @task(**AT_ONCE)
    def talk() -> None:
        tried.append(1)
        if len(tried) <= n_failures:
            raise error

    @flow
    def run() -> None:
        talk()

    state = run(return_state=True)
    assert state.is_completed() or state.result(raise_on_failure=False) is error
    return len(tried)


@pytest.mark.usefixtures("prefect_url")
def test_nobody_answering_is_tried_again_a_few_times() -> None:
    assert attempts(Unreachable("nobody"), 2) == 3
    assert attempts(Unreachable("nobody"), 99) == 1 + len(PAUSES_S)


@pytest.mark.usefixtures("prefect_url")
@pytest.mark.parametrize("error", [ModelError("broken"), LabelStudioError("refused"), Silent("hangs")])
def test_everything_else_fails_at_once(error: DetsegError) -> None:
    assert attempts(error, 1) == 1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"label_studio__token": "x"}, "DETSEG_LABEL_STUDIO__TOKEN"),
        ({"catalog": "postgresql://me:pass@host/db"}, "DETSEG_CATALOG"),
        ({"sauce": "images"}, "sauce"),
        ({"environ": "x"}, "environ"),
    ],
)
def test_secrets_and_unknown_names_are_refused(overrides: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run_settings(None, overrides)


def test_overrides_go_over_the_file_and_none_means_not_given(tmp_path: Path) -> None:
    config = tmp_path / "detseg.toml"
    config.write_text('source.location = "photos"\nqueue.project = "parts"\n')
    settings = run_settings(
        config, {"source__location": None, "queue__project": "other", "catalog": "sqlite:///x.db"}
    )
    assert (settings.source.location, settings.queue.project, settings.catalog) == (
        "photos",
        "other",
        "sqlite:///x.db",
    )


def test_task_runners_have_names() -> None:
    assert isinstance(task_runner("threads"), ThreadPoolTaskRunner)
    with pytest.raises(ConfigError, match="threads, dask"):
        task_runner("thread")
