"""Installs the Label Studio server into an environment of its own, once per user.

    python -m detseg.labelstudio.install     # says one line when there is something to do, nothing otherwise

The server and the rest of detseg cannot share an environment (its pins hold Prefect, numpy and Django
back), so it lives in ``<cache>/detseg/label-studio-<version>/``, installed by uv from the hash-pinned
``requirements.lock`` beside this module. ``DETSEG_LABEL_STUDIO_BIN`` names another installation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from detseg.errors import DetsegError, InstallError, ServiceError
from detseg.files import write_whole
from detseg.locking import file_lock
from detseg.uv import explain_failure, run_uv, sync_environment

VERSION = "1.23.2"
LOCK_FILE = Path(__file__).with_name("requirements.lock")
_VARIABLE = "DETSEG_LABEL_STUDIO_BIN"
_LONGEST_INSTALLATION_S = 3600.0
_N_BYTES_NEEDED = 2_000_000_000  # 1 GB installed, and uv's cache where it is on this disk
_TEMPLATE = Path("template", "label_studio.sqlite3")
_PYTHONS = ((3, 11), (3, 12))


def home() -> Path:
    """The folder that the server's environment is installed in."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "detseg" / f"label-studio-{VERSION}"


def find_executable() -> Path | None:
    """The ``label-studio`` program; None if it is not installed (or not completely).

    Raises ServiceError if DETSEG_LABEL_STUDIO_BIN names no program.
    """
    named = os.environ.get(_VARIABLE)
    if named:
        if shutil.which(named) is None:
            raise ServiceError(f"{_VARIABLE} names {named}, which is no program: mend or unset it")
        return Path(named)
    return _program(home()) if _marker(home()).exists() and _program(home()).exists() else None


def template_database(executable: Path) -> Path | None:
    """A database with all tables and nobody in it, made at installation; None if there is none.

    A first start from it takes 3 s, one from nothing 30 s.
    """
    template = executable.resolve().parent.parent / _TEMPLATE
    return template if template.exists() else None


def ensure_installed(
    say: Callable[[str], None], *, lock_file: Path = LOCK_FILE, n_bytes_needed: int = _N_BYTES_NEEDED
) -> Path:
    """The ``label-studio`` program, installed if it is missing. Two at once install once.

    ``say`` gets one line before and one after an installation. Raises ServiceError with the mend.
    """
    found = find_executable()
    if found is not None:
        return found
    folder = home()
    try:
        lock = folder.parent / f"{folder.name}.lock"
        with file_lock(lock, what="the installation of Label Studio", longest_s=_LONGEST_INSTALLATION_S):
            found = find_executable()  # another process may have installed it while we waited
            if found is not None:
                return found
            _check_preconditions(folder, lock_file, n_bytes_needed)
            say(
                f"Installing the Label Studio {VERSION} server into {folder}: the web page that people "
                "annotate in. About 1 GB and two minutes, once per user."
            )
            started = time.monotonic()
            _install(folder, lock_file)
            say(f"Label Studio {VERSION} is installed ({time.monotonic() - started:.0f} s).")
    except OSError as error:
        raise ServiceError(
            f"Label Studio cannot be installed into {folder} ({error}): mend that, or set XDG_CACHE_HOME to "
            "a folder that you may write to"
        ) from error
    return _program(folder)


def _check_preconditions(folder: Path, lock_file: Path, n_bytes_needed: int) -> None:
    if sys.version_info[:2] not in _PYTHONS:
        wanted = " or ".join(f"{major}.{minor}" for major, minor in _PYTHONS)
        raise ServiceError(f"Label Studio is installed with Python {wanted}, not {sys.version.split()[0]}")
    if not lock_file.exists():
        raise ServiceError(f"{lock_file} is missing: detseg is not installed completely, install it again")
    n_free = shutil.disk_usage(folder.parent).free
    if n_free < n_bytes_needed:
        raise ServiceError(
            f"Label Studio needs {n_bytes_needed / 1e9:.0f} GB in {folder.parent} and {n_free / 1e9:.1f} GB "
            "are free: make room, or set XDG_CACHE_HOME to a folder on another disk"
        )


def _install(folder: Path, lock_file: Path) -> None:
    """Scripts hold absolute paths, so it is made in place; the marker comes last and makes it count."""
    shutil.rmtree(folder, ignore_errors=True)
    ours = Path(sys.executable)
    try:
        run_uv(["venv", "--python", sys.executable, str(folder)], python=ours)
        sync_environment(folder / "bin" / "python", lock_file, python=ours)
    except InstallError as error:
        raise ServiceError(f"Label Studio cannot be installed: {error}") from error
    _make_template(folder)
    write_whole(_marker(folder), f"{VERSION}\n")


def _make_template(folder: Path) -> None:
    """Let the program tell its version, for which it makes a database: the template of all first starts."""
    template = folder / _TEMPLATE
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    env |= {"LABEL_STUDIO_BASE_DATA_DIR": str(template.parent), "XDG_CONFIG_HOME": str(template.parent)}
    env |= {"LATEST_VERSION_CHECK": "false", "COLLECT_ANALYTICS": "false", "SENTRY_DSN": ""}
    done = subprocess.run([_program(folder), "version"], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = explain_failure(done.stdout + done.stderr, "the installed program")
        raise ServiceError(f"Label Studio cannot be installed: {reason}")
    if f"version: {VERSION}" not in done.stdout:
        raise ServiceError(f"{_program(folder)} is not version {VERSION}: lock it again (`make lock`)")
    if not template.exists():
        raise ServiceError(f"Label Studio {VERSION} made no database in {template.parent}: look there")


def _program(folder: Path) -> Path:
    return folder / "bin" / "label-studio"


def _marker(folder: Path) -> Path:
    return folder / ".complete"


def main() -> int:
    """Install what is missing; 1 with one line on stderr if that fails."""
    try:
        ensure_installed(lambda line: print(line, file=sys.stderr, flush=True))
    except DetsegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
