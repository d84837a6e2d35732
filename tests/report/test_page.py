"""The page as text: well formed, escaped, whole, with the figures of the results."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest

from detseg.errors import DetsegError
from detseg.metrics.answers import answer_questions
from detseg.metrics.intervals import Estimate
from detseg.metrics.thresholds import ThresholdChoice
from detseg.report.data import QaReport
from detseg.report.page import render_report, write_report
from detseg.report.steps import next_steps
from detseg.report.tabs.quality import sources_section
from detseg.report.tabs.scores import operating_section
from detseg.report.wording import tell, tell_figure
from detseg.samples.scenes import SAMPLE_CLASSES
from detseg.types import EDIT_KINDS
from tests.report.made import made_cases, made_waiting
from tests.report.outline import Outline
from tests.report.reports import hostile_report, listing, make_report, renamed_taxonomy, titled

TABS = ["answers", "model", "people", "labels", "map", "suspects", "next", "examples", "terms"]
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def report() -> QaReport:
    return make_report(made_cases(80), limit=8, notes=("2 reviews could not be read",))


@pytest.fixture(scope="module")
def html(report: QaReport) -> str:
    return render_report(report)


@pytest.fixture(scope="module")
def nothing() -> Outline:
    return Outline(render_report(make_report(())))


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


def test_the_page_is_well_formed(html: str) -> None:
    outline = Outline(html)
    assert outline.open == []
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    linked = {str(attrs["href"])[1:] for _, attrs in outline.tags if str(attrs.get("href")).startswith("#")}
    assert linked <= set(ids)
    labelled = {str(attrs["aria-labelledby"]) for _, attrs in outline.tags if "aria-labelledby" in attrs}
    assert labelled <= set(ids)
    assert [str(a["href"])[1:] for a in outline.all("a") if str(a.get("id")).startswith("tab-")] == TABS


def test_headings_descend_by_one(html: str, nothing: Outline) -> None:
    for outline in (Outline(html), nothing):
        levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_everything_to_look_at_has_a_text(html: str) -> None:
    outline = Outline(html)
    pictures = [attrs for attrs in outline.all("img") if "src" in attrs]
    assert len(pictures) >= 8 * 4
    assert all(attrs["alt"] for attrs in pictures)
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in outline.all("svg"))
    assert all(head.get("scope") for head in outline.all("th"))


def test_behind_every_chart_is_a_table(html: str) -> None:
    figures = re.findall(r'<figure class="(?:chart|trend)">.*?</figure>', html, flags=re.DOTALL)
    assert len(figures) > 12
    assert all("<table" in figure and "<caption" in figure for figure in figures)
    assert len(figures) == html.count('<svg class="plot"')


def test_the_answers_are_the_results(report: QaReport, html: str) -> None:
    figures = {key: plain(text) for key, text in Outline(html).figures.items()}
    edits, effort = report.result.work.edits.all, report.result.work.effort.saving
    assert edits.acceptance_rate.value is not None
    assert effort.share.value is not None
    assert figures["acceptance_rate"] == f"{100 * edits.acceptance_rate.value:.0f} %"
    assert figures["saved"] == f"{100 * effort.share.value:.0f} %"
    model = report.result.model
    best, anchoring = model.best, model.anchoring
    assert best is not None
    assert anchoring is not None
    assert figures["box_ap"] == tell(best.boxes.ap, "score").value
    assert figures["pq"] == tell(best.panoptic.pq, "score").value
    assert figures["miou"] == tell(best.segmentation.miou, "score").value
    assert figures["agreement_assisted"] == tell(model.assisted.boxes.ap, "score").value
    assert figures["anchoring"].lstrip("+") == tell(anchoring.box_ap, "score").value
    assert figures["edits_per_image"] == f"{edits.edits_per_image.value:.1f}"


def test_what_few_control_images_say_of_the_saving_is_no_contradiction() -> None:
    """A grey figure was measured; without any it was not."""
    cases = made_cases(80)
    control = [case for case in cases if case.arm == "control" and case.truth]
    others = [case for case in cases if case.arm == "assisted"]
    for n_control, said, is_told in (
        (4, "Measured against no more than 4 control images so far.", True),
        (1, "Not measured: no more than 1 control image so far.", False),
    ):
        outline = Outline(render_report(make_report([*others, *control[:n_control]])))
        assert said in outline.text
        assert (outline.figures["saved"] != "n/a") == is_told


def test_control_images_that_wait_are_counted_where_they_are_missed() -> None:
    cases = made_cases(80)
    control = [replace(case, reviews=()) for case in cases if case.arm == "control"][:2]
    others = [case for case in cases if case.arm == "assisted"]
    text = plain(Outline(render_report(make_report([*others, *control]))).text)
    assert "without seeing the model’s regions: 2 control images wait for review." in text
    assert "Not measured: 2 control images wait for review." in text
    text = plain(Outline(render_report(make_report(others))).text)
    assert "without seeing the model’s regions: experiments.control_share makes such control images." in text
    assert "Not measured: experiments.control_share is the share of new images labeled by hand." in text


def test_suspects_are_sent_back_by_the_image(report: QaReport) -> None:
    suspects = report.result.suspects
    assert suspects.n_suspects > suspects.n_suspect_images
    (step,) = (step for step in next_steps(report.result) if "--send-back" in step)
    assert step.endswith(f"detseg qa --send-back {min(suspects.n_suspect_images, 50)}.")


def test_the_most_frequent_kinds_of_suspects_are_named_with_the_answer(report: QaReport, html: str) -> None:
    suspects = report.result.suspects
    numbers = sorted((found.n_suspects for found in suspects.per_rule.values()), reverse=True)[:3]
    (said,) = re.findall(r"ask for a second look: ([^.<]*)\.", plain(Outline(html).text))
    assert [int(n) for n in re.findall(r"\((\d+)\)", said)] == [n for n in numbers if n]


def test_every_answer_says_how_sure_it_is(html: str) -> None:
    """With its 95 % interval, or with how much more data it needs."""
    for answer in re.findall(r'<article class="card answer".*?</article>', html, flags=re.DOTALL):
        for value, detail in re.findall(
            r'data-figure="\w+"[^>]*>([^<]+)</span>\s*<span class="[^"]*">([^<]*)', answer
        ):
            assert value == "n/a" or "95 %" in answer
            assert value != "n/a" or "image" in detail


def test_the_tables_hold_every_count(report: QaReport, html: str) -> None:
    table = next(t for t in re.findall(r"<table.*?</table>", html, flags=re.DOTALL) if "Edits by class" in t)
    rows = re.findall(r"<tr.*?</tr>", table, flags=re.DOTALL)
    for label, rates in report.result.work.edits.per_class.items():
        (row,) = (r for r in rows if f'<span class="name">{label}</span>' in r)
        cells = [int(n.replace(",", "")) for n in re.findall(r'<td class="n[^"]*">([\d,]+)</td>', row)]
        assert cells[:6] == [getattr(rates.counts, kind) for kind in EDIT_KINDS]


def test_nothing_reviewed_makes_a_readable_page(nothing: Outline) -> None:
    assert nothing.open == []
    assert set(nothing.figures.values()) == {"n/a"}
    assert "No image has been reviewed yet" in nothing.text
    assert nothing.text.count("No reviewed box to compare yet.") == 2
    for advice in ("overlap = 2", "gold_share", "decoy_share"):
        assert advice in nothing.text
    assert not re.search(r"\b(nan|None|Estimate)\b", nothing.text)


def test_few_images_that_wait_are_no_promise() -> None:
    text = Outline(render_report(make_report((), waiting=made_waiting(6)))).text
    assert "Review images (6 images wait): from 10 on figures can be acted on." in text


def test_control_images_alone_are_no_empty_page() -> None:
    """Of a review without the model's regions the answer on the model says what it is."""
    (control,) = itertools.islice((one for one in made_cases(40) if one.arm == "control"), 1)
    text = plain(Outline(render_report(make_report((control,), limit=0))).text)
    assert "No image but 1 control image has been reviewed yet." in text
    assert re.search(r"1 control image; up to 3[89]0 more control images for an interval of ±0\.05", text)


