"""The embedded Prefect server: on loopback, with a database of its own below the state folder.

    up(state_dir)                 # starts it, or says where the running one is
    status(state_dir)             # PrefectServer or None
    down(state_dir)               # True if it was stopped
    find_api(state_dir)           # where runs are recorded: there, or at the server that the user chose
    with prefect_api(state_dir):  # flows that are called in here report to it, quietly

It answers to its credential alone (``flows.credential``), and to no page but its own (``flows.guarded_app``).
Nothing here imports Prefect before a flow is to run, so ``detseg status`` stays quick.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from detseg.errors import ServiceError
from detseg.files import private_folder, write_whole
from detseg.locking import file_lock
from detseg.processes import (
    ServiceSpec,
    find_running,
    http_status,
    is_listening,
    start,
    start_on_free_port,
    stop,
)
from flows.credential import credential_file, read_or_make_credential, remove_profile, write_profile

HOST = "127.0.0.1"
PREFERRED_PORT = 4200  # Prefect's own default, so its documentation applies


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """A running server of ours. ``api_url`` is what PREFECT_API_URL takes; ``ui_url`` opens in a browser.

    ``credential_file`` holds what its page asks for. ``home`` is what PREFECT_HOME takes for Prefect's own
    commands and workers to find the way in.
    """

    api_url: str
    ui_url: str
    pid: int
    home: Path

    @property
    def credential_file(self) -> Path:
        return credential_file(self.home)


def up(state_dir: Path, *, port: int | None = None) -> PrefectServer:
    """Start the server and wait until it answers; if it runs already, say where.

    Without a port, the one it had before or the next free one. It then runs until ``down``. One that asks for
    no credential, or another one, is started again. Raises ServiceError.
    """
    server = _start(_home(state_dir), port)
    write_profile(server.home, server.api_url)
    return server


def down(state_dir: Path) -> bool:
    """Stop the server; False if it did not run."""
    home = _home(state_dir)
    port = _read_port(home)
    remove_profile(home)
    return port is not None and stop(_spec(home, port))


def status(state_dir: Path) -> PrefectServer | None:
    """The running server, None if it does not run."""
    home = _home(state_dir)
    port = _read_port(home)
    running = None if port is None else find_running(_spec(home, port))
    return None if port is None or running is None else _server(home, port, running.pid)


def find_api(state_dir: Path) -> str | None:
    """The Prefect API that runs are recorded at, None if there is none.

    It is the one that the user chose (PREFECT_API_URL, or a Prefect profile), else the embedded server's, if
    that runs.
    """
    return _api_beside(status(state_dir))


@contextmanager
def prefect_api(state_dir: Path) -> Iterator[str]:
    """The API that runs are recorded at; flows that are called inside the context report to it.

    Log lines of flows go to the server and to ``prefect/flows.log`` in the state folder, not to the terminal.
    Raises ServiceError if there is no API.
    """
    running = status(state_dir)
    url = _api_beside(running)
    if url is None:
        raise ServiceError(
            f"no Prefect runs for {state_dir}: start it with `detseg up`, or set PREFECT_API_URL"
        )
    from flows.terminal import reporting_to

    home = _home(state_dir)
    private_folder(home)
    own = running is not None and url == running.api_url
    credential = read_or_make_credential(home) if own else None
    with reporting_to(url, credential=credential, log=home / "flows.log"):
        yield url


def _api_beside(running: PrefectServer | None) -> str | None:
    return _chosen_api() or (None if running is None else running.api_url)


def _chosen_api() -> str | None:
    """The Prefect API that the user chose.

    Prefect is asked where the user has settings of it: to load it takes a second.
    """
    named = (Path(".env"), Path("pyproject.toml"), Path.home() / ".prefect" / "profiles.toml")
    has_settings = (
        "prefect" in sys.modules
        or any(name.upper().startswith("PREFECT_") for name in os.environ)
        or Path("prefect.toml").exists()
        or any("prefect" in file.read_text(errors="replace").lower() for file in named if file.is_file())
    )
    if not has_settings:
        return None
    from prefect.settings import PREFECT_API_URL

    url: str | None = PREFECT_API_URL.value()
    return url or None


def _start(home: Path, wanted: int | None) -> PrefectServer:
    """Start it unless it runs."""
    private_folder(home)
    with file_lock(home / "start.lock", what="the start of Prefect"):
        known = _read_port(home)
        running = known is not None and _runs_as_it_should(home, known)
        if running and wanted not in (None, known):
            raise ServiceError(
                f"Prefect runs on port {known} already: `detseg down` first, to move it to {wanted}"
            )
        if wanted is not None:
            _write_port(home, wanted)
            return _server(home, wanted, start(_startable(home, wanted)).pid)
        port, server = start_on_free_port(
            partial(_startable, home), known or PREFERRED_PORT, remember=partial(_write_port, home)
        )
        return _server(home, port, server.pid)


def _runs_as_it_should(home: Path, port: int) -> bool:
    """Check that it runs; stop one that asks for no credential (of an older version), or for another one."""
    spec = _spec(home, port)
    if is_listening(spec):
        url = f"{_server(home, port, 0).api_url}/admin/version"
        login = base64.b64encode(read_or_make_credential(home).encode()).decode()
        is_open = http_status(url) == 200
        if is_open or http_status(url, headers={"Authorization": f"Basic {login}"}) == 401:
            stop(spec)
    return find_running(spec) is not None


def _spec(home: Path, port: int) -> ServiceSpec:
    """The server, to be looked at or stopped; what a start needs comes on top."""
    application = ("uvicorn", "--factory", "flows.guarded_app:create_app", "--log-level", "warning")
    return ServiceSpec(
        name="the Prefect server",
        argv=(sys.executable, "-m", *application, "--host", HOST, "--port", str(port)),
        env={},
        log=home / "server.log",
        pid_file=home / "server.pid.json",
        health_url=f"http://{HOST}:{port}/api/health",
        start_timeout_s=600.0,  # 10 s on an idle machine; its first start makes the database
    )


def _startable(home: Path, port: int) -> ServiceSpec:
    return replace(_spec(home, port), env=_environment(home, port, os.environ))


def _environment(home: Path, port: int, inherited: Mapping[str, str]) -> dict[str, str]:
    """The server's environment: ours alone decides about Prefect, and nothing of it is sent anywhere."""
    private = ("PREFECT_", "DETSEG_", "LABEL_STUDIO_")
    own = {name: value for name, value in inherited.items() if not name.startswith(private)}
    return own | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        "PREFECT_SERVER_API_AUTH_STRING": read_or_make_credential(home),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port}",
        "PREFECT_UI_API_URL": "/api",  # of the name under which the page was opened
        "PREFECT_UI_URL": f"http://{HOST}:{port}",  # of links in notifications
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
    }


def _server(home: Path, port: int, pid: int) -> PrefectServer:
    return PrefectServer(f"http://{HOST}:{port}/api", f"http://{HOST}:{port}", pid, home)


def _home(state_dir: Path) -> Path:
    return state_dir.absolute() / "prefect"


def _write_port(home: Path, port: int) -> None:
    write_whole(home / "port", str(port))


def _read_port(home: Path) -> int | None:
    try:
        return int((home / "port").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None
