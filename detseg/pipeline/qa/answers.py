"""The four answers of a measurement in words: on the screen, and on Prefect's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detseg.metrics.answers import Figure, Unit, answer_questions
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
