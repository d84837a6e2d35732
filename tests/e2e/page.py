"""Label Studio's page in a real Chromium, driven as a person does: log in, open a task, drag, delete, submit.

The page's own store (``window.Htx``) is only read, to know what is drawn and where the image lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

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
_PATIENCE = 120_000  # milliseconds, on a busy machine
_REGIONS = """() => (window.Htx?.annotationStore?.selected?.regions ?? []).map(
    region => ({id: region.cleanId, type: region.type, labels: region.labels ?? []}))"""
_ON_SCREEN = """([px, py]) => {
    const image = [...window.Htx.annotationStore.selected.names.values()].find(tag => tag.type === "image")
    const frame = document.querySelector(".konvajs-content").getBoundingClientRect()
    const [xx, yx, xy, yy, x0, y0] = image.stageRef.getAbsoluteTransform().m  // zoomed, moved, turned
    const x = px * image.stageWidth, y = py * image.stageHeight
    return [frame.x + x0 + xx * x + xy * y, frame.y + y0 + yx * x + yy * y]
}"""

_PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"

_HOTKEY = """([control, label]) => window.Htx.annotationStore.selected.names.get(control).children
    .find(child => child._value === label).hotkey"""
_TOOL = """() => [...window.Htx.annotationStore.selected.names.values()].find(tag => tag.type === "image")
    .getToolsManager().findSelectedTool().toolName"""
_CHOSEN = "() => window.Htx.annotationStore.selected.selectedRegions.map(region => region.cleanId)"
_CORNERS = """id => window.Htx.annotationStore.selected.regions.find(region => region.cleanId === id)
    .points.map(point => [point.x / 100, point.y / 100])"""
_ERASERS = """() => [...window.Htx.annotationStore.selected.names.values()]
    .map(control => ({brushlabels: "brush", bitmasklabels: "bitmask"})[control.type]).filter(Boolean)"""


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
                const image = [...(selected?.names?.values() ?? [])].find(tag => tag.type === "image")
                return selected?.regions?.length === n && image?.stageWidth > 0 && image.stageRef
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
        """The labels that the side panel shows, once it has a row for each region."""
        titles = self.page.locator(".lsf-tree__node .lsf-outliner-item__title")
        expect(titles).to_have_count(len(self.regions()), timeout=_PATIENCE)
        return titles.all_inner_texts()

    def on_screen(self, x: float, y: float, *, size: Size) -> tuple[int, int]:
        """Where a pixel of the image lies in the tab."""
        screen_x, screen_y = self.page.evaluate(_ON_SCREEN, [x / size.width, y / size.height])
        return round(screen_x), round(screen_y)

    def click(self, place: tuple[float, float], *, size: Size, held: str = "") -> None:
        """Click an image pixel, with a key held down or not."""
        self._painted()
        if held:
            self.page.keyboard.down(held)
        self.page.mouse.click(*self.on_screen(*place, size=size))
        if held:
            self.page.keyboard.up(held)

    def draw_along(self, path: Sequence[tuple[float, float]], *, size: Size) -> None:
        """Drag with the mouse along straight pieces."""
        self._painted()
        first, *others = (self.on_screen(*point, size=size) for point in path)
        self.page.mouse.move(*first)
        self.page.mouse.down()
        for point in others:
            self.page.mouse.move(*point, steps=8)
        self.page.mouse.up()

    def corners(self, region_id: str, *, size: Size) -> list[tuple[float, float]]:
        """The corners of a polygon, in image pixels."""
        shares = self.page.evaluate(_CORNERS, region_id)
        return [(x * size.width, y * size.height) for x, y in shares]

    def tool(self) -> str:
        """The name of the tool that the mouse has."""
        return str(self.page.evaluate(_TOOL))

    def drag(self, start: tuple[float, float], end: tuple[float, float], *, size: Size) -> None:
        """Drag with the mouse from one image pixel to another."""
        self._painted()
        (x0, y0), (x1, y1) = (self.on_screen(*point, size=size) for point in (start, end))
        self.page.mouse.move(x0, y0)
        self.page.mouse.down()
        self.page.mouse.move(x1, y1, steps=20)
        self.page.mouse.up()

    def wait_chosen(self, region_id: str) -> None:
        """Wait until that region, and no other, is chosen."""
        self.page.wait_for_function(f"id => ({_CHOSEN})().join() === id", arg=region_id)

    def select(self, region_id: str) -> None:
        """Choose a region in the side panel, which has each one's number."""
        number = [region.id for region in self.regions()].index(region_id) + 1
        self.page.locator(".lsf-tree__node").filter(
            has=self.page.locator(".lsf-outliner-item__index", has_text=re.compile(rf"^{number}$"))
        ).click()
        self.page.wait_for_function(
            "id => window.Htx.annotationStore.selected.selectedRegions.some(region => region.cleanId === id)",
            arg=region_id,
        )

    def choose(self, control: str, label: str) -> None:
        """Press the key of a label: new regions get it, and so does a selected one."""
        self.page.keyboard.press(self.page.evaluate(_HOTKEY, [control, label]))

    def unselect(self) -> None:
        """Press Escape."""
        self.page.keyboard.press("Escape")

    def erase(self, region_id: str, start: tuple[float, float], end: tuple[float, float], size: Size) -> None:
        """Rub along a line in a brush mask or a bitmask, with the eraser of its kind."""
        kinds = {"brushregion": "brush", "bitmaskregion": "bitmask"}
        offered = self.page.evaluate(_ERASERS)
        kind = kinds[next(region.type for region in self.regions() if region.id == region_id)]
        self.select(region_id)
        self.page.locator(".lsf-toolbar [aria-label=eraser]").nth(offered.index(kind)).click()
        self.drag(start, end, size=size)
        self.page.locator(".lsf-toolbar [aria-label=move-tool]").click()
        self.unselect()

    def draw(self, start: tuple[float, float], end: tuple[float, float], *, size: Size) -> str:
        """Drag something new with what was chosen; the id of the region that this made."""
        before = {region.id for region in self.regions()}
        self.drag(start, end, size=size)
        return self._new_region(before)

    def turn(self) -> None:
        """Turn the image to the right by 90 degrees, where the interface has a button for it."""
        self.page.locator(".lsf-toolbar [aria-label=rotate-right]").click()

    def draw_polygon(self, points: Sequence[tuple[float, float]], *, size: Size) -> str:
        """Click the corners and the first again; the id of the region that this made."""
        before = {region.id for region in self.regions()}
        for point in points:
            self._painted()
            self.page.mouse.click(*self.on_screen(*point, size=size))
        self._painted()
        first = self.on_screen(*points[0], size=size)
        self.page.mouse.move(*first, steps=5)
        self.page.wait_for_function(
            "() => window.Htx.annotationStore.selected.regions.some(region => region.mouseOverStartPoint)"
        )
        self.page.mouse.click(*first)
        return self._new_region(before)

    def _painted(self) -> None:
        """Wait until the page shows what it knows: the mouse hits only what is painted."""
        self.page.evaluate(_PAINTED)

    def _new_region(self, before: set[str]) -> str:
        self.page.wait_for_function(
            """n => {
                const regions = window.Htx.annotationStore.selected.regions
                return regions.length === n && regions.every(region => !region.isDrawing)
            }""",
            arg=len(before) + 1,
        )
        self.unselect()
        (made,) = {region.id for region in self.regions()} - before
        return made

    def delete(self, region_id: str) -> None:
        """Choose a region in the side panel and press Backspace."""
        self.select(region_id)
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

    def update(self) -> None:
        """Press Update, in a task that was submitted, and wait until the server has it."""
        with self.page.expect_response(
            lambda answer: "/api/annotations/" in answer.url and answer.request.method == "PATCH"
        ) as updated:
            self.page.locator("button", has_text=re.compile("^Update$")).click()
        assert updated.value.status == 200

    def picture(self, path: Path) -> None:
        """A screenshot of what the tab shows."""
        self._painted()
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
        page.set_default_timeout(_PATIENCE)
        page.on("request", lambda request: requested.add(request.url.split("/")[2]))
        page.goto(f"{connection.url}/user/login/")
        page.fill("input[name=email]", connection.username or "")
        page.fill("input[name=password]", connection.password or "")
        page.click("button[type=submit]")
        page.wait_for_function("() => !location.pathname.includes('login')")
        yield LabelingPage(page, connection.url, requested)
