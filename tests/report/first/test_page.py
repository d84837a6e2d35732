"""The page as text: well formed, escaped, whole, with the figures of the data."""

import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from detseg.errors import DetsegError
from detseg.metrics.detection import Confusion
from detseg.report.first.page import render_report, write_report
from detseg.report.first.tables import MOST_CONFUSED, confusion_matrix
from detseg.samples.scenes import SAMPLE_CLASSES
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import EDIT_KINDS
from tests.report.first.reports import make_report, sample_items, with_names

_VOID = {"meta", "link", "br", "img"}


class Outline(HTMLParser):
    """Checks that tags nest, and collects tags, attributes and the text of each figure."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.figures: dict[str, str] = {}
        self.text = ""
        self._figure: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)
        self._figure = dict(attrs).get("data-figure")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closes something else"

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._figure is not None:
            self.figures[self._figure] = data
            self._figure = None


@pytest.fixture(scope="module")
def html() -> str:
    return render_report(make_report(sample_items(6)))


def test_the_page_is_well_formed(html: str) -> None:
    outline = Outline(html)
    assert outline.open == []
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    linked = {str(attrs["href"])[1:] for _, attrs in outline.tags if str(attrs.get("href")).startswith("#")}
    assert linked <= set(ids)


def test_headings_descend_by_one(html: str) -> None:
    levels = [int(tag[1]) for tag, _ in Outline(html).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_picture_has_a_text(html: str) -> None:
    tags = Outline(html).tags
    pictures = [attrs for tag, attrs in tags if tag == "img" and "src" in attrs]
    assert len(pictures) == 6 * 4
    assert all(attrs["alt"] for attrs in pictures)
    assert all(attrs.get("aria-label") for tag, attrs in tags if tag == "svg")


def test_the_figures_are_the_datas() -> None:
    report = make_report(sample_items(6))
    html = render_report(report).replace("\u202f", " ")
    assert report.edits.all.acceptance_rate is not None
    assert Outline(html).figures == {
        "images": "6",
        "acceptance_rate": f"{100 * report.edits.all.acceptance_rate:.0f} %",
        "ap": f"{report.box.ap:.3f}",
        "ap50": f"{report.box.ap50:.3f}",
        "ap75": f"{report.box.ap75:.3f}",
        "pq": f"{report.panoptic.all.pq:.3f}",
        "mask_iou": f"{report.mask.all.iou:.3f}",
        "mask_dice": f"{report.mask.all.dice:.3f}",
        "seconds": "7.5 s",
    }


def test_the_tables_hold_every_count() -> None:
    report = make_report(sample_items(6))
    html = render_report(report)
    rows = re.findall(r"<tr.*?</tr>", html, flags=re.DOTALL)
    for label, counts in report.edits.per_class.items():
        (row,) = (r for r in rows if f'<span class="name">{label}</span>' in r and "</svg>" in r)
        cells = [int(n) for n in re.findall(r'<td class="n[^"]*">(\d+)</td>', row)]
        assert cells == [getattr(counts, kind) for kind in EDIT_KINDS]


def test_nothing_reviewed_makes_a_readable_page() -> None:
    outline = Outline(render_report(make_report(())))
    assert outline.open == []
    assert outline.figures["images"] == "0"
    assert {value for key, value in outline.figures.items() if key != "images"} == {"n/a"}
    assert "No reviewed image yet" in outline.text
    assert "nan" not in outline.text.lower()
    assert "None" not in outline.text


def test_simulated_reviews_are_named_so() -> None:
    items = sample_items(1)
    honest, plain = (render_report(make_report(items, simulated=s)) for s in (True, False))
    assert "Reviews are simulated." in honest
    assert "The simulated reviewer went through 1 image" in honest
    assert "imulated review" not in plain
    assert "Reviews are simulated" not in plain


def test_names_from_outside_are_escaped() -> None:
    evil = "<script>alert(1)</script>"
    names = {c.name: f"{evil}\"' {c.name}" for c in SAMPLE_CLASSES}
    taxonomy = Taxonomy(tuple(LabelClass(names[c.name], c.kind, c.colour) for c in SAMPLE_CLASSES))
    items = [
        with_names(item, names, name=f'x" onerror="alert(2){evil}', task_url=f'https://host/"><b>{evil}')
        for item in sample_items(3)
    ]
    outline = Outline(render_report(make_report(items, title=evil, taxonomy=taxonomy)))
    tags = [tag for tag, _ in outline.tags]
    assert tags.count("script") == 1
    assert not any(name.startswith("on") for _, attrs in outline.tags for name in attrs)
    assert evil in outline.text
    links = [attrs["href"] for tag, attrs in outline.tags if tag == "a" and attrs.get("target") == "_blank"]
    assert links == [f'https://host/"><b>{evil}'] * 3


def test_nothing_outside_the_file_is_named_as_a_source(html: str) -> None:
    sources = [str(attrs["src"]) for _, attrs in Outline(html).tags if "src" in attrs]
    assert sources
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert "srcset" not in html
    assert "@import" not in html
    assert "url(" not in html


def test_many_classes_are_cut_to_the_most_confused() -> None:
    labels = tuple(f"class {n:02d}" for n in range(50))
    counts = [[0] * 51 for _ in range(51)]
    for n in range(50):
        counts[n][n] = 100
        counts[n][50] = n
    confusion = Confusion(labels, tuple(map(tuple, counts)), 0.25)
    matrix = confusion_matrix(replace(make_report(()), confusion=confusion))
    assert matrix is not None
    assert matrix.columns == (*labels[-MOST_CONFUSED:], "missed")
    assert matrix.rows[-1].name == "nothing there"
    assert matrix.worst[0] == (49, "class 49 missed")
    assert "score below 0.25" in matrix.note
    assert "20 of 50 classes" in matrix.note


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "report 1.html"
    write_report(path, make_report(sample_items(1)))
    first = path.read_bytes()
    assert first.startswith(b"<!doctype html>")
    broken = replace(make_report(sample_items(1)), gallery=(None,))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        write_report(path, broken)
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["report 1.html"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DetsegError, match=r"the report cannot be written to .*report\.html \(.+\): choose"):
        write_report(tmp_path / "file" / "report.html", make_report(()))


def test_the_same_report_is_the_same_page() -> None:
    items = sample_items(2)
    assert render_report(make_report(items)) == render_report(make_report(items))
