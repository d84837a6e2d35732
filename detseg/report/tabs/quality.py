"""The tab on how well the model finds, outlines and names things."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detseg.metrics.detection import ClassScore, DetectionQuality
from detseg.metrics.panoptic import PanopticScore
from detseg.metrics.semantic import ClassPixels
from detseg.plurals import format_count
from detseg.report.cells import count_cell, estimate_cell, in_order, name_cell, table, value_cell
from detseg.report.data import QaReport
from detseg.report.views import Block, Cell, Column, Row, Section, Table

_NO_SCORE = ClassScore(None, None, None, 0)
_NO_PIXELS = ClassPixels(None, None, None, None, 0, 0, 0)
_NO_SEGMENTS = PanopticScore(None, None, None)

_PRECISION = (
    ("AP", "ap", "mean over IoU"),
    ("AP50", "ap50", "IoU 0.50"),
    ("AP75", "ap75", "IoU 0.75"),
    ("small", "ap_small", "below 32² px"),
    ("medium", "ap_medium", "to 96² px"),
    ("large", "ap_large", "from 96² px"),
)
_RECALL = (
    ("AR", "ar_100", "100 per image"),
    ("AR 10", "ar_10", "10 per image"),
    ("AR 1", "ar_1", "1 per image"),
    ("small", "ar_small", "below 32² px"),
    ("medium", "ar_medium", "to 96² px"),
    ("large", "ar_large", "from 96² px"),
)


def detection_section(report: QaReport) -> Section:
    """COCO's twelve figures, of boxes and of masks."""
    boxes = report.result.boxes
    if not boxes.n_truth + boxes.n_predicted:
        missing = "No thing on a reviewed image yet: review a task, then run detseg collect and detseg qa."
        return Section("detection", "Detection", (Block(missing=missing),))
    states = report.result.basis.states
    unjudged = states.get("unlabeled", 0) + states.get("skipped", 0)
    note = (
        f"COCO’s twelve figures on {format_count(boxes.n_images, 'image')} that people judged; "
        f"{format_count(unjudged, 'task')} that nobody judged {'does' if unjudged == 1 else 'do'} not count. "
        f"The model drew {format_count(boxes.n_predicted, 'thing')}, people say there are {boxes.n_truth:,}."
    )
    blocks = (
        Block(table=_coco_table(report, "Average precision", _PRECISION)),
        Block(table=_coco_table(report, "Average recall", _RECALL)),
    )
    return Section("detection", "Detection", blocks, note, beside=True)


def _coco_table(report: QaReport, name: str, figures: Sequence[tuple[str, str, str]]) -> Table | None:
    measured = [("Boxes", report.result.boxes), ("Masks", report.result.masks)]
    rows = [
        Row((name_cell(overlap), *(_coco_cell(of, key) for _, key, _ in figures)))
        for overlap, of in measured
        if of.n_truth or of.n_predicted
    ]
    columns = (Column("Overlap of", "name"), *(Column(head, about=about) for head, _, about in figures))
    return table(name, columns, rows)


def _coco_cell(quality: DetectionQuality, key: str) -> Cell:
    """With its interval, where it has one."""
    intervals = {"ap": quality.ap, "ap50": quality.ap50}
    if key in intervals and intervals[key].value is not None:
        return estimate_cell(intervals[key], "score")
    return value_cell(getattr(quality.score, key), "score")


def segmentation_section(report: QaReport) -> Section:
    """Pixels by class, and segments (panoptic quality)."""
    pixels, panoptic = report.result.segmentation, report.result.panoptic
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
    figures = [
        Row((Cell("All classes"), *(estimate_cell(value, "score", scale=1.0) for _, value in semantic)))
    ]
    return Section(
        "segmentation",
        "Segmentation",
        (
            Block(table=table("Semantic segmentation", ["Pixels", *(name for name, _ in semantic)], figures)),
            Block(
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
    boxes, masks = report.result.boxes.score.per_class, report.result.masks.score.per_class
    pixels, segments = report.result.segmentation.per_class, report.result.panoptic.per_class
    rows = []
    for name in in_order(report.taxonomy, {*boxes, *masks, *pixels, *segments}):
        box, mask = boxes.get(name, _NO_SCORE), masks.get(name, _NO_SCORE)
        areas, parts = pixels.get(name, _NO_PIXELS), segments.get(name, _NO_SEGMENTS)
        figures = (
            *(box.ap, box.ap50, box.ap75, mask.ap),
            *(areas.iou, areas.dice, areas.boundary_iou),
            *(parts.pq, parts.sq, parts.rq),
        )
        cells = [value_cell(value, "score") for value in figures]
        ap = report.result.boxes.ap_per_class.get(name)
        if ap is not None and ap.value is not None:
            cells[0] = estimate_cell(ap, "score")
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
