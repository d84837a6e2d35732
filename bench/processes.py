"""The parent's side: contenders as processes of their own that wait until it is their turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PIXELTABLE = "0.7.21"
_OOM_SCORE = "1000"


class ContenderFailed(Exception):
    """A contender that is not there any more, and what it said last."""


class Worker:
    """A module of this package, run by some Python. It works only while it is asked."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        python: str = sys.executable,
        folder: Path,
        threads: int,
    ) -> None:
        self._module = module
        self._log = folder / f"{module}-{len(list(folder.glob('*.log')))}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, "-m", f"bench.{module}", *arguments],
                cwd=folder,
                env=environment(folder, threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        first_to_go(self._process.pid)

    def ask(self, what: str, **arguments: Any) -> Any:
        """The answer, waited for. ContenderFailed if the process ends instead."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": what} | arguments) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ContenderFailed(f"{self._module} ended with {self._process.wait()}: {self._last_words()}")
        return json.loads(line)

    def stop(self) -> None:
        """Lets it end by itself, so that it can clean up."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def environment(folder: Path, threads: int) -> dict[str, str]:
    """The same for every contender: no hub, no GPU, all threads, and a compiler's cache that begins empty."""
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": str(threads),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
    }


def first_to_go(pid: int) -> None:
    """Make the kernel end this process, and not somebody else's, where memory runs out."""
    score = Path(f"/proc/{pid}/oom_score_adj")
    if score.exists():
        score.write_text(_OOM_SCORE)


def peak_of_command(arguments: Sequence[str], *, folder: Path, threads: int) -> int:
    """The most memory, in bytes, that ``detseg`` with these arguments holds, as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "detseg", *arguments],
        cwd=folder,
        env=environment(folder, threads),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ContenderFailed(f"detseg ended with {process.returncode}: {said.strip()[-300:]}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def versions(distributions: Sequence[str]) -> Mapping[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in distributions}


def pixeltable_python(given: Path | None) -> str:
    """The Python of an environment with pixeltable and our versions of its libraries, made if need be."""
    if given is not None:
        return str(given.absolute())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "detseg" / f"bench-pixeltable-{PIXELTABLE}"
    python, done = folder / "bin" / "python", folder / ".complete"
    shared = versions(("torch", "torchvision", "transformers", "timm"))
    wanted = [f"pixeltable=={PIXELTABLE}", *(f"{name}=={number}" for name, number in shared.items())]
    if not done.exists() or done.read_text() != "\n".join(wanted):
        print(f"installing pixeltable {PIXELTABLE} into {folder}, this once", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
        done.write_text("\n".join(wanted))
    return str(python)
