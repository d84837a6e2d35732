"""What is tried again and what is not, on a real server, and which settings a flow refuses."""

from pathlib import Path

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.flow_engine import run_flow
from prefect.task_runners import ThreadPoolTaskRunner

from detseg.errors import (
    ConfigError,
    DetsegError,
    LabelStudioError,
    LockHeld,
    ModelError,
    Silent,
    Unreachable,
)
from flows.parameters import run_settings
from flows.retries import PAUSES_S, RETRY_IO, skip_while_held
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


@pytest.mark.usefixtures("prefect_url")
def test_a_scheduled_run_whose_queue_another_one_keeps_is_skipped() -> None:
    words = "the lock of the queue was not free within 600 s: process 7 holds it"

    @flow(on_failure=[skip_while_held])
    def collecting() -> None:
        raise LockHeld(words)

    with get_client(sync_client=True) as client:
        hourly = client.create_deployment(client.create_flow(collecting), name="hourly")
        run = client.create_flow_run_from_deployment(hourly)
        with pytest.raises(LockHeld):
            run_flow(collecting, flow_run=run)
        state = client.read_flow_run(run.id).state
        client.delete_deployment(hourly)
    assert state is not None
    assert (state.type, state.name, state.message) == (StateType.COMPLETED, "Skipped", words)
    assert collecting(return_state=True).is_failed()  # by hand


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
