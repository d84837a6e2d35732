"""Labels to look at again: how many by rule, and the worst of them, each with its picture and its task."""

from __future__ import annotations

from collections.abc import Mapping

from detseg.metrics.suspects.findings import Suspect
from detseg.metrics.suspects.rules import RULE_OF, RULES
from detseg.plurals import format_count
from detseg.report.cells import colour_of, count_cell, name_cell, table, value_cell
from detseg.report.closeups import close_ups
from detseg.report.data import QaReport
from detseg.report.gallery import image_name, web_address
from detseg.report.tabs.weeks import weeks_block
from detseg.report.views import Block, Cell, Column, Picture, Row, Section, SuspectView, Tab
from detseg.report.wording import format_score
from detseg.types import ImageId

MOST_LISTED, MOST_PICTURED = 100, 48

_NOTE = (
    "Rules and scores that ask for a second look, surest and dearest first. {} on {:,} of {}. "
    "“detseg qa --send-back N” puts the N images with the worst of them into a tab of Label Studio."
)


def suspects_tab(report: QaReport) -> Tab:
    """The ranked list and what it was made of."""
    suspects = report.result.suspects
    if not suspects.n_images:
        nothing = Section("rules", "Labels under suspicion", (Block(missing="No reviewed image yet."),))
        return Tab("suspects", "Suspects", (nothing,))
    first, rest = suspects.ranked[:MOST_PICTURED], suspects.ranked[MOST_PICTURED:MOST_LISTED]
    pictures = close_ups(first, report.images)
    cases = report.images.cases(tuple(dict.fromkeys(s.image for s in (*first, *rest))))
    names = {image: image_name(case.uri) for image, case in cases.items()}
    views = tuple(_view(report, s, names.get(s.image, s.image), pictures.get(i)) for i, s in enumerate(first))
    return Tab(
        "suspects",
        "Suspects",
        (_rules(report), *_rest(report, rest, names), *_quality(report)),
        suspects=views,
    )


def _rest(
    report: QaReport, suspects: tuple[Suspect, ...], names: Mapping[ImageId, str]
) -> tuple[Section, ...]:
    """The suspects that have no picture, in a table."""
    if not suspects:
        return ()
    rows = [
        Row(
            (
                Cell(RULE_OF[s.rule].words),
                Cell(f"{s.score:.2f}"),
                name_cell(s.label, taxonomy=report.taxonomy) if s.label else Cell(""),
                Cell(s.reason),
                Cell(names.get(s.image, s.image), s.author, link=web_address(s.task_url)),
            )
        )
        for s in suspects
    ]
    columns = (
        Column("What is wrong", "name"),
        Column("Score"),
        Column("Class", "words"),
        Column("Why", "words"),
        Column("Image", "words"),
    )
    after = Block(table=table("Further suspects", columns, rows))
    left = report.result.suspects.n_suspects - MOST_PICTURED - len(rows)
    note = (
        f"{format_count(left, 'more label')} after these; the JSON beside this page has them."
        if left > 0
        else ""
    )
    return (Section("further", "And after them", (after,), note),)


def _view(report: QaReport, suspect: Suspect, name: str, picture: Picture | None) -> SuspectView:
    return SuspectView(
        rule=RULE_OF[suspect.rule].words,
        score=f"{suspect.score:.2f}",
        label=suspect.label or "",
        swatch=colour_of(report.taxonomy, suspect.label) if suspect.label else None,
        author=suspect.author,
        reason=suspect.reason,
        image=name,
        link=web_address(suspect.task_url),
        picture=picture,
    )


def _rules(report: QaReport) -> Section:
    suspects = report.result.suspects
    rows = [
        Row((name_cell(rule.words), count_cell(found.n_suspects), count_cell(found.n_images)))
        for rule in RULES
        if (found := suspects.per_rule.get(rule.name)) is not None and found.n_suspects
    ]
    note = _NOTE.format(
        format_count(suspects.n_suspects, "label"),
        suspects.n_suspect_images,
        format_count(suspects.n_images, "image"),
    )
    missing = "" if rows else "No label is under suspicion."
    columns = ("What is wrong", "Labels", "Images")
    rules = Block(missing=missing, table=table("Suspects by rule", columns, rows))
    blocks = (rules, *weeks_block("Labels under suspicion by week", suspects.weeks))
    return Section("rules", "Labels under suspicion", blocks, note, beside=True)


def _quality(report: QaReport) -> tuple[Section, ...]:
    """cleanlab's label quality of the worst images, and what it could not be computed for."""
    quality = report.result.suspects.quality
    worst = quality.worst[:10]
    names = report.images.cases(tuple(one.image for one in worst))
    rows = [
        Row(
            (
                Cell(
                    image_name(names[one.image].uri) if one.image in names else one.image,
                    link=web_address(one.task_url),
                ),
                *(value_cell(v, "score") for v in (one.quality, one.overlooked, one.badloc, one.swap)),
            )
        )
        for one in worst
    ]
    columns = (
        Column("Image", "name"),
        Column("Quality", about="1 is good"),
        Column("Overlooked"),
        Column("Badly placed"),
        Column("Swapped class"),
    )
    blocks = [Block(table=table("Images with the lowest label quality", columns, rows))] if rows else []
    blocks += [Block(missing=sentence) for sentence in quality.missing]
    if not blocks:
        return ()
    mean = format_score(quality.mean_quality)
    over = format_count(quality.n_images, "image")
    note = "How well labels and model fit, by cleanlab; 0 to be looked at first." + (
        f" Mean over {over}: {mean}." if rows else ""
    )
    return (Section("label-quality", "Label quality by image", tuple(blocks), note),)
