"""Runs pytest with a real browser and a real PostgreSQL: installs them where it may, else says so loudly.

Arguments are handed to pytest. Without a browser the tests marked `browser` are left out, without PostgreSQL
those marked `postgres`; a banner names them at the end, and where CI is set the run fails. The argument
``--only-install`` runs no tests.

The tests run in several processes, a file in one of them, each with servers of its own. Where CI is set,
those that fail run once more, alone: one that passes then is named at the end, one that fails again fails the
run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FAILED = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"  # pytest's own list
_MOST_AGAIN = 10  # so many that fail are no accident
_MOST_PROCESSES = 4  # each has torch, a Label Studio and a browser: 2 GB
_APART = Path("/usr/lib/postgresql")  # where Debian keeps PostgreSQL's programs, off the PATH


@dataclass(frozen=True)
class Tool:
    """A tool that the tests with its ``marker`` need. ``packages`` are Debian's."""

    marker: str
    name: str
    programs: tuple[str, ...]
    packages: tuple[str, ...]
    download: str

    @property
    def mend(self) -> str:
        return "sudo apt-get install " + " ".join(self.packages)

    def missing_programs(self) -> list[str]:
        found = {path.name for path in _APART.glob("*/bin/*")}
        return [name for name in self.programs if shutil.which(name) is None and name not in found]


TOOLS = (
    Tool("browser", "Chromium", ("chromium", "chromedriver"), ("chromium", "chromium-driver"), "100 MB"),
    Tool("postgres", "PostgreSQL", ("initdb", "postgres"), ("postgresql",), "50 MB"),
)


def as_root() -> list[str] | None:
    """Return what to put before a command that needs root; None where this user may not."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def install(tool: Tool) -> str | None:
    """Installs what is missing of the tool. Answers why it could not, or None when it is there."""
    if not tool.missing_programs():
        return None
    if shutil.which("apt-get") is None:
        return (
            f"there is no apt-get here: install {tool.name} so that {' and '.join(tool.programs)} are found"
        )
    prefix = as_root()
    if prefix is None:
        return f"installing it needs root: {tool.mend}"
    print(f"detseg: installing {tool.name} for the {tool.marker} tests ({tool.download})", file=sys.stderr)
    command = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq"]
    command += ["--no-install-recommends", *tool.packages]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:  # a new machine often has no package lists yet
        subprocess.run([*prefix, "apt-get", "update", "-qq"], capture_output=True)
        result = subprocess.run(command, capture_output=True, text=True)
    if tool.missing_programs():
        last = (result.stderr.strip() or "no message").splitlines()[-1]
        return f"apt-get could not install it ({last}): {tool.mend}"
    return None


def marked_tests(marker: str) -> list[str]:
    """The ids of the tests with that marker."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", marker]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    return [line for line in output.splitlines() if "::" in line]


def framed(*rows: str, tests: Iterable[str]) -> str:
    """Draw a frame, for the end of a run, around rows and the tests that they speak of."""
    return "\n".join(
        ["", "!" * 78, *(f"!! {row}" for row in (*rows, *(f"  {test}" for test in tests))), "!" * 78]
    )


def pass_alone(arguments: list[str]) -> bool:
    """Run the tests that failed once more, one after the other; if all pass now, name them and return True.

    A real server or browser fails now and then for what else a shared machine is doing. That is no reason to
    refuse a change, and none to keep silent about it.
    """
    failed = json.loads(_FAILED.read_text()) if _FAILED.is_file() else {}
    if not 0 < len(failed) <= _MOST_AGAIN:  # none: not a test failed, but pytest itself
        return False
    if subprocess.run([sys.executable, "-m", "pytest", "--last-failed", *arguments], cwd=ROOT).returncode:
        return False
    print(
        framed(f"{len(failed)} TESTS FAILED BESIDE OTHERS AND PASSED ALONE:", tests=failed), file=sys.stderr
    )
    return True


def side_by_side(n_processes: int) -> list[str]:
    """Options of pytest that run that many files at once, in the order in which they are collected.

    pytest-xdist would begin with those of the most tests, and end with few and long ones, a core idle.
    ``tests/workers.py`` names the long ones, which come first.
    """
    return ["-n", str(n_processes), "--dist", "loadfile", "--no-loadscope-reorder"]


def main(arguments: list[str]) -> int:
    reasons = {tool: reason for tool in TOOLS if (reason := install(tool)) is not None}
    if arguments == ["--only-install"]:
        for reason in reasons.values():
            print(f"detseg: {reason}", file=sys.stderr)
        return 0
    chosen = ["-m", " and ".join(f"not {tool.marker}" for tool in reasons)] if reasons else []
    n_cores = os.cpu_count() or 1
    n_processes = min(n_cores, _MOST_PROCESSES)
    command = [sys.executable, "-m", "pytest", *side_by_side(n_processes), *chosen, *arguments]
    environment = {"OMP_NUM_THREADS": str(n_cores // n_processes)} | os.environ  # torch's threads would wait
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or each program of the tests compiles all of detseg
    code = subprocess.run(command, cwd=ROOT, env=environment).returncode
    if code == 1 and os.environ.get("CI") and pass_alone([*chosen, *arguments]):
        code = 0
    for tool, reason in reasons.items():
        if left_out := marked_tests(tool.marker):
            print(
                framed(f"{len(left_out)} TESTS DID NOT RUN: no {tool.name} here.", reason, tests=left_out),
                file=sys.stderr,
            )
            code = code or int(bool(os.environ.get("CI")))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
