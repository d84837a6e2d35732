"""The page in Chromium: without network or script, by keyboard, in both themes, on paper."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from detseg.report.page import write_page, write_report
from tests.report.made import made_cases
from tests.report.reports import dataset_pages, hostile_report, listing, make_report, titled

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
TABS = ["Answers", "Model", "People", "Labels", "Map", "Suspects", "Next", "Examples", "Terms"]
LONG = "<img src=x onerror=alert(1)>" + "Unterlegscheibenbefestigung" * 4


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports as files: an ordinary one, one without reviews, and one with names as long as they come."""
    folder = tmp_path_factory.mktemp("reports with a space")
    reports = {
        "ordinary": listing(make_report(made_cases(80), limit=12, notes=("2 reviews could not be read.",))),
        "empty": make_report(()),
        "wild": hostile_report(LONG),
    }
    paths = {name: folder / f"{name}.html" for name in reports}
    for name, report in reports.items():
        write_report(paths[name], titled(report, LONG) if name == "wild" else report)
    for name, page in dataset_pages(made_cases(8), LONG).items():
        paths[name] = folder / f"{name}.html"
        write_page(paths[name], page)
    return paths


@pytest.fixture
def ordinary(browser: Browser, pages: dict[str, Path]) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(pages["ordinary"].as_uri())
    yield page
    page.close()


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", ["ordinary", "empty", "wild", "version", "difference"])
def test_every_tab_fits_and_asks_for_nothing(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    requested: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(pages[name].as_uri())
    tabs = page.get_by_role("tab").all_inner_texts()
    assert tabs == {"version": ["Labels", "Map"], "difference": ["Numbers", "Pictures"]}.get(name, TABS)
    for tab in tabs:
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") == width, tab
        assert page.evaluate(_STICKING_OUT) == [], tab
    page.wait_for_function(
        "[...document.querySelectorAll('img[src]')].every(image => image.complete && image.naturalWidth)"
    )
    assert {url.split(":")[0] for url in requested} <= {"file", "data"}
    assert [url for url in requested if url.startswith("file")] == [pages[name].as_uri()]
    assert complaints == []
    page.close()


def test_tabs_are_reached_by_keyboard(ordinary: Page) -> None:
    selected = ordinary.locator("[role=tab][aria-selected=true]")
    panels = ordinary.locator("[role=tabpanel]:visible")
    assert selected.inner_text() == "Answers"
    selected.focus()
    for key, expected in [
        ("ArrowRight", "Model"),
        ("End", "Terms"),
        ("ArrowRight", "Answers"),
        ("ArrowLeft", "Terms"),
    ]:
        ordinary.keyboard.press(key)
        assert selected.inner_text() == expected
        assert ordinary.evaluate("document.activeElement.textContent") == expected
        assert panels.evaluate_all(_LAID_OUT) == [expected.lower()]
    assert ordinary.url.endswith("#terms")
    ordinary.keyboard.press("Home")
    ordinary.keyboard.press("Tab")  # out of the tabs, into the panel
    assert ordinary.evaluate("document.activeElement.closest('[role=tabpanel]').id") == "answers"


def test_links_open_the_tab_that_they_lead_to(
    browser: Browser, pages: dict[str, Path], ordinary: Page
) -> None:
    ordinary.get_by_role("link", name="More: How good are the labels?").click()
    assert ordinary.locator("[role=tab][aria-selected=true]").inner_text() == "Suspects"
    page = browser.new_page()
    page.goto(pages["ordinary"].as_uri() + "#calibration")
    assert page.locator("[role=tab][aria-selected=true]").inner_text() == "Model"
    assert page.evaluate("Math.abs(document.querySelector('#calibration').getBoundingClientRect().top) < 300")
    page.close()


def test_the_gallery_is_filtered_by_class_and_edit(ordinary: Page) -> None:
    ordinary.get_by_role("tab", name="Examples").click()
    shots, shown = ordinary.locator(".shot"), ordinary.locator(".shot:visible")
    everything = shots.count()
    ordinary.get_by_role("button", name="deleted").click()
    deleted = shown.count()
    assert 0 < deleted < everything
    assert all("deleted" in text for text in shown.all_inner_texts())
    ordinary.get_by_role("combobox", name="Class").select_option(label="nut")
    assert shown.count() <= deleted
    assert all("nut deleted" in text for text in shown.all_inner_texts())
    assert ordinary.locator(".filter output").inner_text() == f"{shown.count()} of {everything} images"
    ordinary.get_by_role("button", name="no edits").click()
    ordinary.get_by_role("combobox", name="Class").select_option(label="all")
    assert all("deleted" not in text for text in shown.all_inner_texts())
    ordinary.get_by_role("button", name="All edits").click()
    assert shown.count() == everything


def test_the_map_says_what_a_point_is_by_pointer_and_by_keyboard(ordinary: Page) -> None:
    ordinary.get_by_role("tab", name="Map").click()
    plane, spot = ordinary.locator(".plane svg"), ordinary.locator(".spot")
    names = set(ordinary.locator(".plane circle title").all_text_contents())
    ordinary.locator(".plane circle").nth(7).hover()
    assert spot.locator(".name").inner_text() == ordinary.locator("circle.chosen title").text_content()
    assert spot.locator(".thumb").is_visible()
    plane.focus()
    seen = []
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        ordinary.keyboard.press(key)
        seen.append(spot.locator(".name").inner_text())
        assert ordinary.locator("circle.chosen").count() == 1
    assert set(seen) <= names
    assert len(set(seen)) > 1


def test_the_points_are_coloured_by_what_is_chosen(ordinary: Page) -> None:
    ordinary.get_by_role("tab", name="Map").click()
    ways = ordinary.locator(".colouring button")
    assert ways.all_inner_texts() == ["State", "Class", "Split", "Suspect", "Near duplicates"]
    for number, way in enumerate(ways.all()):
        way.click()
        assert way.get_attribute("aria-pressed") == "true"
        legend = ordinary.locator(".legend:visible")
        assert legend.count() == 1
        shown = ordinary.locator(".plane circle").evaluate_all(
            "all => all.map(one => one.getAttribute('fill'))"
        )
        keyed = legend.locator(".dot").evaluate_all("all => all.map(one => one.style.backgroundColor)")
        n_each = [int(text.replace(",", "")) for text in legend.locator("dd").all_inner_texts()]
        assert [shown.count(colour) for colour in keyed] == n_each, number


def test_pictures_are_enlarged_by_keyboard(ordinary: Page) -> None:
    ordinary.get_by_role("tab", name="Examples").click()
    picture = ordinary.locator(".panels img").first
    picture.focus()
    ordinary.keyboard.press("Enter")
    assert ordinary.get_by_role("dialog").is_visible()
    assert ordinary.locator("dialog img").get_attribute("src") == picture.get_attribute("src")
    ordinary.keyboard.press("Escape")
    assert not ordinary.get_by_role("dialog").is_visible()


def test_the_theme_follows_the_system_until_it_is_chosen(browser: Browser, pages: dict[str, Path]) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(pages["ordinary"].as_uri())
    ground = "luma => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    theme = page.locator(".theme")
    assert page.evaluate(ground) < 60
    theme.click()
    assert theme.get_attribute("aria-label") == "Theme: light"
    assert page.evaluate(ground) > 200
    page.reload()
    assert page.evaluate(ground) > 200
    theme.focus()
    page.keyboard.press("Enter")
    assert theme.get_attribute("aria-label") == "Theme: dark"
    assert page.evaluate(ground) < 60
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) < 60
    context.close()


