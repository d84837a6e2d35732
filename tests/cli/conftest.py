"""The command line in this process, and tiny checkpoints for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from detseg.cli import main
from tests.models import tiny

THINGS = ("bolt", "nut")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout; fails if there is anything else."""
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command in an empty folder, without settings from outside."""
    monkeypatch.chdir(tmp_path)
    for name in ("SOURCE", "DETECTOR", "SEGMENTER", "CATALOG", "PROJECT", "STATE_DIR"):
        monkeypatch.delenv(f"DETSEG_{name}", raising=False)

    def run_command(*argv: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["detseg", *map(str, argv)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capfd.readouterr()
        print(captured.err, end="", file=sys.stderr)  # for the report of a test that fails
        code = stopped.value.code
        return Outcome(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run_command


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Flags that name a tiny detector and a tiny segmenter."""
    root = tmp_path_factory.mktemp("tiny")
    detector = tiny.save("rt_detr_v2", root / "detector", labels=THINGS)
    segmenter = tiny.save("mask2former", root / "segmenter", labels=(*THINGS, "belt"))
    return ("--detector", str(detector), "--segmenter", str(segmenter))
