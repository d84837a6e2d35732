"""Builds the documentation as build/site: strict, so that a dead link or anchor fails.

What a page loads (scripts, styles, fonts, pictures) has to be part of the site: a reader's browser asks no
other server. Links that a reader follows may lead anywhere.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "build" / "site"
_LOADS = {"href": ("link",), "src": ("script", "img", "iframe", "source", "video", "audio", "embed", "input")}
_LOADS_NOTHING = ("canonical", "prev", "next", "alternate", "license")  # what <link> only names
_ELSEWHERE = re.compile(r"(?:https?:)?//")
_STYLE_LOADS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


class _Page(HTMLParser):
    """Collects the addresses on other servers that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and given.get("rel") in _LOADS_NOTHING:
            return
        self.loaded += [
            given[name]
            for name, tags in _LOADS.items()
            if tag in tags and _ELSEWHERE.match(given.get(name, ""))
        ]
        self.loaded += _STYLE_LOADS.findall(given.get("style", ""))


def loaded_from_elsewhere(site: Path) -> Iterator[str]:
    """Yield a line for each address on another server that a page or a style sheet of the site loads."""
    for path in sorted(site.rglob("*.html")):
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        yield from (f"{path.relative_to(site)} loads {address}" for address in page.loaded)
    for path in sorted(site.rglob("*.css")):
        addresses = _STYLE_LOADS.findall(path.read_text(encoding="utf-8"))
        yield from (f"{path.relative_to(site)} loads {address}" for address in addresses)


def main() -> int:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(SITE)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    code = subprocess.run(command, cwd=ROOT, env=environment).returncode
    if code:
        return code
    problems = list(loaded_from_elsewhere(SITE))
    print("\n".join(problems) or f"detseg: the documentation is in {SITE / 'index.html'}", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