def test_everything_can_be_read_without_javascript(browser: Browser, pages: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["ordinary"].as_uri())
    assert page.locator("h2").all_inner_texts() == TABS
    assert all(page.locator(f"#{tab.lower()}").is_visible() for tab in TABS)
    assert page.locator(".shot:visible").count() == page.locator(".shot").count() > 8
    assert page.locator(".filter").is_hidden()
    assert page.locator(".theme").is_hidden()
    context.close()


def test_print_shows_everything(ordinary: Page) -> None:
    ordinary.get_by_role("tab", name="Examples").click()
    ordinary.get_by_role("button", name="deleted").click()
    ordinary.set_viewport_size({"width": 720, "height": 1000})  # A4 without its margins
    ordinary.emulate_media(media="print", color_scheme="dark")
    assert ordinary.evaluate("document.documentElement.scrollWidth") == 720
    assert ordinary.locator("[role=tabpanel]").evaluate_all(_LAID_OUT) == [tab.lower() for tab in TABS]
    assert ordinary.locator(".shot:visible").count() == ordinary.locator(".shot").count()
    assert ordinary.locator(".bar-of-tabs").is_hidden()
    assert ordinary.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    paper = ordinary.pdf(format="A4", print_background=True)
    assert paper.startswith(b"%PDF")
    assert paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") > 8


