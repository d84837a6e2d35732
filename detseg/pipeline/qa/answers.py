"""The four answers of a measurement in words: on the screen, and on Prefect's page. And notes on what
the figures leave out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from detseg.metrics.answers import Figure, Unit, answer_questions
from detseg.pipeline.experiments.gold import say_late_truth
from detseg.pipeline.qa.figures_json import encode_figures
from detseg.plurals import format_count
from detseg.report.steps import next_steps, say_no_steps
from detseg.report.wording import Told, tell, tell_figure

if TYPE_CHECKING:
    from detseg.metrics.intervals import Estimate
    from detseg.metrics.qa_result import QaResult


def answers_of(result: QaResult) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the four answers: how good the model is, how good the labels are, what was saved, what to
    change.

    Each with its name and its figures, the last one with sentences.
    """
    figures = (
        (answer.question, tuple(map(_format, answer.told)))
        for answer in answer_questions(result)
        if answer.question != "change"
    )
    return (*figures, ("change", next_steps(result) or (say_no_steps(result),)))


def basis_of(result: QaResult) -> str:
    """Say how many reviewed images the answers rest on."""
    more = [
        f"{n:,} {name}" for name, n in result.basis.states.items() if n and name in ("skipped", "unlabeled")
    ]
    more += [
        format_count(n, f"{arm} image") for arm, n in result.basis.arms.items() if n and arm != "assisted"
    ]
    more += ["simulated reviews"] if result.simulated else []
    behind = f" ({', '.join(more)})" if more else ""
    return f"{format_count(result.work.edits.n_images, 'image')} reviewed with the model's regions{behind}"


def encode_answer(figure: Figure) -> dict[str, Any]:
    """A figure of the answers as JSON: its numbers, the words in which every screen shows it, and the control
    images that it needs."""
    plan = {} if figure.plan is None else {"plan": encode_figures(figure.plan)}
    return {"name": figure.name, **_encode(figure.estimate, tell_figure(figure)), **plan}


def encode_estimate(estimate: Estimate, unit: Unit, *, noun: str = "image") -> dict[str, Any]:
    """A figure as JSON: its numbers, and its words."""
    return _encode(estimate, tell(estimate, unit, noun=noun))


def _encode(estimate: Estimate, told: Told) -> dict[str, Any]:
    words = {"level": told.level, "text": told.value, "interval": told.interval, "note": told.note}
    numbers: dict[str, Any] = encode_figures(estimate)
    return {**numbers, **words}


def _format(figure: Figure) -> str:
    """A figure with its interval, and what is missing for it."""
    name = figure.name
    if name[1:2].islower():  # not F1, nor mIoU
        name = name[0].lower() + name[1:]
    return f"{name} {tell_figure(figure).whole}"


def notes_on(result: QaResult) -> tuple[str, ...]:
    """One sentence for each thing that is to be known before the figures are read; often none."""
    return tuple(_notes(result))


def _notes(result: QaResult) -> Iterator[str]:
    basis = result.basis
    if not result.n_cases:
        yield "no reviews yet: people submit tasks in Label Studio, `detseg collect` brings what they did"
    unlabeled = basis.states.get("unlabeled", 0)
    if unlabeled and result.n_cases:
        yield f"{format_count(unlabeled, 'task')} predicted and never reviewed: not counted"
    if basis.n_deleted_tasks:
        yield f"{format_count(basis.n_deleted_tasks, 'task')} deleted in Label Studio: not counted"
    if basis.n_incomplete:
        reviews = format_count(basis.n_incomplete, "review")
        yield f"{reviews} left out: `detseg collect` says what in them cannot be read"
    if basis.n_begun_without:
        tasks = format_count(basis.n_begun_without, "task")
        yield f"{tasks} left out: no prediction was there when people began, or it was lost by an import"
    if basis.n_late_truth:
        yield say_late_truth(basis.n_late_truth)
    thresholds = result.work.thresholds
    if basis.promoted is not None and thresholds.n_set_aside:
        used = format_count(thresholds.n_reviews, "review")
        yield (
            f"thresholds follow from {used} of regions of {basis.promoted}, the promoted model; "
            f"{thresholds.n_set_aside:,} of other models are set aside: their scores mean something else"
        )
    strangers = result.suspects.per_rule["outside_taxonomy"].n_suspects
    if strangers:
        regions = format_count(strangers, "region")
        yield f"{regions} with labels that the project lacks (by now): measured, and among the suspects"
    sources = (result.model.control, result.model.assisted)  # gold images are among the assisted ones
    n_misfit_masks = sum(one.masks.n_misfit_masks for one in sources)
    if n_misfit_masks:
        masks = format_count(n_misfit_masks, "mask")
        yield f"{masks} of another size than the image: overlapping nothing"
    left_out = {image: why for one in sources for image, why in one.segmentation.images.left_out.items()}
    if left_out:
        yield f"{format_count(len(left_out), 'image')} not in mIoU and PQ: {next(iter(left_out.values()))}"
