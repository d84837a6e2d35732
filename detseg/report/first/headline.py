"""The headline of the report: the figures, what they mean, and one sentence that sums them up."""

from __future__ import annotations

from dataclasses import dataclass

from detseg.report.first.data import QaReport
from detseg.report.wording import format_count, format_score, format_seconds, format_share
from detseg.types import EDIT_KINDS


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure. ``about`` says what it tells, ``formula`` how it is computed."""

    key: str
    name: str
    value: str
    about: str
    formula: str


def primary_tiles(report: QaReport) -> tuple[Tile, ...]:
    """The four figures to read first."""
    edits, panoptic = report.edits, report.panoptic
    things, stuff = format_score(panoptic.things.pq), format_score(panoptic.stuff.pq)
    return (
        Tile(
            "images",
            "Images reviewed",
            f"{edits.n_images:,}",
            "predicted, and labeled or marked as empty",
            "reviewed images that have a prediction; skipped images are left out",
        ),
        Tile(
            "acceptance_rate",
            "Acceptance rate",
            format_share(edits.all.acceptance_rate),
            f"{edits.all.kept:,} of {format_count(edits.all.n_predicted, 'region')} left as drawn",
            "kept regions / regions that the model drew",
        ),
        Tile(
            "ap",
            "Box AP",
            format_score(report.box.ap),
            "how well boxes are found and placed",
            "area under the precision-recall curve (101 points), mean over IoU 0.50 to 0.95 in steps of 0.05 "
            "and over classes (COCO)",
        ),
        Tile(
            "pq",
            "Panoptic quality",
            format_score(panoptic.all.pq),
            f"things {things}, stuff {stuff}",
            "sum of IoU over matched segments / (matched + half of the false + half of the missed ones), "
            "mean over classes",
        ),
    )


def secondary_tiles(report: QaReport) -> tuple[Tile, ...]:
    """The figures beside them."""
    fit, time = report.mask.all, report.edits.time
    return (
        Tile("ap50", "AP50", format_score(report.box.ap50), "at a loose fit", "box AP at IoU 0.50 only"),
        Tile("ap75", "AP75", format_score(report.box.ap75), "at a tight fit", "box AP at IoU 0.75 only"),
        Tile(
            "mask_iou",
            "Mask IoU",
            format_score(fit.iou),
            f"over {format_count(fit.n_pairs, 'matched mask')}",
            "mean of shared area / joint area, over masks of one class that match (IoU at least 0.5)",
        ),
        Tile(
            "mask_dice",
            "Mask Dice",
            format_score(fit.dice),
            f"over {format_count(fit.n_pairs, 'matched mask')}",
            "mean of 2 x shared area / sum of both areas, over the same masks",
        ),
        Tile(
            "seconds",
            "Time per image",
            format_seconds(time.median_s),
            f"median of {format_count(time.n_images, 'review')}",
            "median of the time from opening a task to submitting it",
        ),
    )


def lead_sentence(report: QaReport) -> str:
    """What happened, in one or two sentences."""
    counts = report.edits.all
    if report.edits.n_images == 0:
        return "No reviewed image yet: the figures below fill as soon as people submit tasks."
    who = "The simulated reviewer" if report.simulated else "People"
    images = format_count(report.edits.n_images, "image")
    if counts.n_predicted == 0:
        return f"{who} went through {images}. The model drew nothing there; {counts.added:,} were added."
    share = format_share(counts.acceptance_rate)
    regions = format_count(counts.n_predicted, "region")
    first = f"{who} went through {images} and left {share} of the model’s {regions} as drawn."
    if counts.n_changes == 0:
        return f"{first} Nothing was changed."
    n, kind = max((int(getattr(counts, kind)), kind) for kind in EDIT_KINDS if kind != "kept")
    by_class = {name: int(getattr(of_class, kind)) for name, of_class in report.edits.per_class.items()}
    worst = max(sorted(by_class), key=lambda name: by_class[name])
    often = f", most often on {worst}" if len(by_class) > 1 else ""
    return f"{first} The most frequent correction was “{kind}” ({n:,} times{often})."
