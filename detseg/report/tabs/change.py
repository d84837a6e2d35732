"""The tab on what to change: where to spend the next hours of review, what to call right, what took people
most."""

from __future__ import annotations

import math
from collections.abc import Sequence

from detseg.metrics.drift import CostlyImage
from detseg.metrics.waiting import FIRST_SHARE, RankedImage, Waiting
from detseg.plurals import format_count
from detseg.report.cells import (
    count_cell,
    estimate_cell,
    name_cell,
    stacked_parts,
    table,
    value_cell,
)
from detseg.report.corrected import EDIT_COLOURS
from detseg.report.data import QaReport
from detseg.report.gallery import image_name, web_address
from detseg.report.tabs.edits import edit_keys
from detseg.report.tabs.scores import operating_section
from detseg.report.views import Block, Cell, Column, Row, Section, Tab, Table
from detseg.report.wording import tell
from detseg.types import EDIT_KINDS

MOST_WAITING, MOST_COSTLY, MOST_RELABELS = 50, 10, 10

_CHANGES = tuple(kind for kind in EDIT_KINDS if kind != "kept")
_ORDER = (
    "What people are expected to change in them, dearest first: as often as regions of the same class and "
    "score were changed in reviewed images, and objects added, in seconds of the cost model."
)
_CHECK = (
    "Share of all seconds of changes that lie in the first fifth of the list. Reviewed images were ranked by "
    "what the others teach (five folds)."
)


def change_tab(report: QaReport) -> Tab:
    """Images that wait, thresholds, classes that people rename, and what took most."""
    sections = (waiting_section(report), operating_section(report), _relabels(report), _costly(report))
    return Tab("next", "Next", tuple(section for section in sections if section is not None))


def waiting_section(report: QaReport) -> Section:
    """The images that nobody has reviewed, by the changes that they are expected to need."""
    waiting = report.result.waiting
    title = "Images that wait, by expected changes"
    if not waiting.n_images:
        return Section("waiting", title, (Block(missing="No image waits for review."),))
    if not waiting.ranked:
        note = tell(waiting.check.found, "share", noun="changed image").note
        missing = f"No order yet of the {format_count(waiting.n_images, 'image')}{note and f' ({note})'}."
        return Section("waiting", title, (Block(missing=missing),))
    shown = waiting.ranked[:MOST_WAITING]
    rows = (_waiting_row(one, longest=shown[0].cost_s) for one in shown)
    columns = (
        Column("Image", "name"),
        Column("Seconds", about="expected"),
        Column("Seconds of each change", "bar"),
        Column("Changes", about="expected"),
        Column("Regions", about="shown"),
    )
    blocks = (
        Block(keys=tuple(key for key in edit_keys() if key.name != "kept")),
        Block(table=table("Images that wait", columns, rows), text=_left(waiting)),
        Block(title="How good is this order?", table=_check_table(waiting), text=_CHECK),
    )
    return Section("waiting", title, blocks, f"{_ORDER} {_doubts(waiting)}".strip())


def _waiting_row(one: RankedImage, *, longest: float) -> Row:
    costs = [(kind, round(getattr(one.costs_s, kind)), EDIT_COLOURS[kind]) for kind in _CHANGES]
    name = image_name(one.uri)
    words = ", ".join(f"{seconds} s {kind}" for kind, seconds, _ in costs if seconds)
    bar = Cell(f"{name}: {words or 'nothing'}", parts=stacked_parts(costs, total=max(1, math.ceil(longest))))
    return Row(
        (
            Cell(name, link=web_address(one.task_url)),
            value_cell(one.cost_s, "seconds"),
            bar,
            value_cell(one.edits.total, "number"),
            count_cell(one.n_regions),
        )
    )


def _left(waiting: Waiting) -> str:
    left = waiting.n_images - min(MOST_WAITING, len(waiting.ranked))
    listed = f"; the JSON beside this page has the first {len(waiting.ranked)}"
    return f"{format_count(left, 'more image')} after these{listed}." if left else ""


def _doubts(waiting: Waiting) -> str:
    """Say what makes the order worth less than it looks."""
    doubts = []
    if not waiting.check.holds:
        doubts.append("By chance the order would be as good, as far as the reviewed images can tell.")
    if waiting.n_new_model:
        of = format_count(waiting.n_new_model, "image")
        doubts.append(
            f"{of} were predicted by a model of which nothing was reviewed: others stand in for it."
        )
    return " ".join(doubts)


def _check_table(waiting: Waiting) -> Table | None:
    check = waiting.check
    rows = (
        Row((Cell("This order"), estimate_cell(check.found, "share", scale=1.0)), total=True),
        Row((Cell("By number of regions"), estimate_cell(check.found_by_count, "share", scale=1.0))),
        Row((Cell("By chance"), value_cell(FIRST_SHARE, "share"))),
        Row((Cell("Known only afterwards"), value_cell(check.found_at_best, "share"))),
    )
    return table(
        "How good the order is", (Column("Order", "name"), Column("Found", about="in the first fifth")), rows
    )


def _relabels(report: QaReport) -> Section | None:
    relabels = report.result.work.drift.relabels[:MOST_RELABELS]
    if not relabels:
        return None
    rows = (
        Row(
            (
                name_cell(one.model_label, taxonomy=report.taxonomy),
                name_cell(one.person_label, taxonomy=report.taxonomy),
                count_cell(one.n),
                estimate_cell(one.share, "share"),
            )
        )
        for one in relabels
    )
    columns = (
        Column("The model says", "name"),
        Column("People say", "words"),
        Column("Times"),
        Column("Share", about="of the model’s regions of that class"),
    )
    note = "Classes that the model should learn to tell apart, or that need a clearer definition."
    return Section("renamed", "What people rename", (Block(table=table("Renamed", columns, rows)),), note)


def _costly(report: QaReport) -> Section | None:
    """Reviewed images that took most: what they have in common is what the model lacks."""
    costly = report.result.work.drift.costly_images[:MOST_COSTLY]
    if not costly:
        return None
    rows = _costly_rows(report, costly)
    columns = (Column("Image", "name"), Column("Seconds", about="by the cost model"), Column("Changes"))
    note = "Checked and corrected, as a mean over the reviews of an image: look at what they have in common."
    blocks = (Block(table=table("Reviewed images that took most", columns, rows)),)
    return Section("dearest", "Reviewed images that took most", blocks, note)


def _costly_rows(report: QaReport, costly: Sequence[CostlyImage]) -> list[Row]:
    cases = report.images.cases(tuple(one.image for one in costly))
    rows = []
    for one in costly:
        case = cases.get(one.image)
        name = (
            Cell(one.image) if case is None else Cell(image_name(case.uri), link=web_address(case.task_url))
        )
        rows.append(Row((name, value_cell(one.cost_s, "seconds"), count_cell(one.n_edits))))
    return rows
