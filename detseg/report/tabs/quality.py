"""The tab on how well the model finds, outlines and names things."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from detseg.metrics.answers import NOUNS, Figure, answer_questions
from detseg.metrics.detection import ClassScore, DetectionQuality
from detseg.metrics.intervals import UNKNOWN, Estimate
from detseg.metrics.model_quality import QualityBySource
from detseg.metrics.panoptic import PanopticScore
from detseg.metrics.semantic import ClassPixels
from detseg.plurals import format_count
from detseg.report.cells import count_cell, estimate_cell, in_order, name_cell, table, value_cell
from detseg.report.data import QaReport
from detseg.report.views import Block, Cell, Column, Row, Section, Table
from detseg.report.wording import say_plan, tell_figure

_NO_SCORE = ClassScore(None, None, None, 0)
_NO_PIXELS = ClassPixels(None, None, None, None, 0, 0, 0)
_NO_SEGMENTS = PanopticScore(None, None, None)

_SOURCES_TITLE = "How good the model is, without its help"
_SOURCES_NOTE = (
    "People who see the model’s regions leave what is nearly right, so the model agrees better with them "
    "than with the truth. Its quality is therefore measured on control images, whose annotators saw nothing "
    "of it, or else on gold images, whose truth is known. The difference is how much its regions anchor "
    "people."
)
_BY_HAND_NOTE = (
    " What people draw on control images is off, too, and some things they overlook, so the model looks "
    "worse there than against known truth."
)
_COMPARED: tuple[tuple[str, str, Callable[[QualityBySource], Estimate]], ...] = (
    ("box_ap", "Box AP", lambda of: of.boxes.ap),
    ("mask_ap", "Mask AP", lambda of: of.masks.ap),
    ("precision", "Precision", lambda of: of.boxes.precision),
    ("recall", "Recall", lambda of: of.boxes.recall),
    ("miou", "mIoU", lambda of: of.segmentation.miou),
    ("pq", "Panoptic quality", lambda of: of.panoptic.pq),
)

_Figures = tuple[tuple[str, str, str], ...]
_AVERAGES = ("Average precision", "Average recall")
_AGREEMENT_NAMES = {
    "AP": "Agreement",
    "AP50": "at IoU 0.50",
    "AP75": "at IoU 0.75",
    "AR": "Agreement",
    "AR 10": "of 10",
    "AR 1": "of 1",
}

_PRECISION: _Figures = (
    ("AP", "ap", "mean over IoU"),
    ("AP50", "ap50", "IoU 0.50"),
    ("AP75", "ap75", "IoU 0.75"),
    ("small", "ap_small", "below 32² px"),
    ("medium", "ap_medium", "to 96² px"),
    ("large", "ap_large", "from 96² px"),
)
_RECALL: _Figures = (
    ("AR", "ar_100", "100 per image"),
    ("AR 10", "ar_10", "10 per image"),
    ("AR 1", "ar_1", "1 per image"),
    ("small", "ar_small", "below 32² px"),
    ("medium", "ar_medium", "to 96² px"),
    ("large", "ar_large", "from 96² px"),
)


def sources_section(report: QaReport) -> Section:
    """The model's figures without the model's help, beside those of reviewers who saw it."""
    quality = report.result.model
    best, assisted, anchoring = quality.best, quality.assisted, quality.anchoring
    if best is None and not assisted.n_images:
        missing = "No reviewed image yet: review a task, then run detseg collect and detseg qa."
        return Section("sources", _SOURCES_TITLE, (Block(missing=missing),))
    noun = NOUNS[quality.headline]
    has_both = quality.headline == "control" and quality.gold.n_images > 0
    rows = []
    for key, name, of in _COMPARED:
        if not of(assisted).n and (best is None or not of(best).n):
            continue
        cells = [
            estimate_cell(UNKNOWN if best is None else of(best), "score", noun=noun, scale=1.0),
            estimate_cell(of(assisted), "score", noun="assisted image", scale=1.0),
            anchoring_cell(UNKNOWN if anchoring is None else getattr(anchoring, key), noun=noun),
        ]
        if has_both:
            cells.insert(1, estimate_cell(of(quality.gold), "score", noun="gold image", scale=1.0))
        rows.append(Row((Cell(name), *cells)))
    columns = [
        Column("Figure", "name"),
        Column("Quality", about=f"on {noun}s"),
        Column("Agreement", about="with reviewers who saw the model"),
        Column("Anchoring", about="agreement minus quality"),
    ]
    if has_both:
        columns.insert(2, Column("Quality", about="on gold images, against known truth"))
    blocks = (Block(table=table("Quality and agreement", columns, rows), text=_plan_text(report)),)
    note = _SOURCES_NOTE + (_BY_HAND_NOTE if quality.headline == "control" else "")
    return Section("sources", _SOURCES_TITLE, blocks, note)


def _plan_text(report: QaReport) -> str:
    """What the interval of the headline needs, and how to get it."""
    figure = answer_questions(report.result)[0].main
    if figure.plan is None or not figure.plan.n_more:
        return ""
    waits = f" {waiting}." if (waiting := control_waiting(report)) else ""
    words = say_plan(figure.plan)
    how = "experiments.control_share is the share of new images that are shown without the model’s regions."
    return f"{words[0].upper()}{words[1:]}.{waits} {how}"


def control_waiting(report: QaReport) -> str:
    """Say how many control images nobody has labeled yet; nothing where there are none."""
    n = max(0, report.result.basis.arms.get("control", 0) - report.result.model.control.n_images)
    return f"{format_count(n, 'control image', 'waits', 'wait')} for review" if n else ""


def anchoring_cell(estimate: Estimate, *, noun: str) -> Cell:
    """A difference with its sign."""
    told = tell_figure(Figure("", "", estimate, "score", noun, is_difference=True))
    return Cell(told.value, told.behind, role="" if told.level == "firm" else "quiet")


def source_note(of: QualityBySource) -> str:
    """Say what the figures of a section are taken from."""
    images = format_count(of.n_images, NOUNS[of.source])
    return {
        "control": f"On {images}, whose annotators saw nothing of the model’s.",
        "gold": f"On {images}, against the known truth.",
        "assisted": f"Agreement with reviewers who saw the model’s regions, on {images}: it says less of the "
        "model than control images do, of which there are too few.",
    }[of.source]


def detection_section(report: QaReport) -> Section:
    """COCO's twelve figures, of boxes and of masks."""
    detailed = report.result.model.detailed
    boxes, is_agreement = detailed.boxes, detailed.source == "assisted"
    if not boxes.n_truth + boxes.n_predicted:
        missing = "No thing on a reviewed image yet: review a task, then run detseg collect and detseg qa."
        return Section("detection", "Detection", (Block(missing=missing),))
    states = report.result.basis.states
    unjudged = states.get("unlabeled", 0) + states.get("skipped", 0)
    note = (
        f"{source_note(detailed)} By COCO’s twelve figures; "
        f"{format_count(unjudged, 'task')} that nobody judged {'does' if unjudged == 1 else 'do'} not count. "
        f"The model drew {format_count(boxes.n_predicted, 'thing')}, there are {boxes.n_truth:,}."
    )
    names = ("Agreement in precision", "Agreement in recall") if is_agreement else _AVERAGES
    blocks = (
        Block(table=_coco_table(detailed, names[0], _renamed(_PRECISION) if is_agreement else _PRECISION)),
        Block(table=_coco_table(detailed, names[1], _renamed(_RECALL) if is_agreement else _RECALL)),
    )
    return Section("detection", "Detection", blocks, note, beside=True)


