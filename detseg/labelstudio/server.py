"""The embedded Label Studio: one server per state folder, on loopback, with nothing going out.

    server = EmbeddedLabelStudio(Path(".detseg"))
    connection = server.up()      # Connection(url, token, username, password); starts it if it does not run
    server.status()               # ServerStatus(running, healthy, url, pid)
    server.down()                 # True if it ran

Everything it keeps is under ``<state_dir>/label-studio/`` (mode 0700): the data folder, the generated
credentials (``credentials.json``, mode 0600), the remembered port, the log and the pid file.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import psutil

from detseg.errors import FormatError, LabelStudioError, ServiceError, Unreachable
from detseg.files import parse_json, private_folder, replacing, write_whole
from detseg.labelstudio.install import find_executable, template_database
from detseg.labelstudio.session import Session
from detseg.locking import file_lock
from detseg.processes import (
    ServiceSpec,
    find_running,
    is_healthy,
    is_listening,
    start_on_free_port,
    stop,
)

HOST = "127.0.0.1"
PREFERRED_PORT = 8080
_START_TIMEOUT_S = 600.0
LOCAL_HOOKS = {"SSRF_PROTECTION_ENABLED": "false"}
"""Variables with which its webhooks may call this machine, and its users make it ask any private address."""

SERVED = "served"
"""The folder in the state folder that local files are served from, and nothing above it; see served.py."""

_DOCUMENT_ROOT = "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"

# Label Studio reads every setting from the bare name too (HOST, DEBUG, DATABASE_NAME, PASSWORD, ...), so it
# gets none of the user's environment but these.
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "HOME", "USER")


@dataclass(frozen=True, slots=True)
class Connection:
    """The address of Label Studio and the way in. Username and password are for the web page's login."""

    url: str
    token: str = field(repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The state of the process: whether it runs, whether it answers, and where."""

    running: bool
    healthy: bool
    url: str | None
    pid: int | None


@dataclass(frozen=True, slots=True)
class _Credentials:
    username: str
    password: str = field(repr=False)
    token: str = field(repr=False)


class EmbeddedLabelStudio:
    """The server of one state folder. ``port`` is a wish: the next free one from there on is taken.

    ``document_root`` is where its local files are; None is a folder in the state folder for them alone.
    ``variables`` are more of its environment, which otherwise is ours alone (credentials of a cloud).
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        port: int = PREFERRED_PORT,
        document_root: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = state_dir.absolute() / "label-studio"
        self.log = self.folder / "server.log"
        self.credentials_file = self.folder / "credentials.json"
        self._preferred_port = port
        self.document_root = document_root or state_dir.absolute() / SERVED
        self._variables = dict(variables or {})

    def up(self) -> Connection:
        """Start the server, or find it running, and wait until it answers to our token.

        Two at once start one. Raises ServiceError: not installed, died (with its log), not ours.
        """
        private_folder(self.folder)
        with self._lock():
            credentials = _read_or_make_credentials(self.credentials_file)
            self._stop_with_other_root()
            program = self._program()
            _copy_template(program, self.folder / "data")
            port, _ = start_on_free_port(
                partial(self._spec, credentials=credentials, executable=program),
                self._remembered_port() or self._preferred_port,
                remember=self._remember_port,
            )
            url = f"http://{HOST}:{port}"
            self._check_that_it_is_ours(url, credentials)
            return Connection(url, credentials.token, credentials.username, credentials.password)

    def down(self) -> bool:
        """Stop the server; says whether it ran. What annotators did stays in the data folder."""
        port = self._remembered_port()
        if port is None:
            return False
        with self._lock():
            return stop(self._spec(port))

    def status(self) -> ServerStatus:
        """Look whether it runs and answers; start and change nothing."""
        port = self._remembered_port()
        running = None if port is None else find_running(self._spec(port))
        if port is None or running is None:
            return ServerStatus(running=False, healthy=False, url=None, pid=None)
        spec = self._spec(port)
        healthy = is_listening(spec) and is_healthy(spec.health_url)
        return ServerStatus(running=True, healthy=healthy, url=f"http://{HOST}:{port}", pid=running.pid)

    def connection(self) -> Connection | None:
        """Return the way in, if it is our server that has the port; None if not."""
        port = self._remembered_port()
        if port is None or not is_listening(self._spec(port)):
            return None
        credentials = _read_or_make_credentials(self.credentials_file)
        return Connection(
            f"http://{HOST}:{port}", credentials.token, credentials.username, credentials.password
        )

    def _lock(self) -> AbstractContextManager[None]:
        """Held while the server is started or stopped: others wait as long as a start may take."""
        return file_lock(
            self.folder / "up.lock", what="the start of Label Studio", longest_s=2 * _START_TIMEOUT_S
        )

    def _program(self) -> Path:
        found = find_executable()
        if found is None:
            raise ServiceError(
                "the Label Studio server is not installed: run `python -m detseg.labelstudio.install`"
            )
        return found

    def _spec(
        self, port: int, credentials: _Credentials | None = None, *, executable: Path | None = None
    ) -> ServiceSpec:
        return ServiceSpec(
            name="Label Studio",
            argv=_command(executable or Path("label-studio"), self.folder / "data", port),
            env={} if credentials is None else self._environment(credentials),
            log=self.log,
            pid_file=self.folder / "server.pid",
            health_url=f"http://{HOST}:{port}/health/",
            start_timeout_s=_START_TIMEOUT_S,
        )

    def _environment(self, credentials: _Credentials) -> dict[str, str]:
        return _environment(self.folder, self.document_root, credentials) | self._variables

    def _stop_with_other_root(self) -> None:
        """Stops a server that serves files from elsewhere, as those that an older detseg started."""
        self.document_root.mkdir(parents=True, exist_ok=True)
        port = self._remembered_port()
        running = None if port is None else find_running(self._spec(port))
        if (
            port is not None
            and running is not None
            and _root_of(running.pid) not in (None, str(self.document_root))
        ):
            stop(self._spec(port))

    def _remembered_port(self) -> int | None:
        try:
            return int(parse_json((self.folder / "server.json").read_bytes(), "it")["port"])
        except FileNotFoundError:
            return None
        except (FormatError, ValueError, KeyError, TypeError):  # cut off by a crash: choose a port again
            return None

    def _remember_port(self, port: int) -> None:
        write_whole(self.folder / "server.json", json.dumps({"port": port}))

    def _check_that_it_is_ours(self, url: str, credentials: _Credentials) -> None:
        if not _knows_token(url, credentials.token):
            raise ServiceError(
                f"the server at {url} does not know the token in {self.credentials_file}: another program "
                f"took the port, or the credentials are not those that {self.folder / 'data'} was made "
                "with; run `detseg down`, put back the right credentials or move that folder away, try again"
            )


def _command(executable: Path, data: Path, port: int) -> tuple[str, ...]:
    # The legacy token works only if it is allowed when the organisation is created: at the first start.
    options = ("--no-browser", "--internal-host", HOST, "--enable-legacy-api-token")
    return (str(executable), "start", "--data-dir", str(data), "--port", str(port), *options)


def _copy_template(executable: Path, data: Path) -> None:
    """Give a server that has no database yet one with all tables: the first start is ten times faster."""
    template, database = template_database(executable), data / "label_studio.sqlite3"
    if template is None or database.exists():
        return
    private_folder(data)
    with template.open("rb") as source, replacing(database, binary=True) as copy:
        shutil.copyfileobj(source, copy)


def _root_of(pid: int) -> str | None:
    """The document root that a server was started with; None where that cannot be seen."""
    try:
        return psutil.Process(pid).environ().get(_DOCUMENT_ROOT)
    except psutil.Error:
        return None


def _environment(folder: Path, document_root: Path, credentials: _Credentials) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {
        "LABEL_STUDIO_USERNAME": credentials.username,
        "LABEL_STUDIO_PASSWORD": credentials.password,
        "LABEL_STUDIO_USER_TOKEN": credentials.token,
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        _DOCUMENT_ROOT: str(document_root),
        # Nothing goes out: no analytics, no error reports, no look for a newer version.
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        # Predictions are checked against the label config when they are imported.
        "fflag_feat_utc_210_prediction_validation_15082025": "true",
        # Without it, each request that adds predictions counts all tasks of the project anew.
        "fflag_fix_back_4620_memory_efficient_predictions_import_08012025_short": "true",
        "XDG_CONFIG_HOME": str(folder / "config"),  # else it writes into the user's ~/.config
        "PYTHONUNBUFFERED": "1",
    }


def _read_or_make_credentials(path: Path) -> _Credentials:
    """The credentials in that file, made up on first use. The file never exists with a wider mode."""
    if not path.exists():
        made = _Credentials("detseg@localhost", secrets.token_urlsafe(18), secrets.token_hex(20))
        write_whole(path, json.dumps(asdict(made), indent=2))
    try:
        return _Credentials(**parse_json(path.read_bytes(), "it"))
    except (FormatError, TypeError) as error:
        raise ServiceError(
            f"{path} does not hold username, password and token ({error}): restore it from a backup; without "
            f"it {path.parent / 'data'} cannot be opened by detseg"
        ) from error


def _knows_token(url: str, token: str) -> bool:
    session = Session(url, token, transport=None, sleep=time.sleep)
    try:
        session.json("GET", "/api/current-user/whoami")
    except Unreachable as error:
        raise ServiceError(f"the server at {url} stopped answering ({error}): look at its log") from error
    except LabelStudioError:
        return False
    finally:
        session.close()
    return True
