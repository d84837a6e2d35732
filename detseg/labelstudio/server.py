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
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from detseg.errors import ServiceError
from detseg.labelstudio.install import find_executable, template_database
from detseg.processes import ServiceSpec, file_lock, find_running, free_port, is_healthy, start, stop

HOST = "127.0.0.1"
PREFERRED_PORT = 8080
LOCAL_HOOKS = {"SSRF_PROTECTION_ENABLED": "false"}
"""Variables with which its webhooks may call this machine, and its users make it ask any private address."""

DOCUMENT_ROOT = Path("/")  # a file is served only if a storage of a project covers it; see project.py

# Label Studio reads every setting from the bare name too (HOST, DEBUG, DATABASE_NAME, PASSWORD, ...), so it
# gets none of the user's environment but these.
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "HOME", "USER")


@dataclass(frozen=True, slots=True)
class Connection:
    """Where Label Studio is and how to get in. Username and password are for the web page's login."""

    url: str
    token: str = field(repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """Whether the process runs, whether it answers, and where."""

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

    ``executable`` is the ``label-studio`` program; None looks where ``detseg.labelstudio.install`` puts it.
    ``variables`` are more of its environment, which otherwise is ours alone (credentials of a cloud).
    """

    def __init__(
        self,
        state_dir: Path,
        executable: Path | None = None,
        *,
        port: int = PREFERRED_PORT,
        document_root: Path = DOCUMENT_ROOT,
        start_timeout_s: float = 600.0,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = state_dir.absolute() / "label-studio"
        self.log = self.folder / "server.log"
        self.credentials_file = self.folder / "credentials.json"
        self._executable = executable
        self._preferred_port = port
        self._document_root = document_root
        self._start_timeout_s = start_timeout_s
        self._variables = dict(variables or {})

    def up(self) -> Connection:
        """Start the server, or find it running, and wait until it answers to our token.

        Two at once start one. Raises ServiceError: not installed, died (with its log), not ours.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        with file_lock(self.folder / "up.lock"):
            credentials = _read_or_make_credentials(self.credentials_file)
            port = self._remembered_port()
            if port is None or find_running(self._spec(port, credentials)) is None:
                port = free_port(port or self._preferred_port)
                self._remember_port(port)
            program = self._program()
            _copy_template(program, self.folder / "data")
            start(self._spec(port, credentials, executable=program))
            url = f"http://{HOST}:{port}"
            self._check_that_it_is_ours(url, credentials)
            return Connection(url, credentials.token, credentials.username, credentials.password)

    def down(self) -> bool:
        """Stop the server; says whether it ran. What annotators did stays in the data folder."""
        port = self._remembered_port()
        if port is None:
            return False
        with file_lock(self.folder / "up.lock"):
            return stop(self._spec(port))

    def status(self) -> ServerStatus:
        """Whether it runs and answers; starts and changes nothing."""
        port = self._remembered_port()
        running = None if port is None else find_running(self._spec(port))
        if port is None or running is None:
            return ServerStatus(running=False, healthy=False, url=None, pid=None)
        url = f"http://{HOST}:{port}"
        return ServerStatus(running=True, healthy=is_healthy(f"{url}/health"), url=url, pid=running.pid)

    def connection(self) -> Connection | None:
        """How to get in, if the server runs; None if it does not."""
        status = self.status()
        if status.url is None:
            return None
        credentials = _read_or_make_credentials(self.credentials_file)
        return Connection(status.url, credentials.token, credentials.username, credentials.password)

    def _program(self) -> Path:
        if self._executable is not None:
            return self._executable
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
            health_url=f"http://{HOST}:{port}/health",
            start_timeout_s=self._start_timeout_s,
        )

    def _environment(self, credentials: _Credentials) -> dict[str, str]:
        return _environment(self.folder, self._document_root, credentials) | self._variables

    def _remembered_port(self) -> int | None:
        try:
            return int(json.loads((self.folder / "server.json").read_text(encoding="utf-8"))["port"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # cut off by a crash: choose a port again
            return None

    def _remember_port(self, port: int) -> None:
        temporary = self.folder / "server.json.tmp"
        temporary.write_text(json.dumps({"port": port}), encoding="utf-8")
        temporary.replace(self.folder / "server.json")

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
    data.mkdir(parents=True, exist_ok=True)
    copy = database.with_suffix(".copy")
    shutil.copyfile(template, copy)
    copy.replace(database)


def _environment(folder: Path, document_root: Path, credentials: _Credentials) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {
        "LABEL_STUDIO_USERNAME": credentials.username,
        "LABEL_STUDIO_PASSWORD": credentials.password,
        "LABEL_STUDIO_USER_TOKEN": credentials.token,
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(document_root),
        # Nothing goes out: no analytics, no error reports, no look for a newer version.
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        # Predictions are checked against the label config when they are imported.
        "fflag_feat_utc_210_prediction_validation_15082025": "true",
        "XDG_CONFIG_HOME": str(folder / "config"),  # else it writes into the user's ~/.config
        "PYTHONUNBUFFERED": "1",
    }


def _read_or_make_credentials(path: Path) -> _Credentials:
    """The credentials in that file, made up on first use. The file never exists with a wider mode."""
    if not path.exists():
        made = _Credentials("detseg@localhost", secrets.token_urlsafe(18), secrets.token_hex(20))
        temporary = path.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(made), file, indent=2)
        temporary.replace(path)
    try:
        return _Credentials(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ServiceError(
            f"{path} does not hold username, password and token ({error}): restore it from a backup; without "
            f"it {path.parent / 'data'} cannot be opened by detseg"
        ) from error


def _knows_token(url: str, token: str) -> bool:
    request = urllib.request.Request(
        f"{url}/api/current-user/whoami", headers={"Authorization": f"Token {token}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError:
        return False
    except OSError as error:
        raise ServiceError(f"the server at {url} stopped answering ({error}): look at its log") from error
