"""make test: the browser and the database server, and the banner where there is none."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import run_tests

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A project with one plain test and one that needs the browser."""
    for folder in ("deploy", "tests", "bin"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "deploy" / "run_tests.py", tmp_path / "deploy")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --strict-markers\nmarkers =\n  browser: x\n  postgres: x\n"
    )
    code = "import pytest\ndef test_plain(): pass\n@pytest.mark.browser\ndef test_page(): pass\n"
    (tmp_path / "tests" / "test_it.py").write_text(code)
    return tmp_path


def run_suite(suite: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "deploy/run_tests.py", "-p", "no:cacheprovider"]
    given = {"PATH": str(suite / "bin"), **environment}
    return subprocess.run(command, cwd=suite, env=given, capture_output=True, text=True)


def test_all_tests_run_where_there_is_a_browser(suite: Path) -> None:
    for program in (name for tool in run_tests.TOOLS for name in tool.programs):
        (suite / "bin" / program).write_text("#!/bin/sh\n")
        (suite / "bin" / program).chmod(0o755)
    result = run_suite(suite, CI="true")
    assert result.returncode == 0, result.stderr
    assert "2 passed" in result.stdout
    assert "DID NOT RUN" not in result.stderr


@pytest.mark.parametrize(("environment", "code"), [({}, 0), ({"CI": "true"}, 1)], ids=["at home", "in CI"])
def test_without_a_browser_the_banner_names_what_did_not_run(
    suite: Path, environment: dict[str, str], code: int
) -> None:
    result = run_suite(suite, **environment)
    assert result.returncode == code
    assert "1 passed" in result.stdout
    assert "!! 1 TESTS DID NOT RUN" in result.stderr
    assert "there is no apt-get here: install Chromium so that chromium and chromedriver" in result.stderr
    assert "tests/test_it.py::test_page" in result.stderr


def test_a_failing_apt_get_is_told(suite: Path) -> None:
    for program, code in (("apt-get", "echo E: no such package >&2; exit 100"), ("sudo", 'shift; exec "$@"')):
        (suite / "bin" / program).write_text(f"#!/bin/sh\n{code}\n")
        (suite / "bin" / program).chmod(0o755)
    for program in ("env", "true"):
        (suite / "bin" / program).symlink_to(Path("/usr/bin") / program)
    result = run_suite(suite)
    assert result.returncode == 0
    assert "apt-get could not install it (E: no such package): sudo apt-get install chromium" in result.stderr
