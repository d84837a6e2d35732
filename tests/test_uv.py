"""uv: told what pip is told, and explained in one line."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from detseg.errors import InstallError
from detseg.uv import (
    explain_failure,
    read_pip_settings,
    run_and_read,
    run_uv,
    sync_environment,
    uv_environment,
)

PYTHON = Path(sys.executable)


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (
            "  cause: failed to copy file: No space left on device (os error 28)",
            "the disk is full: make room",
        ),
        ("error: Failed to download `part==1.0`\n  cause: Hash mismatch for `part==1.0`", "uv cache clean"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "pip cache purge"),
        (
            "  cause: client error (Connect)\n  cause: invalid peer certificate: UnknownIssuer",
            "SSL_CERT_FILE=",
        ),
        ("WARNING: Retrying after SSLError(SSLCertVerificationError", "PIP_CERT"),
        ("  cause: dns error\n  cause: failed to lookup address information", "cannot be reached"),
        ("Failed to establish a new connection: [Errno -2] Name or service not known", "cannot be reached"),
        ("  cause: there is no version of torch==2.15.0\nerror: No solution found", "not to be had for"),
        ("ERROR: No matching distribution found for uv==0.13.9", "not to be had for this machine"),
        (
            "some words\nerror: something new\n  cause: why\nmore",
            "uv failed: error: something new; cause: why",
        ),
        ("first\nlast words\n", "uv failed: last words"),
        ("", "uv failed: it said nothing"),
    ],
)
def test_what_programs_say_becomes_one_line(output: str, line: str) -> None:
    explained = explain_failure(output, "uv")
    assert line in explained
    assert "\n" not in explained


def test_a_variable_of_uv_counts_more_than_a_setting_of_pip() -> None:
    told = uv_environment({"UV_DEFAULT_INDEX": "https://uv/simple"}, {"index-url": "https://pip/simple"})
    assert told == {"UV_DEFAULT_INDEX": "https://uv/simple"}


def test_folders_of_wheels_count_without_an_index_alone() -> None:
    assert uv_environment({}, {"find-links": "/a /b"}) == {}
    told = uv_environment({}, {"find-links": "/a\n/b", "no-index": "1"})
    assert told == {"UV_OFFLINE": "1", "UV_FIND_LINKS": "/a,/b"}


def test_pip_is_asked_and_its_variables_count_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text(
        "[install]\ntrusted-host = b\n"
        "[global]\ntrusted-host = a\nindex-url = https://file\nfind-links =\n  /a\n  /b\n"
    )
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable")
    read = read_pip_settings(PYTHON)
    assert read["index-url"] == "https://variable"
    assert read["trusted-host"] == "b"
    assert read["find-links"].split() == ["/a", "/b"]


def test_where_there_is_no_pip_nothing_is_read(tmp_path: Path) -> None:
    run_uv(["venv", "--no-config", str(tmp_path / "empty"), "--python", sys.executable], python=PYTHON)
    assert read_pip_settings(tmp_path / "empty" / "bin" / "python") == {}


def test_a_mirror_that_pip_knows_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "simple" / "part" / "index.html"
    page.parent.mkdir(parents=True)
    wheel = page.with_name("part-1.0-py3-none-any.whl")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("part.py", "")
        archive.writestr("part-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: part\nVersion: 1.0\n")
        archive.writestr("part-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr("part-1.0.dist-info/RECORD", "")
    page.write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    lock_file = tmp_path / "requirements.lock"
    lock_file.write_text(f"part==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    environment = tmp_path / "environment" / "bin" / "python"
    run_uv(["venv", "--python", sys.executable, str(environment.parents[1])], python=PYTHON)
    sync_environment(environment, lock_file, python=PYTHON)
    subprocess.run([environment, "-c", "import part"], check=True)
    assert list(environment.parents[1].rglob("part.*.pyc")), "it was not compiled"


def test_lines_are_told_and_a_failure_is_one() -> None:
    said: list[str] = []
    with pytest.raises(InstallError, match=r"^uv failed: error: .*no-such-lock") as caught:
        run_uv(["pip", "sync", "no-such-lock", "--python", sys.executable], python=PYTHON, tell=said.append)
    assert "\n" not in str(caught.value)
    assert any("no-such-lock" in line for line in said)


def test_a_program_that_hangs_is_stopped() -> None:
    said: list[str] = []
    code, output = run_and_read(["sh", "-c", "echo begun; exec sleep 600"], tell=said.append, longest_s=0.2)
    assert code != 0
    assert (
        explain_failure(output, "uv")
        == "uv failed: error: it was stopped after 0.2 s without an end: try again"
    )
    code, output = run_and_read(["echo", "done"], tell=said.append, longest_s=600)
    assert (code, output) == (0, "done\n")


def test_a_missing_uv_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallError, match=r"^uv is missing: `.*python -m pip install uv` installs it"):
        run_uv(["--version"], python=tmp_path / "python")