def _renamed(figures: _Figures) -> _Figures:
    """The figures under names that are not those of quality."""
    return tuple((_AGREEMENT_NAMES.get(head, head), key, about) for head, key, about in figures)


def _coco_table(detailed: QualityBySource, name: str, figures: _Figures) -> Table | None:
    measured = [("Boxes", detailed.boxes), ("Masks", detailed.masks)]
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
    if key in intervals:
        return estimate_cell(intervals[key], "score")
    return value_cell(getattr(quality.score, key), "score", n=quality.n_images)


def segmentation_section(report: QaReport) -> Section:
    """Pixels by class, and segments (panoptic quality)."""
    detailed = report.result.model.detailed
    pixels, panoptic = detailed.segmentation, detailed.panoptic
    n = pixels.images.n_images
    semantic = (
        ("mIoU", pixels.miou),
        ("Dice", pixels.dice),
        ("Boundary IoU", pixels.boundary_iou),
        ("Pixel accuracy", pixels.pixel_accuracy),
        ("Mean accuracy", pixels.mean_accuracy),
    )
    if not n:
        missing = "No mask on a reviewed image: a segmenter and a taxonomy with masks bring them."
        return Section("segmentation", "Segmentation", (Block(missing=missing),))
    groups = (
        ("All", panoptic.all, panoptic.pq),
        ("Things", panoptic.things, panoptic.pq_things),
        ("Stuff", panoptic.stuff, panoptic.pq_stuff),
    )
    rows = [
        Row((name_cell(name), estimate_cell(pq, "score", scale=1.0), *_qualities(score, n)))
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
        f"{source_note(detailed)} {format_count(n, 'image')} of them {'has' if n == 1 else 'have'} masks."
        + "".join(f" {reason}." for reason in sorted(set(pixels.images.left_out.values()))[:3]),
    )


def _qualities(score: PanopticScore, n_images: int) -> Iterator[Cell]:
    yield value_cell(score.sq, "score", n=n_images)
    yield value_cell(score.rq, "score", n=n_images)
    yield from (count_cell(n) for n in (score.tp, score.fp, score.fn))


def classes_section(report: QaReport) -> Section:
    """Every class with all that was measured of it."""
    detailed = report.result.model.detailed
    boxes, masks = detailed.boxes.score.per_class, detailed.masks.score.per_class
    pixels, segments = detailed.segmentation.per_class, detailed.panoptic.per_class
    rows = []
    for name in in_order(report.taxonomy, {*boxes, *masks, *pixels, *segments}):
        box, mask = boxes.get(name, _NO_SCORE), masks.get(name, _NO_SCORE)
        areas, parts = pixels.get(name, _NO_PIXELS), segments.get(name, _NO_SEGMENTS)
        figures = (
            *(box.ap, box.ap50, box.ap75, mask.ap),
            *(areas.iou, areas.dice, areas.boundary_iou),
            *(parts.pq, parts.sq, parts.rq),
        )
        cells = [value_cell(value, "score", n=detailed.n_images) for value in figures]
        ap = detailed.boxes.ap_per_class.get(name)
        if ap is not None:
            cells[0] = estimate_cell(ap, "score")
        n_truth = count_cell(max(box.n_truth, mask.n_truth))
        rows.append(Row((name_cell(name, taxonomy=report.taxonomy), n_truth, *cells)))
    heads = ("Box AP", "AP50", "AP75", "Mask AP")
    if detailed.source == "assisted":
        heads = ("Boxes agree", "at IoU 0.50", "at IoU 0.75", "Masks agree")
    columns = [
        "Class",
        "Objects",
        *heads,
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
        source_note(detailed) if rows else "",
    )
