"""Environments of packages, installed by uv from lock files with hashes.

The standard library is enough here: `make` runs this module before anything is installed.

uv does not read pip's settings, and a machine whose mirror, proxy or certificate is set for pip alone would
not reach its registry. So uv gets them in its own variables, unless those are set.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from detseg.errors import InstallError

_PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
_LONGEST_S = 4 * 3600.0
"""Of an installation: 3 GB over a slow line take an hour, and one that hangs would do so for ever."""
_PIP_SECTIONS = ("global", "install", ":env:")  # a later one overrides the ones before

# What uv and pip say when something outside of the project is wrong, and the fix.
_FIXES = (
    (r"No space left on device|Disk quota exceeded", "the disk is full: make room, then run this again"),
    (
        r"Hash mismatch|DO NOT MATCH THE HASHES",
        "a downloaded package is not the one that the lock file names: look at your mirror or proxy; if it "
        "is right, empty the caches (`uv cache clean`, `pip cache purge`) and run this again",
    ),
    (
        r"invalid peer certificate|CERTIFICATE_VERIFY_FAILED|SSLError",
        "the package registry's certificate is not trusted: name yours with SSL_CERT_FILE=/path/to/ca.pem "
        "(and PIP_CERT)",
    ),
    (
        r"dns error|client error \(Connect\)|operation timed out|error reading a body|name resolution"
        r"|Name or service not known|nodename nor servname|NewConnectionError|ProxyError|ConnectTimeout"
        r"|ReadTimeout|Network is unreachable|Connection broken|ConnectionResetError|IncompleteRead"
        r"|Connection refused",
        "the package registry cannot be reached: check the network (behind a proxy: HTTPS_PROXY=...; with a "
        "mirror: PIP_INDEX_URL=...), then run this again",
    ),
    (
        r"No solution found|no wheels with a matching|doesn't have a (source distribution|wheel)"
        r"|No matching distribution found",
        "a package of the lock file is not to be had for this machine: they exist for 64-bit Linux and for "
        "macOS 14 on Apple silicon",
    ),
)


def sync_environment(
    environment: Path, lock_file: Path, *, python: Path, tell: Callable[[str], None] | None = None
) -> None:
    """Bring an environment to what the lock file pins, and remove what it does not; pip stays.

    ``python`` and ``tell`` as for run_uv. Raises InstallError.
    """
    # Where PYTHONDONTWRITEBYTECODE is set, as in many containers, what is not compiled now never will be.
    options = ["--require-hashes", "--compile-bytecode", "--python", str(environment)]
    run_uv(["pip", "sync", *options, str(lock_file)], python=python, tell=tell)


def run_uv(arguments: list[str], *, python: Path, tell: Callable[[str], None] | None = None) -> None:
    """Run the uv that is installed beside that Python, or else the one on the PATH.

    ``tell`` gets each line that it prints. Raises InstallError with the fix, or with uv's own reason.
    """
    uv = shutil.which("uv", path=os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)]))
    if uv is None:
        raise InstallError(f"uv is missing: `{python} -m pip install uv` installs it")
    environment = uv_environment(os.environ, read_pip_settings(python))
    code, output = run_and_read([uv, *arguments], environment=environment, tell=tell)
    if code:
        raise InstallError(explain_failure(output, "uv"))


def run_and_read(
    command: list[str],
    *,
    environment: Mapping[str, str] | None = None,
    tell: Callable[[str], None] | None = None,
    longest_s: float = _LONGEST_S,
) -> tuple[int, str]:
    """Run a program. Return its exit code and all that it printed; ``tell`` gets each line at once.

    One that takes longer than that is stopped, and a last line says so. A lock whose file is inheritable is
    held until the program ends, also where this process is killed.
    """
    lines = []
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        process.kill()

    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        close_fds=False,
    ) as process:
        assert process.stdout is not None
        timer = threading.Timer(longest_s, stop)
        timer.daemon = True
        timer.start()
        try:
            for line in process.stdout:
                lines.append(line)
                if tell is not None:
                    tell(line.rstrip())
        finally:
            timer.cancel()
    if stopped.is_set():
        lines.append(f"error: it was stopped after {longest_s:g} s without an end: try again\n")
    return process.returncode, "".join(lines)


def read_pip_settings(python: Path) -> dict[str, str]:
    """Read what pip's files and variables tell it; empty where there is no pip."""
    command = [str(python), "-I", "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.findall(rf"(?m)^({'|'.join(_PIP_SECTIONS)})\.([\w-]+)=(['\"].*)$", listed)
    by_section = sorted(found, key=lambda setting: _PIP_SECTIONS.index(setting[0]))
    return {name: ast.literal_eval(value) for _, name, value in by_section}


def uv_environment(variables: Mapping[str, str], pip_settings: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for uv: the given ones, and pip's settings for those that are not there.

    Folders of wheels count where pip may ask no index; beside one, they add nothing that the lock file pins.

    >>> uv_environment({"PATH": "/bin"}, {"index-url": "https://mirror/simple", "no-color": "1"})
    {'UV_DEFAULT_INDEX': 'https://mirror/simple', 'PATH': '/bin'}
    """
    told = {_PIP_TO_UV[name]: value for name, value in pip_settings.items() if name in _PIP_TO_UV}
    if "no-index" in pip_settings:
        told |= {"UV_OFFLINE": "1", "UV_FIND_LINKS": ",".join(pip_settings.get("find-links", "").split())}
    return told | dict(variables)


def explain_failure(output: str, program: str) -> str:
    """Return one line for what a program printed before it gave up: a known fix, or its own reason."""
    for sign, fix in _FIXES:
        if re.search(sign, output):
            return fix
    reasons = [line.strip() for line in output.splitlines() if re.match(r"error: |ERROR: |  cause: ", line)]
    last = output.strip().splitlines()[-1:] or ["it said nothing"]
    return f"{program} failed: {'; '.join(reasons) or last[0]}"
