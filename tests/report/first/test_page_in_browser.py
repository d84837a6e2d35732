"""The page in Chromium: no requests, no overflow, and the little script does its work."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from detseg.report.first.page import write_report
from detseg.samples.scenes import SAMPLE_CLASSES
from detseg.taxonomy import LabelClass, Taxonomy
from tests.report.first.reports import make_report, perfect, sample_items, with_names

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


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
    long = {
        c.name: f"<img src=x onerror=alert(1)> {c.name} " + "Unterlegscheibenbefestigung" * 4
        for c in SAMPLE_CLASSES
    }
    taxonomy = Taxonomy(tuple(LabelClass(long[c.name], c.kind, c.colour) for c in SAMPLE_CLASSES))
    items = sample_items(4)
    link = "https://example.org/" + "y" * 300
    wild = [with_names(item, long, name="x" * 300, task_url=link) for item in items]
    reports = {
        "ordinary": make_report([perfect(items[0]), *items[1:]], simulated=True),
        "empty": make_report(()),
        "wild": make_report(wild, title="z" * 200, taxonomy=taxonomy),
    }
    paths = {name: folder / f"{name}.html" for name in reports}
    for name, report in reports.items():
        write_report(paths[name], report)
    return paths


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", ["ordinary", "empty", "wild"])
def test_the_page_fits_and_asks_for_nothing(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    requested: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(pages[name].as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert {url.split(":")[0] for url in requested} <= {"file", "data"}
    assert [url for url in requested if url.startswith("file")] == [pages[name].as_uri()]
    assert complaints == []
    assert page.evaluate("[...document.querySelectorAll('.panels img')].every(image => image.naturalWidth)")
    page.close()


def test_the_gallery_is_filtered_and_pictures_are_enlarged(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["ordinary"].as_uri())
    page.get_by_role("button", name="relabeled", exact=True).click()
    shown = page.locator(".shot:visible")
    assert 0 < shown.count() < page.locator(".shot").count()
    assert all("relabeled" in text for text in shown.all_inner_texts())
    assert page.locator(".filter output").inner_text() == f"{shown.count()} of 4 images"
    page.get_by_role("button", name="All", exact=True).click()
    picture = page.locator(".panels img").first
    picture.focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("dialog").is_visible()
    assert page.locator("dialog img").get_attribute("src") == picture.get_attribute("src")
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    page.close()


def test_everything_can_be_read_without_javascript(browser: Browser, pages: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["ordinary"].as_uri())
    assert page.locator(".shot:visible").count() == 4
    assert page.locator(".filter").is_hidden()
    assert page.locator("[data-figure=images]").inner_text() == "4"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: Browser, pages: dict[str, Path], scheme: str) -> None:
    """WCAG AA: 4.5 to 1 for all text, against the nearest ground behind it."""
    page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(pages["ordinary"].as_uri())
    weak = page.evaluate(_WEAK_TEXT)
    assert weak == []
    page.close()


_WEAK_TEXT = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number)
  const over = ([r, g, b, alpha = 1], below) => [r, g, b].map((c, i) => c * alpha + below[i] * (1 - alpha))
  const linear = c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
  const luminance = rgb => [0.2126, 0.7152, 0.0722].reduce((sum, k, i) => sum + k * linear(rgb[i] / 255), 0)
  const ground = element => {
    const layers = []
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor))
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255])
  }
  const weak = []
  for (const element of document.querySelectorAll("body *:not(svg *):not(script):not(dialog *)")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())
    if (!own || !element.checkVisibility()) continue
    const pair = [luminance(parse(getComputedStyle(element).color)), luminance(ground(element))]
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)
    if (ratio < 4.5) weak.push(`${ratio.toFixed(2)} ${element.className} ${element.textContent.trim()}`)
  }
  return weak
}"""
