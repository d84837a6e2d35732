"""status without servers."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run


def test_status_of_nothing_says_so_and_makes_nothing(run: Run, tmp_path: Path) -> None:
    assert run("status", "--json").json == {
        "label_studio": {"running": False, "healthy": False, "url": None},
        "prefect": {"running": False, "url": None},
        "catalog": {"images": 0, "projects": []},
        "state_dir": str(tmp_path / ".detseg"),
    }
    assert run("status").out.splitlines()[:2] == [
        "Label Studio  does not run (`detseg up` starts it)",
        "Prefect       does not run (`detseg up` starts it)",
    ]
    assert list(tmp_path.iterdir()) == []
