"""The pictures of ``docs/report.md``, made anew:

    python -m tests.report.pictures docs/pictures

The page of a made-up project, as Chromium shows it at 1400 and 400 pixels in the light and the dark theme.
`--tab map` takes those of one tab alone, and may be given again.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser

from detseg.metrics.cases import Case
from detseg.pipeline.image_map import lay_out
from detseg.report.data import TILE_PX, Alike, ImageMap, QaReport
from detseg.report.page import write_report
from detseg.types import ImageRef
from tests.e2e.page import browser
from tests.report.made import made_cases, made_waiting, read_scene
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
    ("labels", 1400, 1000, ("light",)),
    ("map", 1400, 1260, ("light",)),
)
_DUPLICATES = "duplicates"
_TILE = (TILE_PX, TILE_PX)


def take_pictures(folder: Path, tabs_wanted: Sequence[str] = ()) -> None:
    """Writes ``report-<tab>-<width>-<theme>.png``, of all tabs or of those that are wanted."""
    with tempfile.TemporaryDirectory() as temporary, browser() as tabs:
        path = Path(temporary) / "report.html"
        cases = made_cases(N_IMAGES)
        report = make_report(cases, limit=24, waiting=made_waiting(60))
        write_report(path, replace(report, map=_map(report, cases), alike=_alike(cases)))
        for tab, width, height, themes in _SHOTS:
            for theme in themes if not tabs_wanted or tab in tabs_wanted else ():
                name = f"report-{tab}-{width}-{theme}.png"
                _take(tabs, f"{path.as_uri()}#{tab}", folder / name, size=(width, height), theme=theme)
        if not tabs_wanted or _DUPLICATES in tabs_wanted:
            name = f"report-{_DUPLICATES}-1400-light.png"
            url, part = f"{path.as_uri()}#labels", "#label-duplicates"
            _take(tabs, url, folder / name, size=(1400, 900), theme="light", part=part)


def _map(report: QaReport, cases: Sequence[Case]) -> ImageMap:
    """The scenes by how they look small: their colours stand for what a backbone sees in them."""
    pictures = [Image.fromarray(read_scene(case.uri).rgb) for case in cases]
    small = [np.asarray(picture.resize((16, 16))).reshape(-1) for picture in pictures]
    places = lay_out(np.stack(small))
    points = []
    for point, picture, (x, y) in zip(report.map.points, pictures, places, strict=True):
        picture.thumbnail(_TILE)
        facts = replace(point.facts, cluster="")
        points.append(replace(point, x=float(x), y=float(y), thumbnail=picture, facts=facts))
    return ImageMap(tuple(points), f"{len(points)} of {len(points)} images, by how they look.")


def _alike(cases: Sequence[Case]) -> Alike:
    """Three clusters, each of a scene that is there several times."""
    clusters = [
        tuple(ImageRef(cases[n].image, f"/photos/{name}-{n}.png") for name in names)
        for n, names in (
            (3, ("camera", "archive", "small")),
            (8, ("camera", "mail")),
            (15, ("camera", "web")),
        )
    ]
    return Alike(len(clusters), sum(map(len, clusters)), tuple(clusters))


def _take(
    tabs: Browser, url: str, path: Path, *, size: tuple[int, int], theme: str, part: str | None = None
) -> None:
    """Takes what is in the window, or a part of the page as a whole."""
    page = tabs.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
    )
    page.goto(url)
    page.wait_for_load_state("networkidle")
    if url.endswith("#map"):  # coloured by class, with the pointer at an image
        page.locator("[data-colouring]", has_text="Class").click()
        page.locator(".plane circle").nth(7).hover()
    taken = page.locator(part).screenshot() if part is not None else page.screenshot()
    with Image.open(io.BytesIO(taken)) as picture:
        picture.convert("RGB").save(path, optimize=True)
    page.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tab", action="append", default=[])
    options = parser.parse_args()
    take_pictures(options.folder, options.tab)