def test_what_gold_images_say_stands_beside_what_control_images_say(report: QaReport) -> None:
    model = report.result.model
    assert model.headline == "control"
    section = sources_section(report)
    (block,) = section.blocks
    assert block.table is not None
    assert [column.about for column in block.table.columns[1:3]] == [
        "on control images",
        "on gold images, against known truth",
    ]
    ap = block.table.rows[0].cells
    assert (ap[1].text, ap[2].text) == tuple(
        tell(of.boxes.ap, "score").value for of in (model.control, model.gold)
    )
    assert "off, too" in section.note
    without = replace(report.result, model=replace(model, gold=replace(model.gold, n_images=0)))
    (block,) = sources_section(replace(report, result=without)).blocks
    assert block.table is not None
    assert len(block.table.columns) == 4


def test_a_saving_says_which_images_it_lacks() -> None:
    """Two images with the model's regions and two without: each person has too few of one arm."""
    arms = {arm: [one for one in made_cases(40) if one.arm == arm][:2] for arm in ("assisted", "control")}
    result = make_report((*arms["assisted"], *arms["control"]), limit=0).result
    saved = answer_questions(result)[2].main
    saving = result.work.effort.saving
    assert saved.noun == ("control image" if saving.share.n == saving.n_control else "assisted image")
    assert tell_figure(saved).note.startswith(f"{saving.share.n} {saved.noun}")


