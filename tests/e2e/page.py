"""Label Studio's page in a real Chromium, driven as a person does: log in, open a task, drag, delete, submit.

The page's own store (``window.Htx``) is only read, to know what is drawn and where the image lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from detseg.labelstudio.server import Connection
from detseg.types import Size

CHROMIUM = "/usr/bin/chromium"
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
_REGIONS = """() => (window.Htx?.annotationStore?.selected?.regions ?? []).map(
    region => ({id: region.cleanId, type: region.type, labels: region.labels ?? []}))"""
_STAGE = """() => {
    const image = window.Htx.annotationStore.selected.names.get("image")
    const frame = document.querySelector(".konvajs-content").getBoundingClientRect()
    return {x: frame.x, y: frame.y, width: image.stageWidth, height: image.stageHeight}
}"""


@dataclass(frozen=True, slots=True)
class DrawnRegion:
    """A region as the page lists it: the id of its result, its type and its label."""

    id: str
    type: str
    label: str


@dataclass(frozen=True, slots=True)
class LabelingPage:
    """A browser tab that is logged in. ``requested`` collects the hosts that it asked anything from."""

    page: Page
    url: str
    requested: set[str]

    def open_task(self, project: int, task: int, *, n_regions: int) -> None:
        """Open a task in the quick view and wait until that many regions and the image are there."""
        self.page.goto(f"{self.url}/projects/{project}/data?task={task}")
        self.page.wait_for_function(
            """n => {
                const selected = window.Htx?.annotationStore?.selected
                const image = selected?.names?.get("image")
                return selected?.regions?.length === n && image?.stageWidth > 0
                    && image.currentImageEntity?.imageLoaded
                    && selected.regions.every(region => region.type !== "brushregion" || region.imageData)
            }""",
            arg=n_regions,
        )
        self.page.wait_for_load_state("networkidle")

    def regions(self) -> tuple[DrawnRegion, ...]:
        """What is drawn now, in the order of the list at the side."""
        drawn = self.page.evaluate(_REGIONS)
        return tuple(DrawnRegion(r["id"], r["type"], (r["labels"] or [""])[0]) for r in drawn)

    def listed_labels(self) -> list[str]:
        """The labels that the side panel shows, one per region."""
        return self.page.locator(".lsf-tree__node .lsf-outliner-item__title").all_inner_texts()

    def on_screen(self, x: float, y: float, *, size: Size) -> tuple[int, int]:
        """Where a pixel of the image lies in the tab."""
        stage = self.page.evaluate(_STAGE)
        return (
            round(stage["x"] + x * stage["width"] / size.width),
            round(stage["y"] + y * stage["height"] / size.height),
        )

    def drag(self, start: tuple[float, float], end: tuple[float, float], *, size: Size) -> None:
        """Drag with the mouse from one image pixel to another."""
        (x0, y0), (x1, y1) = (self.on_screen(*point, size=size) for point in (start, end))
        self.page.mouse.move(x0, y0)
        self.page.mouse.down()
        self.page.mouse.move(x1, y1, steps=20)
        self.page.mouse.up()

    def delete(self, region_id: str) -> None:
        """Choose a region in the side panel and press Backspace."""
        ids = [region.id for region in self.regions()]
        self.page.locator(".lsf-tree__node").nth(ids.index(region_id)).click()
        self.page.keyboard.press("Backspace")
        self.page.wait_for_function(
            "id => !window.Htx.annotationStore.selected.regions.some(region => region.cleanId === id)",
            arg=region_id,
        )

    def submit(self, task: int) -> None:
        """Press Submit and wait until the server has it."""
        with self.page.expect_response(
            lambda answer: f"/api/tasks/{task}/annotations" in answer.url and answer.request.method == "POST"
        ) as submitted:
            self.page.get_by_role("button", name="Submit").click()
        assert submitted.value.status == 201

    def picture(self, path: Path) -> None:
        """A screenshot of what the tab shows."""
        self.page.screenshot(path=path)


@contextmanager
def browser() -> Iterator[Browser]:
    """A fresh headless Chromium."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(_FLAGS))
        try:
            yield launched
        finally:
            launched.close()


@contextmanager
def labeling_page(connection: Connection, *, width: int = 1400, height: int = 900) -> Iterator[LabelingPage]:
    """A tab of a fresh headless Chromium, logged in as the connection's user."""
    with browser() as tabs:
        page = tabs.new_page(viewport={"width": width, "height": height})
        requested: set[str] = set()
        page.set_default_timeout(120_000)
        page.on("request", lambda request: requested.add(request.url.split("/")[2]))
        page.goto(f"{connection.url}/user/login/")
        page.fill("input[name=email]", connection.username or "")
        page.fill("input[name=password]", connection.password or "")
        page.click("button[type=submit]")
        page.wait_for_function("() => !location.pathname.includes('login')")
        yield LabelingPage(page, connection.url, requested)
