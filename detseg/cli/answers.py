"""What `detseg qa` says on the screen: the four answers, and a table of the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detseg.cli.output import console, figure, note, table
from detseg.pipeline.qa.notes import notes_on
from detseg.report.wording import format_count, format_interval, format_score, format_seconds, format_share
from detseg.types import EDIT_KINDS

if TYPE_CHECKING:
    from detseg.metrics.effort import Effort
    from detseg.metrics.intervals import Estimate
    from detseg.metrics.qa_result import QaResult
    from detseg.pipeline.evaluate import EvaluateReport
    from detseg.pipeline.send_back import SentBack
    from detseg.report.wording import Unit


def print_evaluated(report: EvaluateReport) -> None:
    """How good the model is, how good the labels are, what was saved, what to change."""
    screen, result = console(), report.result
    screen.print(_basis(result))
    for sentence in notes_on(result):
        note(sentence)
    answers = (
        ("model", _model(result)),
        ("labels", _labels(result)),
        ("saved", _saved(result.work.effort)),
        ("change", _change(result)),
    )
    for name, answer in answers:
        screen.print(f"{name:<8}{answer}", markup=False, soft_wrap=True)
    rows = [
        (name, *(str(getattr(one.counts, kind)) for kind in EDIT_KINDS), figure(one.counts.acceptance_rate))
        for name, one in result.work.edits.per_class.items()
    ]
    if rows:
        screen.print(table(("class", *EDIT_KINDS, "accepted"), rows))
    screen.print(f"report {report.path}", markup=False, soft_wrap=True)
    if report.sent_back and not report.sent_back.problem:
        screen.print(_sent_back(report.sent_back), markup=False, soft_wrap=True)


def _basis(result: QaResult) -> str:
    more = [
        f"{n:,} {name}" for name, n in result.basis.states.items() if n and name in ("skipped", "unlabeled")
    ]
    more += [f"{n:,} {arm}" for arm, n in result.basis.arms.items() if n and arm != "helped"]
    more += ["simulated reviews"] if result.simulated else []
    behind = f" ({', '.join(more)})" if more else ""
    return f"{format_count(result.work.edits.n_images, 'image')} reviewed with the model's regions{behind}"


def _model(result: QaResult) -> str:
    boxes, masks = result.boxes.score, result.masks.score
    parts = [f"box AP {format_score(boxes.ap)} (AP50 {format_score(boxes.ap50)})"]
    if masks.ap is not None:
        parts.append(f"mask AP {format_score(masks.ap)}")
    if result.panoptic.all.pq is not None:
        parts += [
            f"mIoU {format_score(result.segmentation.all.iou)}",
            f"PQ {format_score(result.panoptic.all.pq)}",
        ]
    accepted = result.work.edits.all
    parts.append(
        f"accepted as they were {format_share(accepted.counts.acceptance_rate)}"
        f"{_between(accepted.acceptance_rate, 'share')}"
    )
    return "   ".join(parts)


def _labels(result: QaResult) -> str:
    found = result.suspects
    parts = [
        f"{format_count(found.n_suspects, 'suspect')} in {format_count(found.n_suspect_images, 'image')}"
    ]
    if result.agreement.n_images:
        parts.append(f"agreement (alpha) {_told(result.agreement.all.alpha, 'score')}")
    if result.gold.all.n_images:
        parts.append(f"F1 on gold {_told(result.gold.all.f1, 'share')}")
    if result.decoys.all.n_shown:
        parts.append(f"decoys waved through {_told(result.decoys.all.waved_through, 'share')}")
    return "   ".join(parts)


def _saved(effort: Effort) -> str:
    if effort.method is None:
        return f"{format_interval(effort.saving.share, 'share')}"
    way = (
        f"measured against {format_count(effort.blind.n_blind, 'image')} without help"
        if effort.method == "blind"
        else "by the cost model; blind_share measures it"
    )
    hours = effort.saving.hours.value
    spared = f", {format_seconds(3600 * hours)}" if hours is not None and hours > 0 else ""
    return f"{_told(effort.saving.share, 'share')} of people's time{spared} ({way})"


def _change(result: QaResult) -> str:
    choices = [
        (choice.saved_s_per_1000_images.value, label, choice)
        for label, choice in result.work.thresholds.per_class.items()
        if choice.saved_s_per_1000_images.value is not None and (choice.saved_s_per_1000_images.low or 0) > 0
    ]
    parts = [
        f"threshold of {label} to {choice.threshold:.2f} saves {format_seconds(saved)} in 1,000 images"
        for saved, label, choice in sorted(choices, key=lambda one: (-(one[0] or 0.0), one[1]))[:2]
    ]
    parts += [
        f"people rename {one.model_label} to {one.person_label} ({format_count(one.n, 'time')})"
        for one in result.work.drift.relabels[:1]
    ]
    if result.waiting.ranked and result.waiting.check.holds:
        waiting = format_count(result.waiting.n_images, "waiting image")
        found = _told(result.waiting.check.found, "share")
        parts.append(f"the first fifth of {waiting}, as listed, holds {found} of the corrections")
    parts += [f"acceptance changed in {week.week}" for week in result.work.drift.weeks if week.changed][-1:]
    parts += [f"suspect labels changed in {week.week}" for week in result.suspects.weeks if week.changed][-1:]
    return "   ".join(parts) or "nothing that the figures are sure of"


def _sent_back(sent: SentBack) -> str:
    gone = f" ({format_count(sent.n_gone, 'suspect')} deleted in Label Studio)" if sent.n_gone else ""
    if sent.url is None:
        return f"nothing to send back{gone}: there is no tab for it"
    return f"{format_count(sent.n_sent, 'task')} to look at again{gone}: {sent.url}"


def _told(estimate: Estimate, unit: Unit) -> str:
    """A figure with its interval, or what is missing for it."""
    if estimate.value is None:
        return format_interval(estimate, unit)
    value = format_share(estimate.value) if unit == "share" else format_score(estimate.value)
    return f"{value}{_between(estimate, unit)}"


def _between(estimate: Estimate, unit: Unit) -> str:
    return "" if estimate.value is None else f" ({format_interval(estimate, unit)})"
