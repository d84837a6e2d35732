"""The pictures of ``docs/report.md``, made anew:

    python -m tests.report.pictures docs/pictures

The page of a made-up project, as Chromium shows it at 1400 and 400 pixels in the light and the dark theme.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from detseg.report.page import write_report
from tests.e2e.page import browser
from tests.report.made import made_cases, made_waiting
from tests.report.reports import make_report

N_IMAGES = 240
_SHOTS = (
    ("answers", 1400, 1160, ("light", "dark")),
    ("answers", 400, 1400, ("light", "dark")),
    ("model", 1400, 1500, ("light",)),
    ("people", 1400, 1500, ("dark",)),
    ("suspects", 1400, 900, ("light",)),
    ("next", 1400, 900, ("light",)),
    ("examples", 1400, 900, ("light",)),
    ("examples", 400, 1200, ("dark",)),
)


def take_pictures(folder: Path) -> None:
    """Writes ``report-<tab>-<width>-<theme>.png``."""
    with tempfile.TemporaryDirectory() as temporary, browser() as tabs:
        path = Path(temporary) / "report.html"
        write_report(path, make_report(made_cases(N_IMAGES), limit=24, waiting=made_waiting(60)))
        for tab, width, height, themes in _SHOTS:
            for theme in themes:
                name = f"report-{tab}-{width}-{theme}.png"
                _take(tabs, f"{path.as_uri()}#{tab}", folder / name, size=(width, height), theme=theme)


def _take(tabs: Browser, url: str, path: Path, *, size: tuple[int, int], theme: str) -> None:
    page = tabs.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
    )
    page.goto(url)
    page.wait_for_load_state("networkidle")
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").save(path, optimize=True)
    page.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    take_pictures(parser.parse_args().folder)
