"""Builds the wheel and the sdist of a release into dist/, and checks them where nothing else is installed.

    make release

The wheel is built from the sdist, so what the sdist lacks is missed here. Then the wheel is installed into a
fresh environment, with what it declares and nothing of the tools that develop it, and predicts a picture from
an empty folder. Publishing is left to whoever may do that: `uv publish dist/*`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import detseg
from detseg.errors import DetsegError, InstallError
from detseg.pipeline.demo import write_scenes
from detseg.uv import run_uv

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
LOCK = ROOT / "requirements.lock"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def check_changelog(text: str, version: str) -> None:
    """Raise InstallError unless the changelog has a dated heading for the version."""
    if not re.search(rf"(?m)^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", text):
        raise InstallError(
            f"CHANGELOG.md has no heading `## [{version}] - YYYY-MM-DD`: give what is unreleased that "
            "heading, or set detseg.__version__"
        )


def build() -> Path:
    """Build dist/ anew, and return the wheel's path."""
    shutil.rmtree(DIST, ignore_errors=True)
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # what setuptools built before
    python = Path(sys.executable)
    command = ["build", "--quiet", "--no-build-isolation", "--python", str(python), "--out-dir", str(DIST)]
    run_uv([*command, str(ROOT)], python=python, tell=say)
    (wheel,) = DIST.glob("*.whl")
    return wheel


def install_fresh(wheel: Path, environment: Path) -> Path:
    """Install the wheel with what it declares, in the lock file's versions. Return the folder of commands."""
    python = Path(sys.executable)
    run_uv(["venv", "--quiet", "--python", str(python), str(environment)], python=python, tell=say)
    options = ["--quiet", "--python", str(environment), "--constraint", str(LOCK)]
    run_uv(["pip", "install", *options, str(wheel)], python=python, tell=say)
    return environment / "bin"


def try_out(commands: Path, folder: Path) -> None:
    """Run the installed commands in an empty folder. Raises InstallError for what they should not say."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*command: str) -> str:
        result = subprocess.run(
            [str(commands / command[0]), *command[1:]],
            cwd=folder,
            env=environment | {"HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise InstallError(f"{' '.join(command)} ended with {result.returncode}: {result.stderr.strip()}")
        return result.stdout

    version = run("detseg", "--version").strip()
    if version != f"detseg {detseg.__version__}":
        raise InstallError(f"the wheel says {version!r}, the project is {detseg.__version__}")
    run("detseg", "init")
    run("python", "-c", "import flows.preannotate, detseg.cli.app")
    write_scenes(folder / "images", 1, seed=0)
    predicted = json.loads(run("detseg", "predict", "images", "--out", "found", "--json"))
    if not predicted or not (folder / "found" / "predictions.json").is_file():
        raise InstallError(f"detseg predict found nothing in a scene of the samples: {predicted}")


def main() -> int:
    try:
        check_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), detseg.__version__)
        wheel = build()
        with tempfile.TemporaryDirectory(prefix="detseg-release-") as folder:
            say(f"detseg: installing {wheel.name} into a fresh environment")
            commands = install_fresh(wheel, Path(folder) / "environment")
            empty = Path(folder) / "empty"
            empty.mkdir()
            try_out(commands, empty)
    except DetsegError as error:
        say(f"detseg: {error}")
        return 1
    say(
        "detseg: "
        + " and ".join(sorted(path.name for path in DIST.glob("detseg-*")))
        + " are in dist/, and work"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
