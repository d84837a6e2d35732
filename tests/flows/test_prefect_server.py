"""The embedded Prefect server: started once, found again, shared, really stopped, and quiet."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from detseg.errors import ServiceError
from detseg.processes import is_healthy, is_port_free
from flows.server import PrefectServer, down, prefect_api, status, up

SCRIPT = """
import sys
from pathlib import Path
from flows.server import prefect_api

with prefect_api(Path(sys.argv[1])) as url:
    from prefect import flow, task

    @task
    def double(n):
        return 2 * n

    @flow
    def quiet():
        return sum(future.result() for future in double.map([1, 2, 3]))

    print(quiet())
print(url)
"""


def has_ended(pid: int) -> bool:
    """Whether that process is gone, or a zombie that pid 1 has not reaped yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def environment(**values: str) -> dict[str, str]:
    """Ours without what would choose a Prefect server."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return own | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)} | values


def run_flow(state_dir: Path, **values: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(state_dir)]
    return subprocess.run(command, env=environment(**values), capture_output=True, text=True, timeout=240)


def running(state_dir: Path) -> PrefectServer:
    server = status(state_dir)
    assert server is not None
    return server


def port_of(server: PrefectServer) -> int:
    return int(server.ui_url.rsplit(":", 1)[1])


def test_it_answers_on_loopback_and_a_second_start_finds_it(prefect_state: Path) -> None:
    server = running(prefect_state)
    assert server.api_url.startswith("http://127.0.0.1:")
    assert is_healthy(f"{server.api_url}/health")
    assert up(prefect_state) == server


def test_another_port_is_refused_while_it_runs(prefect_state: Path) -> None:
    with pytest.raises(ServiceError, match="detseg down"):
        up(prefect_state, port=port_of(running(prefect_state)) + 1)


def test_its_database_is_in_the_state_folder_and_nothing_is_sent_anywhere(prefect_state: Path) -> None:
    home = prefect_state / "prefect"
    assert (home / "prefect.db").exists()
    server = psutil.Process(running(prefect_state).pid).environ()
    assert (server["DO_NOT_TRACK"], server["PREFECT_SERVER_ANALYTICS_ENABLED"]) == ("1", "false")


def test_a_run_uses_the_running_server_and_leaves_it_running(prefect_state: Path) -> None:
    before = running(prefect_state)
    with prefect_api(prefect_state) as url:
        assert url == before.api_url
    assert status(prefect_state) == before


def test_the_users_own_server_comes_first(prefect_state: Path, tmp_path: Path) -> None:
    server = running(prefect_state)
    done = run_flow(tmp_path, PREFECT_API_URL=server.api_url)
    assert (done.stdout, done.stderr) == (f"12\n{server.api_url}\n", "")
    assert status(tmp_path) is None


def test_a_temporary_server_is_shared_and_the_last_user_stops_it(tmp_path: Path) -> None:
    with prefect_api(tmp_path) as first:
        server = running(tmp_path)
        with prefect_api(tmp_path) as second:
            assert second == first == server.api_url
        assert is_healthy(f"{first}/health")  # the inner user was not the last
        done = run_flow(tmp_path)
        assert (done.stdout, done.stderr, done.returncode) == (f"12\n{first}\n", "", 0)
        assert running(tmp_path) == server
    assert status(tmp_path) is None
    assert has_ended(server.pid)
    assert is_port_free(port_of(server))
    log = (tmp_path / "prefect" / "flows.log").read_text()
    assert "Beginning flow run" in log
    assert "Traceback" not in log
    _kept_by_up(tmp_path, first)


def _kept_by_up(state_dir: Path, url: str) -> None:
    """Part of the test above, since a start is slow: `up` makes a temporary server a lasting one."""
    with prefect_api(state_dir) as again:
        assert again == url  # the port is remembered
        up(state_dir)
    assert is_healthy(f"{url}/health")
    assert down(state_dir)
    assert status(state_dir) is None
    assert not down(state_dir)


def test_the_state_of_a_folder_without_server_is_none(tmp_path: Path) -> None:
    assert status(tmp_path) is None
    assert not down(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_said(tmp_path: Path, prefect_state: Path) -> None:
    with pytest.raises(ServiceError, match="is taken"):
        up(tmp_path, port=port_of(running(prefect_state)))
