"""pip install: the package is whole."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The project's wheel, built from a copy so that nothing is left in the working tree."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for folder in ("detseg", "flows"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    built = subprocess.run([*command, "--wheel-dir", out, copy], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob("detseg-*.whl")
    return zipfile.Path(path)


def test_the_wheel_holds_every_file(wheel: zipfile.Path) -> None:
    names = set(wheel.root.namelist())
    expected = {
        str(path.relative_to(ROOT))
        for folder in ("detseg", "flows")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name and not name.endswith("/")} == expected
    assert "detseg/labelstudio/requirements.lock" in names
    assert not [name for name in names if name.startswith(("bench", "deploy", "tests"))]


def test_the_wheel_puts_detseg_on_the_path(wheel: zipfile.Path) -> None:
    (about,) = [name for name in wheel.root.namelist() if name.endswith("entry_points.txt")]
    assert "detseg = detseg.cli:main" in wheel.root.read(about).decode()
    assert any(name.endswith("licenses/LICENSE") for name in wheel.root.namelist())
