"""The set-up behind make: real environments, pip and uv, on a project small enough to need no network."""

import fcntl
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
from importlib import metadata
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


def test_a_cache_that_is_there_is_shared(tmp_path: Path) -> None:
    root, cache = tmp_path / "clone", tmp_path / "cache" / "uv"
    root.mkdir()
    assert install.disks_to_fill(root, cache) == [tmp_path]
    cache.mkdir(parents=True)
    assert install.disks_to_fill(root, cache) == []


def test_two_disks_are_filled_where_the_cache_is_on_another(tmp_path: Path) -> None:
    disk = tmp_path.stat().st_dev  # in memory, where there is room
    other = next(place for place in (Path("/dev/shm"), Path("/var/tmp")) if place.stat().st_dev != disk)
    assert install.disks_to_fill(tmp_path, other / "no-such-cache") == [other, tmp_path]
    assert install.disks_to_fill(tmp_path, other) == [tmp_path]


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
        "docs",
        "check",
        "faults",
        "bench",
        "coverage",
        "study",
        "format",
        "lock",
        "release",
        "clean",
    ]


# A small project with the real script, real environments, real pip and real uv.

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


def write_uv_wheel(folder: Path) -> str:
    """Writes the wheel that the uv of this environment came from, and answers its line for a lock file."""
    uv = metadata.distribution("uv")
    assert uv.files is not None
    about = f"uv-{uv.version}.dist-info"
    tag = re.search(r"(?m)^Tag: (.+)", uv.read_text("WHEEL") or "")
    assert tag is not None
    path = folder / f"uv-{uv.version}-{tag[1]}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in uv.files:
            if file.name == "uv" and file.parent.name == "bin":
                wheel.write(file.locate(), f"uv-{uv.version}.data/scripts/uv")
            elif file.parts[0] == about and file.name in ("METADATA", "WHEEL"):
                wheel.write(file.locate(), f"{about}/{file.name}")
        wheel.writestr(f"{about}/RECORD", "")
    return f"uv=={uv.version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder of wheels with uv, and the line of a lock file for it."""
    folder = tmp_path_factory.mktemp("wheels")
    return folder, write_uv_wheel(folder)


@pytest.fixture
def project(tmp_path: Path, wheels: tuple[Path, str]) -> Path:
    for name in (
        "deploy/install.py",
        "detseg/__init__.py",
        "detseg/uv.py",
        "detseg/errors.py",
        "detseg/escaping.py",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "wheels").symlink_to(wheels[0])
    (tmp_path / "uv.txt").write_text(wheels[1])
    lock(tmp_path, write_wheel(tmp_path, "1.0"))
    return tmp_path


def lock(project: Path, part: str) -> None:
    """Writes the lock file: uv, and the line for `part`."""
    (project / "requirements.lock").write_text((project / "uv.txt").read_text() + part)


def start_install(project: Path) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PIP_FIND_LINKS": f"{project} {project / 'wheels'}",
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "XDG_CACHE_HOME": str(project / "cache"),
    }
    command = [sys.executable, "-m", "deploy.install"]
    return subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True)


def run_install(project: Path) -> tuple[int, str]:
    """Exit code and what it said."""
    process = start_install(project)
    _, said = process.communicate()
    return process.returncode, said


def wait_for_turn(project: Path) -> tuple[str, int]:
    """What an installation says while another one is at work, and how it ends."""
    marker = project / ".venv" / install.MARKER
    with (project / "requirements.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        marker.write_text("4711\n")
        process = start_install(project)
        assert process.stderr is not None
        line = process.stderr.readline()
        marker.unlink()
    process.communicate()
    return line, process.returncode


def part_version(project: Path) -> str:
    code = "import part; print(part.version)"
    return subprocess.check_output([project / ".venv/bin/python", "-c", code], text=True).strip()


def test_installs_once_and_follows_the_lock(project: Path) -> None:
    code, said = run_install(project)
    assert code == 0, said
    assert "installing its 2 packages into .venv" in said
    assert part_version(project) == "1.0"
    assert json.loads((project / ".venv" / install.STAMP).read_text())["root"] == str(project)
    assert not (project / ".venv" / install.MARKER).exists()

    assert run_install(project) == (0, "")
    assert wait_for_turn(project) == (
        "detseg: waiting for process 4711, which installs into .venv; 3600 s at most\n",
        0,
    )

    lock(project, write_wheel(project, "2.0"))
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


def test_one_that_does_not_end_is_given_up(project: Path) -> None:
    lock_file = project / "requirements.lock"
    with lock_file.open("rb") as held, lock_file.open("rb") as lock:
        fcntl.flock(held, fcntl.LOCK_EX)
        words = "^another process has installed into .venv for more than 0 s: let it end, or stop it"
        with pytest.raises(install.InstallError, match=words):
            install.take_turn(lock, project / ".venv", longest_s=0.0)


def test_what_a_killed_installation_started_is_waited_for(project: Path) -> None:
    """uv goes on writing into .venv where only the process that started it is killed."""
    program = """
import sys
from pathlib import Path
from deploy.install import take_turn
from detseg.uv import run_and_read
with open(sys.argv[1], "rb") as lock:
    take_turn(lock, Path(".venv"))
    run_and_read(["sh", "-c", "echo $$; exec sleep 60"], tell=lambda line: print(line, flush=True))
"""
    command = [sys.executable, "-c", program, str(project / "requirements.lock")]
    with subprocess.Popen(command, cwd=install.ROOT, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        left = int(killed.stdout.readline())
        killed.kill()
    with (project / "requirements.lock").open("rb") as lock:
        try:
            with pytest.raises(install.InstallError, match="for more than 0 s"):
                install.take_turn(lock, project / ".venv", longest_s=0.0)
        finally:
            os.kill(left, signal.SIGKILL)
        install.take_turn(lock, project / ".venv", longest_s=20.0)


def test_a_moved_project_is_installed_anew(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert run_install(project)[0] == 0
    moved = tmp_path_factory.mktemp("elsewhere") / "project"
    project.rename(moved)
    code, said = run_install(moved)
    assert code == 0, said
    assert "was moved" in said
    assert part_version(moved) == "1.0"


def test_a_wrong_hash_and_a_missing_package_are_one_line(project: Path) -> None:
    lock(project, f"part==1.0 --hash=sha256:{'0' * 64}\n")
    code, said = run_install(project)
    assert code == 1
    assert "not the one that the lock file names" in said.splitlines()[-1]
    lock(project, f"part==3.0 --hash=sha256:{'0' * 64}\n")
    code, said = run_install(project)
    assert code == 1
    assert "not to be had for this machine" in said.splitlines()[-1]
    assert not (project / ".venv" / install.STAMP).exists()
