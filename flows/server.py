"""The embedded Prefect server: on loopback, with a database of its own below the state folder.

    up(state_dir)                 # starts it, or says where the running one is
    status(state_dir)             # PrefectServer or None
    down(state_dir)               # True if it was stopped
    with prefect_api(state_dir):  # flows that are called in here report to a server, quietly

Nothing here imports Prefect before a flow is to run, so ``detseg status`` stays quick.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from detseg.errors import ServiceError
from detseg.processes import ServiceSpec, file_lock, find_running, free_port, is_port_free, start, stop

HOST = "127.0.0.1"
PREFERRED_PORT = 4200  # Prefect's own default, so its documentation applies


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """A running server of ours. ``api_url`` is what PREFECT_API_URL takes; ``ui_url`` opens in a browser."""

    api_url: str
    ui_url: str
    pid: int


def up(state_dir: Path, *, port: int | None = None) -> PrefectServer:
    """Start the server and wait until it answers; if it runs already, say where.

    Without a port, the one it had before or the next free one. It then runs until ``down``, also if a
    run in a terminal had started it for itself. Raises ServiceError.
    """
    server = _start(_home(state_dir), port)
    _temporary(_home(state_dir)).unlink(missing_ok=True)
    return server


def down(state_dir: Path) -> bool:
    """Stop the server; False if it did not run."""
    home = _home(state_dir)
    port = _read_port(home)
    _temporary(home).unlink(missing_ok=True)
    return port is not None and stop(_spec(home, port))


def status(state_dir: Path) -> PrefectServer | None:
    """The running server, None if it does not run."""
    home = _home(state_dir)
    port = _read_port(home)
    running = None if port is None else find_running(_spec(home, port))
    return None if port is None or running is None else _server(port, running.pid)


@contextmanager
def prefect_api(state_dir: Path) -> Iterator[str]:
    """The URL of a usable Prefect API; flows that are called inside the context report to it.

    It is the one that the user chose (PREFECT_API_URL, or a Prefect profile), else the embedded server if it
    runs, else a temporary one with the same database that is stopped when the last context on it ends. Log
    lines of flows go to the server and to ``prefect/flows.log`` in the state folder, not to the terminal.
    """
    from flows.terminal import chosen_api, reporting_to

    home = _home(state_dir)
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        url = chosen_api() or stack.enter_context(_embedded_or_temporary(home)).api_url
        stack.enter_context(reporting_to(url, log=home / "flows.log"))
        try:
            yield url
        except RuntimeError as error:  # Prefect has no error of its own for this
            if "Failed to reach API" not in str(error):
                raise
            raise ServiceError(
                f"Prefect at {url} does not answer: start it, or unset PREFECT_API_URL to use one of our own"
            ) from error


@contextmanager
def _embedded_or_temporary(home: Path) -> Iterator[PrefectServer]:
    """The running server, else a temporary one.

    Everybody who uses it holds a shared lock; who can have the lock alone at the end was the last user and
    stops the server, if it is marked as temporary. The kernel drops the locks of a process that is killed.
    """
    with _shared_lock(home / "users.lock") as is_last_user:
        server = _start(home, None, temporary=True)
        try:
            yield server
        finally:
            port = _read_port(home)
            if port is not None and is_last_user() and _temporary(home).exists():
                stop(_spec(home, port))
                _temporary(home).unlink(missing_ok=True)


@contextmanager
def _shared_lock(path: Path) -> Iterator[Callable[[], bool]]:
    """Hold a shared lock on the file. The function says whether nobody else holds one, and keeps them out."""
    with path.open("ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)

        def is_last_user() -> bool:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        yield is_last_user


def _start(home: Path, port: int | None, *, temporary: bool = False) -> PrefectServer:
    """Start it unless it runs; a server that this call starts for a run alone is marked before it runs."""
    with file_lock(home / "start.lock"):
        known = _read_port(home)
        running = None if known is None else find_running(_spec(home, known))
        if running is None or known is None:
            known = _choose_port(known, port)
            (home / "port").write_text(str(known), encoding="ascii")
            if temporary:
                _temporary(home).touch()
        elif port is not None and port != known:
            raise ServiceError(
                f"Prefect runs on port {known} already: `detseg down` first, to move it to {port}"
            )
        return _server(known, start(_spec(home, known)).pid)


def _choose_port(known: int | None, wanted: int | None) -> int:
    if wanted is not None:
        return wanted
    return known if known is not None and is_port_free(known) else free_port(PREFERRED_PORT)


def _spec(home: Path, port: int) -> ServiceSpec:
    return ServiceSpec(
        name="the Prefect server",
        argv=(sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)),
        env=_environment(home, os.environ),
        log=home / "server.log",
        pid_file=home / "server.pid.json",
        health_url=f"http://{HOST}:{port}/api/health",
        start_timeout_s=300.0,  # 10 s on an idle machine; its first start makes the database
    )


def _environment(home: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The server's environment: ours alone decides about Prefect, and nothing of it is sent anywhere."""
    private = ("PREFECT_", "DETSEG_", "LABEL_STUDIO_")
    own = {name: value for name, value in inherited.items() if not name.startswith(private)}
    return own | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
    }


def _server(port: int, pid: int) -> PrefectServer:
    return PrefectServer(f"http://{HOST}:{port}/api", f"http://{HOST}:{port}", pid)


def _home(state_dir: Path) -> Path:
    return state_dir.absolute() / "prefect"


def _temporary(home: Path) -> Path:
    return home / "temporary"


def _read_port(home: Path) -> int | None:
    try:
        return int((home / "port").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None
