"""Programs that read what we write, and share no packages with us: datumaro and Cityscapes' own scripts.

They have an environment of their own in the user's cache, made once for each lock file: 630 MB, 20 seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from deploy.lock import ORACLES
from detseg.labelstudio.install import home
from detseg.locking import file_lock
from detseg.uv import run_uv, sync_environment

_PROGRAM = Path(__file__).with_name("oracle_reads.py")
_LONGEST_S = 600.0
"""Of an installation, and of an answer: a test that waits for ever says nothing."""


def ask(question: str, *folders: Path) -> Any:
    """What the program says of some folders, as JSON."""
    command = [str(_python()), str(_PROGRAM), question, *map(str, folders)]
    variables = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, check=False, timeout=_LONGEST_S
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@cache
def _python() -> Path:
    """The interpreter of the environment, which is made if it is not there. Two at once make it once."""
    digest = hashlib.sha256(ORACLES.read_bytes()).hexdigest()[:8]
    folder = home().parent / f"test-oracles-{digest}-{sys.version_info[0]}.{sys.version_info[1]}"
    python, complete = folder / "bin" / "python", folder / ".complete"
    with file_lock(Path(f"{folder}.lock"), what="the installation of the oracles", longest_s=_LONGEST_S):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            run_uv(["venv", "--quiet", "--python", sys.executable, str(folder)], python=Path(sys.executable))
            sync_environment(python, ORACLES, python=Path(sys.executable))
            complete.touch()
    return python
