"""The next steps, as sentences with figures: only those that an interval stands behind, dearest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from detseg.metrics.intervals import MIN_UNITS
from detseg.plurals import format_count
from detseg.report.wording import format_estimate, format_interval, format_value, week_label

if TYPE_CHECKING:
    from detseg.metrics.drift import WeekOfEdits
    from detseg.metrics.qa_result import QaResult
    from detseg.metrics.weeks import WeekShare

MOST_OF_A_KIND, MOST_STEPS = 2, 6

_NO_STEPS = "Nothing stands out of what chance would make."
_NO_REVIEWS = "Nothing has been reviewed yet: steps come with reviews."


def next_steps(result: QaResult) -> tuple[str, ...]:
    """At most six: thresholds, confused classes, the dearest errors, the queue, drift, suspects, measures."""
    steps = (
        *_begin(result),
        *_thresholds(result),
        *_relabels(result),
        *_errors(result),
        *_waiting(result),
        *_drift(result),
        *_label_drift(result),
        *_suspects(result),
        *_measure(result),
    )
    return steps[:MOST_STEPS]


def say_no_steps(result: QaResult) -> str:
    """Say why there is no step."""
    return _NO_STEPS if result.n_cases else _NO_REVIEWS


def _begin(result: QaResult) -> Iterator[str]:
    """The first steps, where nothing was reviewed."""
    waiting = result.basis.states.get("unlabeled", 0)
    if result.n_cases or not waiting:
        return
    wait = format_count(waiting, "image", "waits", "wait")
    yield f"Review images ({wait}): from {MIN_UNITS} on figures can be acted on."
    control = result.basis.arms.get("control", 0)
    if control:
        yield f"Count on {format_count(control, 'control image')} among them for how good the model is."
    else:
        yield "Have control images among the new ones, for how good the model is: experiments.control_share."


def _thresholds(result: QaResult) -> Iterator[str]:
    chosen = result.work.thresholds.per_class.items()
    sure = [(name, of) for name, of in chosen if of.pays]
    sure.sort(key=lambda entry: (-(entry[1].saved_s_per_1000_images.value or 0.0), entry[0]))
    for name, of in sure[:MOST_OF_A_KIND]:
        saved = of.saved_s_per_1000_images
        yield (
            f"Drop {name} below {of.threshold:.2f}: saves {format_estimate(saved, 'seconds')} in 1,000 "
            f"images ({format_interval(saved, 'seconds')})."
        )


def _relabels(result: QaResult) -> Iterator[str]:
    sure = [r for r in result.work.drift.relabels if (r.share.low or 0.0) >= 0.02]
    for relabel in sure[:MOST_OF_A_KIND]:
        yield (
            f"Teach {relabel.model_label} and {relabel.person_label} apart: "
            f"{format_estimate(relabel.share, 'share')} of {relabel.model_label} is renamed "
            f"({format_interval(relabel.share, 'share')})."
        )


def _errors(result: QaResult) -> Iterator[str]:
    detailed = result.model.detailed
    costs = [(c.ap_cost, kind) for kind, c in detailed.boxes.errors.kinds.items() if c.ap_cost]
    if costs and detailed.n_images >= MIN_UNITS:
        cost, kind = max(costs)
        what = {
            "missed": "missed objects",
            "background": "detections where nothing is",
            "location": "bad placement",
        }
        named = what.get(kind, f"errors of kind “{kind}”")
        lost = format_value(cost, "score")
        figure = "agreement at IoU 0.50" if detailed.source == "assisted" else "AP50"
        yield f"Train against {named}: {lost} of {figure} to win, more than from any other error."


def _waiting(result: QaResult) -> Iterator[str]:
    waiting = result.waiting
    if waiting.ranked and waiting.check.holds:
        found = waiting.check.found
        yield (
            f"Take the {format_count(waiting.n_images, 'image')} that wait in the order of the list: its "
            f"first fifth should hold {format_estimate(found, 'share')} of the corrections "
            f"({format_interval(found, 'share')})."
        )


def _drift(result: QaResult) -> Iterator[str]:
    yield from _last_change("acceptance", result.work.drift.weeks)


def _label_drift(result: QaResult) -> Iterator[str]:
    yield from _last_change("the share of labels under suspicion", result.suspects.weeks)
    yield from _last_change("F1 against known truth", result.gold.weeks)
    yield from _last_change("F1 between people", result.agreement.weeks)


def _last_change(what: str, weeks: Sequence[WeekShare | WeekOfEdits]) -> Iterator[str]:
    for week in [w for w in weeks if w.changed][-1:]:
        if week.change is None or week.change_low is None or week.change_high is None:
            continue
        points = [
            f"{100 * v:+.0f}".replace("-", "−") for v in (week.change, week.change_low, week.change_high)
        ]
        yield (
            f"Look at the week of {week_label(week.week)}: {what} changed by {points[0]} points "
            f"({points[1]} to {points[2]})."
        )


def _suspects(result: QaResult) -> Iterator[str]:
    labels, images = result.suspects.n_suspects, result.suspects.n_suspect_images
    if images:
        yield (
            f"Look again at {format_count(labels, 'label')} under suspicion on "
            f"{format_count(images, 'image')}: detseg qa --send-back {min(images, 50)}."
        )


def _measure(result: QaResult) -> Iterator[str]:
    if result.n_cases and not result.basis.arms.get("control"):
        yield (
            "Measure how good the model is, and what it saves: experiments.control_share is the "
            "share of new images that are shown without its regions."
        )
    if result.suspects.n_images and not result.agreement.n_images:
        yield "Learn how far people agree: set queue.overlap = 2 for some images."