def test_a_threshold_that_changes_nothing_says_so(report: QaReport) -> None:
    """And one of too few images says that, though something is known of it."""
    thresholds = report.result.work.thresholds
    name, choice = next((n, one) for n, one in thresholds.per_class.items() if not one.at_lowest)

    def saves(one: ThresholdChoice) -> str:
        work = replace(report.result.work, thresholds=replace(thresholds, per_class={name: one}))
        section = operating_section(replace(report, result=replace(report.result, work=work)))
        table = section.blocks[1].table
        assert table is not None
        (row,) = (row for row in table.rows if row.cells[0].text == name)
        return f"{row.cells[-1].text} {row.cells[-1].detail}"

    assert saves(replace(choice, at_lowest=True)) == "no change "
    assert saves(choice) == "n/a too few images"
    assert saves(replace(choice, in_use=choice.threshold)) == f"no change {choice.threshold:.2f} in use"
    known = Estimate(90.0, 60.0, 100.0, 200, None)
    assert plain(saves(replace(choice, saved_s_per_1000_images=known))) == "90 s 60 to 100 s"


def test_simulated_reviews_are_named_so(report: QaReport, html: str) -> None:
    assert "Reviews are simulated." in html
    assert "Reviews are simulated." not in render_report(
        replace(report, result=replace(report.result, simulated=False), examples=())
    )


def test_images_that_wait_are_listed_with_how_good_the_order_is(report: QaReport) -> None:
    page = plain(Outline(render_report(listing(report))).text)
    said = page[page.index("Images that wait, by expected changes") : page.index("Thresholds")]
    for words in ("scene-1.png", "2 min 03 s", "2.5", "42 %", "31 to 53 %", "21 %", "59 %"):
        assert words in said
    assert "1,170 more images after these; the JSON beside this page has the first 30." in said
    assert "3 images were predicted by a model of which nothing was reviewed" in said
    assert "By chance the order would be as good" not in said
    step = "Take the 1,200 images that wait in the order of the list"
    assert step in page
    unsure = listing(report).result.waiting
    unsure = replace(unsure, check=replace(unsure.check, holds=False))
    page = Outline(render_report(replace(report, result=replace(report.result, waiting=unsure)))).text
    assert "By chance the order would be as good" in page
    assert step not in page


