"""Runs pytest with a real browser: installs Chromium where it may, else says loudly what is left out.

Arguments are handed to pytest. Without a browser the tests marked `browser` are left out, a banner names them
at the end, and where CI is set the run fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("chromium", "chromedriver")
PACKAGES = ("chromium", "chromium-driver")
MEND = "sudo apt-get install " + " ".join(PACKAGES)


def missing_programs() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]


def as_root() -> list[str] | None:
    """What to put before a command that needs root; None where this user may not."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def install_browser() -> str | None:
    """Installs what is missing of the browser. Answers why it could not, or None when it is there."""
    if not missing_programs():
        return None
    if shutil.which("apt-get") is None:
        return "there is no apt-get here: install Chromium and chromedriver so that both are on the PATH"
    prefix = as_root()
    if prefix is None:
        return f"installing it needs root: {MEND}"
    print(
        "detseg: installing chromium and chromium-driver for the browser tests (100 MB)",
        file=sys.stderr,
    )
    install = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq"]
    install += ["--no-install-recommends", *PACKAGES]
    result = subprocess.run(install, capture_output=True, text=True)
    if result.returncode:  # a new machine often has no package lists yet
        subprocess.run([*prefix, "apt-get", "update", "-qq"], capture_output=True)
        result = subprocess.run(install, capture_output=True, text=True)
    if missing_programs():
        last = (result.stderr.strip() or "no message").splitlines()[-1]
        return f"apt-get could not install it ({last}): {MEND}"
    return None


def browser_tests() -> list[str]:
    """The ids of the tests that need the browser."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "browser"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    return [line for line in output.splitlines() if "::" in line]


def banner(reason: str, tests: list[str]) -> str:
    """What stands at the end of a run that left tests out."""
    rows = [
        f"{len(tests)} TESTS DID NOT RUN: no Chromium here.",
        reason,
        *(f"  {test}" for test in tests),
    ]
    return "\n".join(["", "!" * 78, *(f"!! {row}" for row in rows), "!" * 78])


def main(arguments: list[str]) -> int:
    reason = install_browser()
    command = [sys.executable, "-m", "pytest", *arguments]
    if reason is None:
        return subprocess.run(command, cwd=ROOT).returncode
    code = subprocess.run([*command, "-m", "not browser"], cwd=ROOT).returncode
    print(banner(reason, browser_tests()), file=sys.stderr)
    return code or int(bool(os.environ.get("CI")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
