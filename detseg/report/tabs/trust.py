"""The tab on the labels: people against each other, against known truth, and against planted mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from detseg.plurals import format_count
from detseg.report.cells import by_class, count_cell, estimate_cell, name_cell, table
from detseg.report.data import QaReport
from detseg.report.tabs.weeks import weeks_block
from detseg.report.views import Block, Cell, Column, Row, Section

if TYPE_CHECKING:
    from detseg.metrics.agreement import PairScore
    from detseg.metrics.experiments import DecoyScore, GoldScore

_AGREE = (
    Column("F1", about="regions that both have"),
    Column("Box IoU", about="of matched ones"),
    Column("Mask IoU", about="of matched ones"),
)
_ALPHA = Column("Alpha", about="Krippendorff’s")
_GOLD = (
    Column("F1"),
    Column("Precision"),
    Column("Recall"),
    Column("Box IoU"),
    Column("Mask IoU"),
    Column("Images"),
    Column("Reviews"),
    Column("Wrong", about="regions"),
    Column("Lacking", about="regions"),
)
_DECOY = (Column("Share missed"), Column("Missed"), Column("Shown"))


def agreement_section(report: QaReport) -> Section:
    """Show how far people say the same of one image."""
    agreement = report.result.agreement
    if not agreement.n_images:
        missing = "No image was judged by two people yet: set queue.overlap = 2 and push."
        return Section("agreement", "Agreement", (Block(missing=missing),))
    classes = [(Cell("All"), agreement.all), *by_class(report.taxonomy, agreement.per_class)]
    rows = [
        Row((cell, estimate_cell(score.alpha, "score", scale=1.0), *_pair_cells(score.pairs)), not n)
        for n, (cell, score) in enumerate(classes)
    ]
    pairs = [
        Row((Cell(f"{pair.first} and {pair.second}"), *_pair_cells(pair.score)))
        for pair in agreement.per_pair
    ]
    arms = [Row((Cell(_ARMS.get(arm, arm)), *_pair_cells(score))) for arm, score in agreement.per_arm.items()]
    counts = (Column("Images"), Column("Regions"))
    return Section(
        "agreement",
        "Agreement",
        (
            *weeks_block("F1 between people by week", agreement.weeks, unit="score"),
            Block(
                table=table("Agreement by class", [Column("Class", "name"), _ALPHA, *_AGREE, *counts], rows),
            ),
            Block(
                title="Assisted and control images",
                table=table("Agreement by arm", [Column("Shown", "name"), *_AGREE, *counts], arms),
                text="People who saw the model’s regions may agree because they saw the same. Where they "
                "agree more than people who saw nothing, that is why.",
            ),
            Block(
                title="By pair of people",
                table=table("Agreement by pair", [Column("People", "name"), *_AGREE, *counts], pairs),
            ),
        ),
        f"{format_count(agreement.n_images, 'image')} that at least two of {agreement.n_people} people "
        f"judged. Regions meet one to one within a class from IoU {agreement.min_iou:g} on. Alpha is 1 "
        "where all say the same and 0 where they agree as by chance.",
    )


def _pair_cells(score: PairScore) -> Iterable[Cell]:
    for estimate in (score.f1, score.box_iou, score.mask_iou):
        yield estimate_cell(estimate, "score", scale=1.0)
    yield count_cell(score.n_images)
    yield count_cell(score.n_regions)


def gold_section(report: QaReport) -> Section:
    """People against known truth."""
    gold = report.result.gold
    if not gold.all.n_images:
        missing = (
            "No image with known truth was reviewed yet: set gold (a COCO file) and gold_share = 0.02 "
            "below [experiments], and push."
        )
        return Section("gold", "Images with known truth", (Block(missing=missing),))
    people = [
        (Cell("All"), gold.all),
        *((name_cell(n), gold.per_annotator[n]) for n in sorted(gold.per_annotator)),
    ]
    return Section(
        "gold",
        "Images with known truth",
        (
            *weeks_block("F1 by week", gold.weeks, unit="score"),
            Block(
                title="By annotator",
                table=table(
                    "Known truth by annotator",
                    [Column("Annotator", "name"), *_GOLD],
                    _gold_rows(people, True),
                ),
            ),
            Block(
                title="By class",
                table=table(
                    "Known truth by class",
                    [Column("Class", "name"), *_GOLD],
                    _gold_rows(by_class(report.taxonomy, gold.per_class), False),
                ),
            ),
        ),
        f"People’s regions against the truth, met one to one within a class from IoU {gold.min_iou:g} on.",
    )


def _gold_rows(named: Iterable[tuple[Cell, GoldScore]], total_first: bool) -> list[Row]:
    rows = []
    for n, (cell, of) in enumerate(named):
        estimates = (of.f1, of.precision, of.recall, of.box_iou, of.mask_iou)
        scores = (
            estimate_cell(estimate, "score", scale=1.0 if not i else None)
            for i, estimate in enumerate(estimates)
        )
        counts = (count_cell(value) for value in (of.n_images, of.n_reviews, of.fp, of.fn))
        rows.append(Row((cell, *scores, *counts), total_first and not n))
    return rows


def decoys_section(report: QaReport) -> Section:
    """Show how often planted mistakes were missed."""
    decoys = report.result.decoys
    if not decoys.all.n_shown:
        missing = (
            "No planted mistake was reviewed yet: decoy_share = 0.02 plants some, known to the catalog "
            "only and never exported, to see how often people miss them."
        )
        return Section("decoys", "Planted mistakes", (Block(missing=missing),))
    people = {"All": decoys.all} | dict(sorted(decoys.per_annotator.items()))
    kinds = {_KINDS.get(kind, kind): score for kind, score in decoys.per_kind.items()}
    return Section(
        "decoys",
        "Planted mistakes",
        (
            Block(
                title="By annotator",
                table=table(
                    "Planted mistakes by annotator",
                    [Column("Annotator", "name"), *_DECOY],
                    _decoy_rows(people),
                ),
            ),
            Block(
                title="By kind",
                table=table(
                    "Planted mistakes by kind",
                    [Column("What was wrong", "name"), *_DECOY],
                    _decoy_rows(kinds),
                ),
            ),
        ),
        "Wrong regions planted on purpose among the model’s: those left as they were show how much "
        "people lean on it.",
    )


_ARMS = {
    "assisted": "the model’s regions",
    "gold": "the model’s regions, on gold images",
    "control": "nothing",
}
_KINDS = {"label": "wrong class", "shift": "out of place", "nothing": "nothing there"}


def _decoy_rows(named: Mapping[str, DecoyScore]) -> list[Row]:
    return [
        Row(
            (
                name_cell(name),
                estimate_cell(of.missed, "share", scale=1.0),
                count_cell(of.n_missed),
                count_cell(of.n_shown),
            ),
            name == "All" and not n,
        )
        for n, (name, of) in enumerate(named.items())
    ]