def test_too_few_reviews_make_no_list(nothing: Outline) -> None:
    assert "No image waits for review." in nothing.text
    few = make_report(made_cases(12), limit=0, waiting=made_waiting(3))
    page = plain(Outline(render_report(few)).text)
    assert re.search(
        r"No order yet of the 3 images \((too few to act on: )?\d+ (more )?changed images?\)", page
    )


def test_what_was_left_out_is_said(html: str) -> None:
    assert "2 reviews could not be read" in html


def test_names_from_outside_are_escaped() -> None:
    outline = Outline(render_report(hostile_report(EVIL)))
    tags = [tag for tag, _ in outline.tags]
    assert outline.open == []
    assert tags.count("script") == 1
    assert not any(name.startswith("on") for _, attrs in outline.tags for name in attrs)
    assert outline.text.count(EVIL) > 50
    links = {str(attrs["href"]) for attrs in outline.all("a") if attrs.get("target") == "_blank"}
    assert links == {f'https://host/"><b>{EVIL}'}


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "http//[", ""])
def test_only_web_addresses_become_links(url: str) -> None:
    cases = tuple(replace(case, task_url=url) for case in made_cases(12))
    links = Outline(render_report(make_report(cases, limit=3))).all("a")
    assert [a for a in links if a.get("target")] == []


def test_nothing_outside_the_file_is_named_as_a_source(html: str) -> None:
    sources = [str(attrs["src"]) for _, attrs in Outline(html).tags if "src" in attrs]
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    for way_out in ("srcset", "@import", "url(", "xlink"):
        assert way_out not in html


def test_many_classes_are_cut_to_those_that_matter(report: QaReport) -> None:
    labels = tuple(f"class {n:02d}" for n in range(50))
    counts = [[0] * 51 for _ in range(51)]
    for n in range(50):
        counts[n][n] = 100
        counts[n][50] = n
    confusion = replace(
        report.result.model.detailed.boxes.confusion,
        labels=labels,
        counts=tuple(map(tuple, counts)),
        min_score=0.25,
    )
    model, detailed = report.result.model, report.result.model.detailed
    detailed = replace(detailed, boxes=replace(detailed.boxes, confusion=confusion))
    model = replace(model, **{detailed.source: detailed})
    result = replace(report.result, model=model)
    html = render_report(replace(report, result=result, examples=()))
    matrix = html[html.index('id="confusion"') : html.index('id="calibration"')]
    assert matrix.count('<th scope="row"') == 21
    assert "49 × class 49 missed" in matrix
    assert "score below 0.25" in matrix
    assert "20 of 50 classes" in matrix


def test_a_report_is_written_whole_or_not_at_all(report: QaReport, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "report 1.html"
    write_report(path, replace(report, examples=()))
    first = path.read_bytes()
    assert first.startswith(b"<!doctype html>")
    with pytest.raises(AttributeError):
        write_report(path, replace(report, examples=(None,)))  # type: ignore[arg-type]
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["report 1.html"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DetsegError, match=r"the report cannot be written to .*report\.html \(.+\): choose"):
        write_report(tmp_path / "file" / "report.html", make_report(()))


def test_the_same_report_is_the_same_page(report: QaReport, html: str) -> None:
    assert render_report(report) == html


def test_classes_that_the_taxonomy_lacks_are_shown(report: QaReport) -> None:
    names = {c.name: f"{c.name} of old" for c in SAMPLE_CLASSES}
    outline = Outline(render_report(replace(report, taxonomy=renamed_taxonomy(names))))
    assert outline.open == []
    assert "bracket" in outline.text


def test_no_text_that_cannot_be_encoded_stops_it(report: QaReport, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", titled(replace(report, examples=()), "\ud800 half a letter"))
    assert "half a letter" in (tmp_path / "report.html").read_text(encoding="utf-8")
