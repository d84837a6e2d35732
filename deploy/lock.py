"""Writes requirements.lock and detseg/labelstudio/requirements.lock: every package with its hashes.

Resolves for every platform and for Python 3.11 upwards, from the public registry alone: the machine's own pip
and uv settings (mirrors, folders of wheels) stay out, so that the files come out the same everywhere.
Pins that still fit stay; `--upgrade` takes the newest that fit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = "uv==0.13.8"
SERVER = "label-studio==1.23.2"
OPTIONS = ("--universal", "--generate-hashes", "--python-version", "3.11", "--no-config", "--quiet")


def clean_environment(environment: dict[str, str]) -> dict[str, str]:
    """The environment without the variables that name other indexes or folders of wheels."""
    return {name: value for name, value in environment.items() if not name.startswith(("PIP_", "UV_"))}


def compile_lock(uv: Path, source: str, output: Path, *, text: str | None, options: list[str]) -> None:
    """Writes one lock file; `source` is a file of the project, or "-" for `text`."""
    command = [str(uv), "pip", "compile", source, *OPTIONS, *options, "--output-file", str(output)]
    command += ["--custom-compile-command", "make lock"]
    subprocess.run(
        command, cwd=ROOT, env=clean_environment(dict(os.environ)), input=text, text=True, check=True
    )


def main(options: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        bin_folder = Path(folder, "bin")
        subprocess.run([str(bin_folder / "pip"), "install", "--quiet", UV], check=True)
        uv = bin_folder / "uv"
        project_lock = ROOT / "requirements.lock"
        compile_lock(uv, "pyproject.toml", project_lock, text=None, options=["--extra", "dev", *options])
        server_lock = ROOT / "detseg" / "labelstudio" / "requirements.lock"
        compile_lock(uv, "-", server_lock, text=SERVER + "\n", options=options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
