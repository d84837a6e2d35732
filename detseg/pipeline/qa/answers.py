"""The four answers of a measurement in words: on the screen, and on Prefect's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detseg.metrics.answers import Figure, answer_questions
from detseg.plurals import format_count
from detseg.report.steps import NO_STEPS, next_steps
from detseg.report.wording import format_estimate, format_interval

if TYPE_CHECKING:
    from detseg.metrics.qa_result import QaResult


def answers_of(result: QaResult) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the four answers: how good the model is, how good the labels are, what was saved, what to
    change.

    Each with its name and its figures, the last one with sentences.
    """
    figures = (
        (answer.question, tuple(map(_format, (answer.main, *answer.others))))
        for answer in answer_questions(result)
        if answer.question != "change"
    )
    return (*figures, ("change", next_steps(result) or (NO_STEPS,)))


def basis_of(result: QaResult) -> str:
    """Say how many reviewed images the answers rest on."""
    more = [
        f"{n:,} {name}" for name, n in result.basis.states.items() if n and name in ("skipped", "unlabeled")
    ]
    more += [f"{n:,} {arm}" for arm, n in result.basis.arms.items() if n and arm != "helped"]
    more += ["simulated reviews"] if result.simulated else []
    behind = f" ({', '.join(more)})" if more else ""
    return f"{format_count(result.work.edits.n_images, 'image')} reviewed with the model's regions{behind}"


def _format(figure: Figure) -> str:
    """A figure with its interval, or what is missing for it."""
    name, interval = figure.name, format_interval(figure.estimate, figure.unit)
    if name[1:2].islower():  # not F1, nor mIoU
        name = name[0].lower() + name[1:]
    if figure.estimate.value is None:
        return f"{name} {interval}"
    return f"{name} {format_estimate(figure.estimate, figure.unit)} ({interval})"