def test_a_search_of_the_browser_finds_what_is_folded_away(ordinary: Page) -> None:
    """Folded tabs are hidden until found, and open when they are."""
    hidden = ordinary.locator("[role=tabpanel][hidden=until-found]")
    assert hidden.count() == len(TABS) - 1
    ordinary.locator("#terms").dispatch_event("beforematch")
    assert ordinary.locator("[role=tab][aria-selected=true]").inner_text() == "Terms"


@pytest.mark.parametrize("name", ["ordinary", "empty", "wild"])
def test_who_cannot_see_it_can_use_it(browser: Browser, pages: dict[str, Path], name: str) -> None:
    """By hand what an accessibility checker looks for, with every tab open."""
    page = browser.new_page()
    page.goto(pages[name].as_uri())
    assert page.evaluate(_NAMELESS) == []
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        levels = page.evaluate(_HEADINGS)
        assert levels[:2] == [1, 2]
        assert all(after - before <= 1 for before, after in pairwise(levels)), tab
        assert page.locator("[role=tab][tabindex='0']").count() == 1
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: Browser, pages: dict[str, Path], scheme: str) -> None:
    """WCAG AA: 4.5 to 1 for all text, against the nearest ground behind it."""
    page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(pages["ordinary"].as_uri())
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate(_WEAK_TEXT) == []
    page.close()


_LAID_OUT = """panels => panels
  .filter(p => p.checkVisibility({contentVisibilityAuto: true}) && p.clientHeight > 40).map(p => p.id)"""

_STICKING_OUT = """() => [...document.querySelectorAll("main *")].filter(element => {
  if (element.closest(".scroll, svg, .visually-hidden") || !element.checkVisibility()) return false
  const box = element.getBoundingClientRect()
  return box.width > 1 && (box.right > innerWidth + 1 || box.left < -1)
}).map(element => element.outerHTML.slice(0, 120))"""

_HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
  .filter(h => h.tagName === "H1" || h.closest("[role=tabpanel]:not([hidden])"))
  .map(h => Number(h.tagName[1]))"""

_NAMELESS = """() => {
  const name = e => (e.getAttribute("aria-label") || e.alt || e.textContent || "").trim()
    || document.getElementById(e.getAttribute("aria-labelledby"))?.textContent
    || [...(e.labels || [])].map(label => label.textContent).join("")
  const controls = "a, button, select, summary, nav, dialog, [role=region], [role=group], [role=tabpanel]"
  return [...document.querySelectorAll(controls + ", article, section, img[src], svg:not([aria-hidden])")]
    .filter(e => !name(e)).map(e => e.outerHTML.slice(0, 120))
}"""

_WEAK_TEXT = """() => {
  const parse = text => {
    const [r, g, b, alpha = 1] = text.match(/[\\d.]+(?:e-?\\d+)?/g).map(Number)
    return text.startsWith("color(") ? [r * 255, g * 255, b * 255, alpha] : [r, g, b, alpha]
  }
  const over = ([r, g, b, alpha = 1], below) => [r, g, b].map((c, i) => c * alpha + below[i] * (1 - alpha))
  const linear = c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
  const luminance = rgb => [0.2126, 0.7152, 0.0722].reduce((sum, k, i) => sum + k * linear(rgb[i] / 255), 0)
  const ground = element => {
    const layers = []
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor))
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255])
  }
  const weak = []
  for (const element of document.querySelectorAll("body *:not(svg:not(.plot) *):not(script):not(dialog *)")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())
    if (!own || !element.checkVisibility()) continue
    const style = getComputedStyle(element)
    const ink = element instanceof SVGElement ? style.fill : style.color
    const pair = [luminance(parse(ink)), luminance(ground(element))]
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)
    const where = `${element.getAttribute("class")} ${element.textContent.trim()}`
    if (ratio < 4.5) weak.push(`${ratio.toFixed(2)} ${where}`)
  }
  return weak
}"""
