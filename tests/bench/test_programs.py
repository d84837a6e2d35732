"""The programs that benchmarks run in processes of their own: texts, which no linter reads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def programs() -> Iterator[tuple[str, str]]:
    """The texts in ``bench/`` that import from detseg, each with its place."""
    for path in sorted(BENCH.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and "\nfrom detseg." in text:
                yield f"{path.relative_to(BENCH)}:{node.lineno}", text


PROGRAMS = dict(programs())


def test_there_are_such_programs() -> None:
    assert {"datasets.py", "qa.py"} <= {place.partition(":")[0] for place in PROGRAMS}


@pytest.mark.parametrize("place", PROGRAMS)
def test_what_a_program_imports_is_there(place: str) -> None:
    for node in ast.walk(ast.parse(PROGRAMS[place])):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("detseg"):
            module = import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@pytest.mark.parametrize("place", PROGRAMS)
def test_a_program_uses_no_name_that_is_not_there(place: str) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "-"]
    checked = subprocess.run(command, input=PROGRAMS[place], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
