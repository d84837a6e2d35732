"""The server's own environment: made once, complete or not at all, with real uv (and no network).

The package that is installed here is a stand-in of our own making with the name, version and program of the
real one; the real one runs in test_server.py.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from detseg.errors import ServiceError
from detseg.labelstudio.install import (
    VERSION,
    ensure_installed,
    find_executable,
    home,
    template_database,
)

PROGRAM = """
import os, pathlib
def main():
    (pathlib.Path(os.environ["LABEL_STUDIO_BASE_DATA_DIR"]) / "label_studio.sqlite3").write_text("tables")
    print("Label Studio version: {version}")
"""


@pytest.fixture(autouse=True)
def _an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DETSEG_LABEL_STUDIO_BIN", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


def write_lock(folder: Path, *, says: str = VERSION, sha256: str | None = None) -> Path:
    """A wheel of the stand-in and a lock file that pins its hash."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"label_studio-{VERSION}.dist-info"
    files = {
        "label_studio_standin.py": PROGRAM.format(version=says).replace(
            "(pathlib",
            "pathlib.Path(os.environ['LABEL_STUDIO_BASE_DATA_DIR']).mkdir(exist_ok=True); (pathlib",
        ),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: label-studio\nVersion: {VERSION}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nlabel-studio = label_studio_standin:main\n",
    }
    wheel = folder / f"label_studio-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        lines = []
        for name, text in files.items():
            archive.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
            lines.append(f"{name},sha256={digest},{len(text)}")
        archive.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,"]) + "\n")
    lock = folder / "requirements.lock"
    digest = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock.write_text(f"label-studio=={VERSION} --hash=sha256:{digest}\n")
    return lock


def test_it_is_installed_once_by_whoever_comes_first(tmp_path: Path) -> None:
    lock = write_lock(tmp_path)
    (home() / "bin").mkdir(parents=True)
    (home() / "bin" / "label-studio").write_text("left by an installation that was killed")
    assert find_executable() is None
    said: list[str] = []
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: ensure_installed(said.append, lock_file=lock), range(3)))
    assert set(found) == {home() / "bin" / "label-studio"}
    assert len(said) == 2
    assert said[0].startswith(f"Installing the Label Studio {VERSION} server into {home()}")
    template = template_database(found[0])
    assert template is not None
    assert template.read_text() == "tables"
    assert ensure_installed(said.append, lock_file=tmp_path / "gone") == found[0]
    assert len(said) == 2


def test_another_hash_is_refused_and_nothing_counts_as_installed(tmp_path: Path) -> None:
    lock = write_lock(tmp_path, sha256="0" * 64)
    with pytest.raises(
        ServiceError, match=r"cannot be installed: .* is not the one that the lock file names"
    ) as caught:
        ensure_installed(lambda _: None, lock_file=lock)
    assert "\n" not in str(caught.value)
    assert find_executable() is None


def test_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=rf"is not version {VERSION}"):
        ensure_installed(lambda _: None, lock_file=write_lock(tmp_path, says="1.0"))
    assert find_executable() is None


def test_an_index_that_cannot_be_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the port to throw things away
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(ServiceError, match="the package registry cannot be reached: check the network"):
        ensure_installed(lambda _: None, lock_file=write_lock(tmp_path))


def test_a_full_disk_is_named_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"needs 1000000000 GB in .* GB are free: make room"):
        ensure_installed(lambda _: None, lock_file=write_lock(tmp_path), n_bytes_needed=10**18)
    assert not home().exists()


def test_a_missing_lock_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="is missing: detseg is not installed completely"):
        ensure_installed(lambda _: None, lock_file=tmp_path / "gone")


def test_a_cache_that_is_no_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ServiceError, match=r"cannot be installed into .*set XDG_CACHE_HOME"):
        ensure_installed(lambda _: None)


def test_the_program_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "my-label-studio"
    program.write_text("#!/bin/sh\n")
    monkeypatch.setenv("DETSEG_LABEL_STUDIO_BIN", str(program))
    with pytest.raises(
        ServiceError, match=r"DETSEG_LABEL_STUDIO_BIN names .*my-label-studio, which is no program"
    ):
        find_executable()
    program.chmod(0o755)
    assert find_executable() == program
    assert ensure_installed(lambda _: pytest.fail("nothing to say")) == program
    assert template_database(program) is None


def test_the_module_is_a_command_with_one_line_of_failure(tmp_path: Path) -> None:
    env = {**os.environ, "DETSEG_LABEL_STUDIO_BIN": str(tmp_path / "gone")}
    command = [sys.executable, "-m", "detseg.labelstudio.install"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: DETSEG_LABEL_STUDIO_BIN names")
    assert done.stderr.count("\n") == 1
