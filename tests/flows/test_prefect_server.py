"""The embedded Prefect server: started once, found again, shared, really stopped, and quiet."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from detseg.errors import ServiceError
from detseg.processes import ServiceSpec, free_port, is_healthy, is_port_free, start
from flows.server import PREFERRED_PORT, PrefectServer, down, prefect_api, status, up

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
    return subprocess.run(command, env=environment(**values), capture_output=True, text=True)


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


def test_its_files_are_for_their_owner_alone(prefect_state: Path) -> None:
    readable = [path for path in prefect_state.rglob("*") if path.lstat().st_mode & 0o077]
    assert [path for path in readable if not path.is_symlink()] == []


def test_its_database_is_in_the_state_folder_and_nothing_is_sent_anywhere(prefect_state: Path) -> None:
    home = prefect_state / "prefect"
    assert (home / "prefect.db").exists()
    server = psutil.Process(running(prefect_state).pid).environ()
    assert (server["DO_NOT_TRACK"], server["PREFECT_SERVER_ANALYTICS_ENABLED"]) == ("1", "false")


def test_the_credential_is_for_the_owner_alone_and_nowhere_else(prefect_state: Path) -> None:
    server, home = running(prefect_state), prefect_state / "prefect"
    credential = server.credential_file.read_text().strip()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for file in (server.credential_file, home / "profiles.toml"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert credential in file.read_text()
    assert credential not in " ".join(psutil.Process(server.pid).cmdline())
    assert credential not in (home / "server.log").read_text()
    assert credential not in repr(server)


OPEN_SERVER = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def test_folders_that_start_at_once_have_a_server_each_and_one_without_a_login_is_started_again(
    tmp_path: Path,
) -> None:
    """One of them has a server of a version that asked for no credential."""
    home, port = tmp_path / "one" / "prefect", free_port(PREFERRED_PORT)
    old = start(
        ServiceSpec(
            name="the old server",
            argv=(sys.executable, "-c", OPEN_SERVER, str(port)),
            env=environment(),
            log=home / "server.log",
            pid_file=home / "server.pid.json",
            health_url=f"http://127.0.0.1:{port}/api/health",
        )
    )
    (home / "port").write_text(str(port))
    folders = [tmp_path / "one", tmp_path / "other"]
    try:
        with ThreadPoolExecutor() as pool:
            servers = list(pool.map(up, folders))
        assert has_ended(old.pid)
        assert servers == [running(folder) for folder in folders]
        for server, other in (servers, reversed(servers)):
            login = tuple(server.credential_file.read_text().strip().split(":"))
            for asked, answer in ((server, 200), (other, 401)):
                assert httpx.get(f"{asked.api_url}/admin/version", auth=login).status_code == answer
    finally:
        assert [down(folder) for folder in folders] == [True, True]


def test_a_run_uses_the_running_server_and_leaves_it_running(prefect_state: Path) -> None:
    before = running(prefect_state)
    with prefect_api(prefect_state) as url:
        assert url == before.api_url
    assert status(prefect_state) == before


def test_the_users_own_server_comes_first(
    prefect_state: Path, prefect_environment: dict[str, str], tmp_path: Path
) -> None:
    server = running(prefect_state)
    done = run_flow(tmp_path, **prefect_environment)
    assert (done.stdout, done.stderr) == (f"12\n{server.api_url}\n", "")
    assert status(tmp_path) is None


def test_a_server_that_is_stopped_is_gone_and_has_its_port_again(tmp_path: Path) -> None:
    server = up(tmp_path)
    done = run_flow(tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == (f"12\n{server.api_url}\n", "", 0)
    log = (tmp_path / "prefect" / "flows.log").read_text()
    assert "Beginning flow run" in log
    assert "Traceback" not in log
    assert down(tmp_path)
    assert status(tmp_path) is None
    assert not down(tmp_path)
    assert has_ended(server.pid)
    assert is_port_free(port_of(server))
    try:
        assert up(tmp_path).api_url == server.api_url  # the port is remembered
    finally:
        down(tmp_path)


def ask_for_api(home: Path, then: str = "") -> str:
    """What a program prints that asks for the API in a home folder, and then does something."""
    script = f"import sys, pathlib, flows.server\nprint(flows.server.find_api(pathlib.Path('state')))\n{then}"
    command = [sys.executable, "-c", script]
    own = environment(HOME=str(home))
    return subprocess.run(command, env=own, cwd=home, capture_output=True, text=True, check=True).stdout


def test_without_a_server_there_is_no_api_and_prefect_is_not_loaded(tmp_path: Path) -> None:
    assert ask_for_api(tmp_path, "print('prefect' in sys.modules)") == "None\nFalse\n"
    with pytest.raises(ServiceError, match=f"no Prefect runs for {tmp_path}: start it with `detseg up`"):
        prefect_api(tmp_path).__enter__()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".env", "PREFECT_API_URL=http://chosen.example/api"),
        ("prefect.toml", 'api.url = "http://chosen.example/api"'),
        ("pyproject.toml", '[tool.prefect]\napi.url = "http://chosen.example/api"'),
        (
            ".prefect/profiles.toml",
            'active = "own"\n[profiles.own]\nPREFECT_API_URL = "http://chosen.example/api"',
        ),
    ],
)
def test_an_api_is_found_wherever_prefect_finds_it(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / ".prefect").mkdir()
    (tmp_path / file).write_text(text)
    assert ask_for_api(tmp_path) == "http://chosen.example/api\n"


def test_the_state_of_a_folder_without_server_is_none(tmp_path: Path) -> None:
    assert status(tmp_path) is None
    assert not down(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_said(tmp_path: Path, prefect_state: Path) -> None:
    with pytest.raises(ServiceError, match="is taken"):
        up(tmp_path, port=port_of(running(prefect_state)))
