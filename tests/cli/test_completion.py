"""Completion in a real shell: what the Tab key offers, by the script that ``--show-completion`` prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_OFFER = """eval "$(detseg --show-completion)"
for words in "$@"; do
    read -ra typed <<< "$words"
    COMP_WORDS=(detseg "${typed[@]}")
    COMP_CWORD=${#typed[@]}
    _detseg_completion detseg
    echo "${COMPREPLY[*]}"
done
"""


def offered(*typed: str) -> list[list[str]]:
    """What bash offers for each of the lines; the last word of each is being typed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    answer = subprocess.run(
        ["bash", "-c", _OFFER, "bash", *typed],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": path},
    )
    return [line.split() for line in answer.stdout.splitlines()]


def test_bash_offers_commands_their_flags_and_the_values_of_these() -> None:
    assert offered("pre", "preannotate --pred", "preannotate --engine c", "nothing") == [
        ["preannotate", "predict"],
        ["--predictions"],
        ["compile"],
        [],
    ]
