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


def run_suite(suite: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "deploy/run_tests.py", *arguments]
    given = {"PATH": str(suite / "bin"), **environment}
    return subprocess.run(command, cwd=suite, env=given, capture_output=True, text=True)


def provide_programs(suite: Path) -> None:
    """Programs of the browser's and the database's names, so that no test is left out."""
    for program in (name for tool in run_tests.TOOLS for name in tool.programs):
        (suite / "bin" / program).write_text("#!/bin/sh\n")
        (suite / "bin" / program).chmod(0o755)


def test_all_tests_run_where_there_is_a_browser(suite: Path) -> None:
    provide_programs(suite)
    result = run_suite(suite, CI="true")
    assert result.returncode == 0, result.stderr
    assert "2 passed" in result.stdout
    assert "DID NOT RUN" not in result.stderr


def test_what_one_process_has_compiled_others_find(suite: Path) -> None:
    """Many containers say otherwise, and each program that a test starts would compile all of detseg."""
    provide_programs(suite)
    code = "import sys\ndef test_bytecode(): assert not sys.dont_write_bytecode\n"
    (suite / "tests" / "test_bytecode.py").write_text(code)
    result = run_suite(suite, PYTHONDONTWRITEBYTECODE="1")
    assert result.returncode == 0, result.stdout
    assert list(suite.glob("tests/__pycache__/test_bytecode*.pyc"))


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


def test_the_programs_can_be_installed_without_a_run_of_the_tests(suite: Path) -> None:
    result = run_suite(suite, "--only-install", CI="true")
    assert (result.returncode, result.stdout) == (0, "")  # `make test` fails, and names what did not run
    assert result.stderr.startswith("detseg: there is no apt-get here: install Chromium so that ")
    provide_programs(suite)
    assert run_suite(suite, "--only-install").stderr == ""


FAILS_FIRST = """
from pathlib import Path
def test_in_turns():
    marks = Path(__file__).with_name("marks")
    marks.write_text(marks.read_text() + "x" if marks.exists() else "x")
    assert len(marks.read_text()) > {failures}
"""


@pytest.mark.parametrize(
    ("failures", "environment", "code"),
    [(1, {"CI": "true"}, 0), (2, {"CI": "true"}, 1), (1, {}, 1)],
    ids=["once in CI", "twice in CI", "once at home"],
)
def test_a_test_that_fails_in_ci_has_to_pass_alone_and_is_named(
    suite: Path, failures: int, environment: dict[str, str], code: int
) -> None:
    provide_programs(suite)
    (suite / "tests" / "test_turns.py").write_text(FAILS_FIRST.format(failures=failures))
    result = run_suite(suite, **environment)
    assert result.returncode == code, result.stdout
    named = "!! 1 TESTS FAILED BESIDE OTHERS AND PASSED ALONE:\n!!   tests/test_turns.py::test_in_turns"
    assert (named in result.stderr) == (code == 0)
    assert len((suite / "tests" / "marks").read_text()) == (2 if environment else 1)


def test_a_file_that_cannot_be_imported_fails_in_ci(suite: Path) -> None:
    provide_programs(suite)
    (suite / "tests" / "test_broken.py").write_text("import nothing_of_that_name\n")
    assert run_suite(suite, CI="true").returncode != 0
