"""The set-up behind make: real environments and real pip, on a project small enough to need no network."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy import install

ROOT = Path(__file__).resolve().parents[2]

# What a machine lacks: one line and the mend.


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 9)])
def test_python_fits(version: tuple[int, ...]) -> None:
    install.check_python(version, "python3")


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 13), (3, 13, 0)])
def test_python_does_not_fit(version: tuple[int, ...]) -> None:
    came = ".".join(map(str, version))
    with pytest.raises(
        install.InstallError, match=f"^Python 3.11 or 3.12 is needed and py is {came}: .*make PYTHON="
    ):
        install.check_python(version, "py")


def test_pythons_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = Requirement(f"x{project['requires-python']}").specifier
    assert [minor for minor in range(20) if allowed.contains(f"3.{minor}.5")] == [
        p[1] for p in install.PYTHONS
    ]
    assert repr(install.PYTHONS) in (ROOT / "Makefile").read_text()


def test_full_disk_is_seen_before_the_start() -> None:
    install.check_disk(Path("/data"), install.NEEDED_GB)
    with pytest.raises(install.InstallError, match=r"^/data has 3.2 GB free, .* make room"):
        install.check_disk(Path("/data"), 3.21)


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "disk is full",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "pip cache purge"),
        ("WARNING: Retrying after SSLError(SSLCertVerificationError", "PIP_CERT="),
        ("Failed to establish a new connection: [Errno -2] Name or service not known", "cannot be reached"),
        ("ERROR: No matching distribution found for torch==2.15.0", "not to be had for this machine"),
        ("some words\nERROR: something new\nmore", "ERROR: something new (all it said: log)"),
        ("some words", "some words (all it said: log)"),
        ("", "(all it said: log)"),
    ],
)
def test_pip_is_explained_in_one_line(output: str, line: str) -> None:
    explained = install.explain(output, Path("log"))
    assert line in explained
    assert "\n" not in explained


def run_make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


def test_make_says_that_python_is_missing() -> None:
    result = run_make("install", "PYTHON=no-such-python")
    assert result.returncode == 2
    assert result.stderr.startswith("detseg: no Python found (no-such-python): install Python 3.11")


def test_make_lists_its_targets() -> None:
    listed = re.findall(r"(?m)^  make (\w+)", run_make().stdout)
    assert listed == [
        "help",
        "install",
        "demo",
        "test",
        "lint",
        "check",
        "faults",
        "bench",
        "format",
        "lock",
        "clean",
    ]


# A small project with the real script, real environments and real pip.

BACKEND = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "small-1-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        about = "small-1.dist-info/"
        wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\\nName: small\\nVersion: 1\\n")
        wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(about + "RECORD", "")
    return name
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "small"
version = "1"
"""


def write_wheel(folder: Path, version: str) -> str:
    """Writes a package `part` and answers its line for a lock file."""
    path = folder / f"part-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("part.py", f"version = {version!r}\n")
        about = f"part-{version}.dist-info"
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: part\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return f"part=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "install.py", tmp_path / "deploy")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "requirements.lock").write_text(write_wheel(tmp_path, "1.0"))
    return tmp_path


def start_install(project: Path) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PIP_FIND_LINKS": str(project),
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }
    command = [sys.executable, "deploy/install.py"]
    return subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True)


def run_install(project: Path) -> tuple[int, str]:
    """Exit code and what it said."""
    process = start_install(project)
    _, said = process.communicate()
    return process.returncode, said


def part_version(project: Path) -> str:
    code = "import part; print(part.version)"
    return subprocess.check_output([project / ".venv/bin/python", "-c", code], text=True).strip()


def test_installs_once_and_follows_the_lock(project: Path) -> None:
    code, said = run_install(project)
    assert code == 0, said
    assert "installing its 1 packages into .venv" in said
    assert part_version(project) == "1.0"
    assert json.loads((project / ".venv" / install.STAMP).read_text())["root"] == str(project)
    assert not (project / ".venv" / install.MARKER).exists()
    assert not (project / ".venv" / "tmp").exists()

    assert run_install(project) == (0, "")

    (project / "requirements.lock").write_text(write_wheel(project, "2.0"))
    code, said = run_install(project)
    assert code == 0, said
    assert "has changed: .venv follows" in said
    assert part_version(project) == "2.0"


def test_a_killed_installation_is_made_anew(project: Path) -> None:
    process = start_install(project)
    while not (project / ".venv" / install.MARKER).exists():
        assert process.poll() is None, "it ended without having left its marker"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (project / ".venv" / "left-over").touch()
    code, said = run_install(project)
    assert code == 0, said
    assert ".venv is unfinished or was moved: it is made anew" in said
    assert not (project / ".venv" / "left-over").exists()
    assert part_version(project) == "1.0"


def test_a_moved_project_is_installed_anew(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert run_install(project)[0] == 0
    moved = tmp_path_factory.mktemp("elsewhere") / "project"
    project.rename(moved)
    code, said = run_install(moved)
    assert code == 0, said
    assert "was moved" in said
    assert part_version(moved) == "1.0"


def test_a_wrong_hash_and_a_missing_package_are_one_line(project: Path) -> None:
    (project / "requirements.lock").write_text(f"part==1.0 --hash=sha256:{'0' * 64}\n")
    code, said = run_install(project)
    assert code == 1
    assert "not the one that requirements.lock names" in said.splitlines()[-1]
    (project / "requirements.lock").write_text(f"part==3.0 --hash=sha256:{'0' * 64}\n")
    code, said = run_install(project)
    assert code == 1
    assert "not to be had for this machine" in said.splitlines()[-1]
    assert not (project / ".venv" / install.STAMP).exists()


def test_progress_counts_what_pip_says() -> None:
    progress = install.Progress(terminal=False, start=100.0)
    for line in (
        "Collecting torch==2.15.0 (from -r requirements.lock (line 1))",
        "  Downloading torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl (907.4 MB)",
        "Collecting six==1.17.0 (from -r requirements.lock (line 9))",
        "  Using cached six-1.17.0-py2.py3-none-any.whl (11 kB)",
    ):
        progress.read(line)
    assert progress.text(130.0) == "  fetched 2 packages, 0.91 GB, 30 s"
    progress.read("Installing collected packages: six, torch")
    assert progress.text(131.4) == "  unpacking 2 packages, 0.91 GB, 31 s"
