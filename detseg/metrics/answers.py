"""The figures that answer the four questions of QA. The terminal, the page and the JSON show these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from detseg.metrics.intervals import Estimate, wilson
from detseg.metrics.qa_result import QaResult

Unit = Literal["share", "score", "seconds", "pixels", "number"]
"""The unit of a figure: a share of something, a score in [0, 1], a duration, a distance, or plain."""

Question = Literal["model", "labels", "saved", "change"]
"""How good is the model? How good are the labels? What did the pre-annotations save? What should change?"""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its interval. ``key`` names it in JSON, ``name`` on the page and in the terminal."""

    key: str
    name: str
    estimate: Estimate
    unit: Unit


@dataclass(frozen=True, slots=True)
class Answer:
    """The figure that answers a question, and what is told beside it."""

    question: Question
    main: Figure
    others: tuple[Figure, ...] = ()


def answer_questions(result: QaResult) -> tuple[Answer, Answer, Answer, Answer]:
    """The four answers, in the order in which people ask."""
    return (
        Answer("model", *_main_first(_model(result))),
        Answer("labels", *_labels(result)),
        Answer("saved", *_main_first(_saved(result))),
        Answer("change", *_main_first(_change(result))),
    )


def _main_first(figures: Iterator[Figure]) -> tuple[Figure, tuple[Figure, ...]]:
    main, *others = figures
    return main, tuple(others)


def _model(result: QaResult) -> Iterator[Figure]:
    accepted = result.work.edits.all.acceptance_rate
    yield Figure("acceptance_rate", "Left as the model drew it", accepted, "share")
    yield Figure("box_ap", "Box AP", result.boxes.ap, "score")
    yield Figure("pq", "Panoptic quality", result.panoptic.pq, "score")
    yield Figure("miou", "mIoU", result.segmentation.miou, "score")


def _labels(result: QaResult) -> tuple[Figure, tuple[Figure, ...]]:
    """The best figure that there is data for: against known truth, between people, or without suspects."""
    suspects, passed = result.suspects, result.decoys.all.waved_through
    clean = wilson(max(0, suspects.n_images - suspects.n_suspect_images), suspects.n_images)
    figures = [
        Figure("gold_f1", "F1 against known truth", result.gold.all.f1, "score"),
        Figure("agreement_f1", "F1 between people", result.agreement.all.pairs.f1, "score"),
        Figure("unsuspected", "Images without a suspect label", clean, "share"),
    ]
    main = next((one for one in figures if one.estimate.value is not None), figures[-1])
    others = (one for one in figures if one is not main)
    return main, (*others, Figure("waved_through", "Planted mistakes missed", passed, "share"))


def _saved(result: QaResult) -> Iterator[Figure]:
    saving, times = result.work.effort.saving, result.work.times
    yield Figure("saved", "Of the time by hand saved", saving.share, "share")
    yield Figure("hours", "Hours", saving.hours, "number")
    yield Figure("money", "Money", saving.money, "number")
    yield Figure("seconds", "Seconds per review", times.helped.mean_s, "seconds")


def _change(result: QaResult) -> Iterator[Figure]:
    per_image = result.work.edits.all.edits_per_image
    yield Figure("edits_per_image", "Changes per image", per_image, "number")
