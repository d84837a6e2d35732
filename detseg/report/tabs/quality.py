"""How well the model finds, outlines and names things."""

from __future__ import annotations

from collections.abc import Iterator

from detseg.metrics.detection import ClassScore
from detseg.metrics.panoptic import PanopticScore
from detseg.metrics.semantic import ClassPixels
from detseg.report.cells import count_cell, estimate_cell, in_order, name_cell, table, value_cell
from detseg.report.data import QaReport
from detseg.report.views import Block, Cell, Column, Row, Section
from detseg.report.wording import format_count

_NO_SCORE = ClassScore(None, None, None, 0)
_NO_PIXELS = ClassPixels(None, None, None, None, 0, 0, 0)
_NO_SEGMENTS = PanopticScore(None, None, None)

_TWELVE = (
    ("AP", "ap", "mean over IoU 0.50 to 0.95"),
    ("AP50", "ap50", "at IoU 0.50"),
    ("AP75", "ap75", "at IoU 0.75"),
    ("AP small", "ap_small", "below 32×32 px"),
    ("AP medium", "ap_medium", "32×32 to 96×96 px"),
    ("AP large", "ap_large", "from 96×96 px"),
    ("AR 1", "ar_1", "recall with 1 detection per image"),
    ("AR 10", "ar_10", "recall with 10"),
    ("AR 100", "ar_100", "recall with 100"),
    ("AR small", "ar_small", ""),
    ("AR medium", "ar_medium", ""),
    ("AR large", "ar_large", ""),
)


def detection_section(report: QaReport) -> Section:
    """COCO's twelve figures, of boxes and of masks."""
    both = (("Boxes", report.boxes), ("Masks", report.masks))
    rows = [
        Row((name_cell(name), *(value_cell(getattr(quality.score, key), "score") for _, key, _ in _TWELVE)))
        for name, quality in both
        if quality.n_truth or quality.n_predicted
    ]
    columns = [Column("Overlap of", "name"), *(Column(name, about=about) for name, _, about in _TWELVE)]
    boxes = report.boxes
    note = (
        f"COCO's twelve figures on {format_count(boxes.n_images, 'image')} that people judged; "
        f"{format_count(boxes.n_unreviewed, 'predicted image')} without a review "
        f"{'does' if boxes.n_unreviewed == 1 else 'do'} not count. "
        f"The model drew {format_count(boxes.n_predicted, 'thing')}, people say there are {boxes.n_truth:,}."
    )
    missing = (
        ""
        if rows
        else "No thing on a reviewed image yet: review a task, then run detseg collect and detseg qa."
    )
    return Section(
        "detection",
        "Detection",
        (Block(missing=missing, table=table("Detection: COCO's twelve figures", columns, rows)),),
        note if rows else "",
    )


def segmentation_section(report: QaReport) -> Section:
    """Pixels by class, and segments (panoptic quality)."""
    pixels, panoptic = report.segmentation, report.panoptic
    semantic = (
        ("mIoU", pixels.miou),
        ("Dice", pixels.dice),
        ("Boundary IoU", pixels.boundary_iou),
        ("Pixel accuracy", pixels.pixel_accuracy),
        ("Mean accuracy", pixels.mean_accuracy),
    )
    if not pixels.images.n_images:
        missing = "No mask on a reviewed image: a segmenter and a taxonomy with masks bring them."
        return Section("segmentation", "Segmentation", (Block(missing=missing),))
    groups = (
        ("All", panoptic.all, panoptic.pq),
        ("Things", panoptic.things, panoptic.pq_things),
        ("Stuff", panoptic.stuff, panoptic.pq_stuff),
    )
    rows = [
        Row((name_cell(name), estimate_cell(pq, "score", scale=1.0), *_qualities(score)))
        for name, score, pq in groups
    ]
    named = [
        Row((name_cell(name), estimate_cell(estimate, "score", scale=1.0))) for name, estimate in semantic
    ]
    return Section(
        "segmentation",
        "Segmentation",
        (
            Block(title="Pixels", table=table("Semantic segmentation", ["Figure", "Value"], named)),
            Block(
                title="Segments",
                table=table(
                    "Panoptic quality", ["Segments", "PQ", "SQ", "RQ", "Found", "False", "Missed"], rows
                ),
                text="PQ = SQ × RQ: how well found segments fit, times how many of them are found.",
            ),
        ),
        f"On {format_count(pixels.images.n_images, 'image')} with masks."
        + "".join(f" {reason}." for reason in sorted(set(pixels.images.left_out.values()))[:3]),
    )


def _qualities(score: PanopticScore) -> Iterator[Cell]:
    yield value_cell(score.sq, "score")
    yield value_cell(score.rq, "score")
    yield from (count_cell(n) for n in (score.tp, score.fp, score.fn))


def classes_section(report: QaReport) -> Section:
    """Every class with all that was measured of it."""
    boxes, masks = report.boxes.score.per_class, report.masks.score.per_class
    pixels, segments = report.segmentation.per_class, report.panoptic.per_class
    rows = []
    for name in in_order(report.taxonomy, {*boxes, *masks, *pixels, *segments}):
        box, mask = boxes.get(name, _NO_SCORE), masks.get(name, _NO_SCORE)
        areas, parts = pixels.get(name, _NO_PIXELS), segments.get(name, _NO_SEGMENTS)
        figures = (
            *(box.ap, box.ap50, box.ap75, mask.ap),
            *(areas.iou, areas.dice, areas.boundary_iou),
            *(parts.pq, parts.sq, parts.rq),
        )
        cells = (value_cell(value, "score") for value in figures)
        n_truth = count_cell(max(box.n_truth, mask.n_truth))
        rows.append(Row((name_cell(name, taxonomy=report.taxonomy), n_truth, *cells)))
    columns = [
        "Class",
        "Objects",
        "Box AP",
        "AP50",
        "AP75",
        "Mask AP",
        "IoU",
        "Dice",
        "Boundary IoU",
        "PQ",
        "SQ",
        "RQ",
    ]
    return Section(
        "classes",
        "By class",
        (
            Block(
                missing="" if rows else "No class has a reviewed object yet.",
                table=table("Quality by class", columns, rows),
                text="n/a: the class has nothing to measure there; it is never counted as 0." if rows else "",
            ),
        ),
    )
