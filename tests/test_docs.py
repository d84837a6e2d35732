"""What the documents say exists: links, make targets, commands, and the rooms on the map."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = tuple(sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]))


def by_path(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_of(text: str) -> str:
    """The fenced blocks, without comments, and the inline code of a document."""
    fenced = re.findall(r"(?ms)^```\w*\n(.*?)^```", text)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", text))
    return "\n".join([*(re.sub(r"(?m)(?:^|\s)#.*$", "", block) for block in fenced), *inline])


@pytest.mark.parametrize("path", DOCUMENTS, ids=by_path)
def test_links_and_pictures_exist(path: Path) -> None:
    text = path.read_text()
    targets = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    local = [target.split("#")[0] for target in targets if not re.match(r"https?://|#|mailto:", target)]
    missing = [target for target in local if not (path.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("path", DOCUMENTS, ids=by_path)
def test_make_targets_exist(path: Path) -> None:
    named = set(re.findall(r"(?m)(?:^|\s)make (?:PYTHON=\S+ )?([a-z]+)", code_of(path.read_text())))
    known = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))
    assert named <= known


@pytest.mark.parametrize("path", DOCUMENTS, ids=by_path)
def test_commands_exist(path: Path, commands: frozenset[str]) -> None:
    named = set(re.findall(r"(?m)(?:^|[\s/])detseg ([a-z]+)", code_of(path.read_text())))
    assert named <= commands


@pytest.fixture(scope="module")
def commands() -> frozenset[str]:
    """The commands that `detseg --help` lists."""
    result = subprocess.run(
        [sys.executable, "-m", "detseg", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = result.stdout.partition("Commands")[2]
    return frozenset(re.findall(r"(?m)^[\s│|]*([a-z]+)\s{2,}", listed))


def test_the_map_shows_every_room() -> None:
    shown = re.findall(r"(?m)^\| `([\w/.]+)` \|", (ROOT / "CONTRIBUTING.md").read_text())
    rooms = {
        f"detseg/{path.name}" + "/" * path.is_dir()
        for path in (ROOT / "detseg").iterdir()
        if not path.name.startswith("__") and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    assert sorted(shown) == sorted({*rooms, "flows/"})


def test_the_map_has_the_order_that_the_rules_hold() -> None:
    from tests.architecture import ROOMS

    shown = re.findall(r"(?m)^\| `detseg/(\w+)", (ROOT / "CONTRIBUTING.md").read_text())
    assert shown == [room for room in ROOMS if room in shown]


def test_code_is_found_in_documents() -> None:
    text = "see `make demo`\n```sh\ndetseg qa   # detseg is here\n```\nand not make this or detseg that"
    assert code_of(text).split("\n") == ["detseg qa  ", "", "make demo"]
