"""Writes the three lock files, of the project, the server and the tests' oracles: packages with hashes.

Resolves for every platform and for Python 3.11 upwards, from the public registry alone: the machine's own pip
and uv settings (mirrors, folders of wheels) stay out, so that the files come out the same everywhere.
Pins that still fit stay; `--upgrade` takes the newest that fit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from detseg.labelstudio.install import LOCK_FILE, VERSION

ROOT = Path(__file__).resolve().parent.parent
ORACLES = ROOT / "tests" / "formats" / "oracles.lock"
ORACLES_TEXT = "datumaro==1.13.12\ncityscapesscripts==2.3.0\n"
"""What tests compare formats with; datumaro's Pillow and pyarrow are older than this project's."""

OPTIONS = ("--universal", "--generate-hashes", "--python-version", "3.11", "--no-config", "--quiet")


def clean_environment(environment: dict[str, str]) -> dict[str, str]:
    """The environment without the variables that name other indexes or folders of wheels."""
    return {name: value for name, value in environment.items() if not name.startswith(("PIP_", "UV_"))}


def compile_lock(source: str, output: Path, *, text: str | None, options: list[str]) -> None:
    """Writes one lock file; `source` is a file of the project, or "-" for `text`."""
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "compile", source, *OPTIONS, *options, "--output-file", str(output)]
    command += ["--custom-compile-command", "make lock"]
    subprocess.run(
        command, cwd=ROOT, env=clean_environment(dict(os.environ)), input=text, text=True, check=True
    )


def main(options: list[str]) -> int:
    project = ["--extra", "dev", "--extra", "docs", *options]
    compile_lock("pyproject.toml", ROOT / "requirements.lock", text=None, options=project)
    compile_lock("-", LOCK_FILE, text=f"label-studio=={VERSION}\n", options=options)
    compile_lock("-", ORACLES, text=ORACLES_TEXT, options=options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
