"""The figures that answer the four questions of QA. The terminal, the page and the JSON show these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from detseg.metrics.control_plan import ControlPlan, plan_control
from detseg.metrics.effort import Saving
from detseg.metrics.intervals import UNKNOWN, Estimate, wilson
from detseg.metrics.model_quality import ModelQuality, QualityBySource, Source
from detseg.metrics.qa_result import QaResult
from detseg.metrics.shown import show

Unit = Literal["share", "score", "seconds", "pixels", "number"]
"""The unit of a figure: a share of something, a score in [0, 1], a duration, a distance, or plain."""

Question = Literal["model", "labels", "saved", "change"]
"""How good is the model? How good are the labels? What did the pre-annotations save? What should change?"""


AGREEMENT = "Agreement with reviewers who saw the model"
"""The name of a figure of quality that is taken from assisted reviews: never that of the figure itself."""

ANCHORING = "Anchoring, agreement minus quality"

NOUNS: Mapping[Source | None, str] = {
    "control": "control image",
    "gold": "gold image",
    "assisted": "assisted image",
    None: "control image",
}
"""The images of each source, in words."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its interval. ``key`` names it in JSON, ``name`` on the page and in the terminal."""

    key: str
    name: str
    estimate: Estimate
    unit: Unit
    noun: str = "image"
    """what its interval counts"""
    plan: ControlPlan | None = None
    """the images that it needs"""
    is_difference: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The figure that answers a question, and what is told beside it."""

    question: Question
    main: Figure
    others: tuple[Figure, ...] = ()

    @property
    def told(self) -> tuple[Figure, ...]:
        """The figures for screens: the main one, and of the others those of which enough was seen to compute
        them."""
        return (self.main, *(one for one in self.others if show(one.estimate).level != "unknown"))


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
    """The model's figures where people did not see its regions; then how far those who did agree with it."""
    quality, accepted = result.model, result.work.edits.all.acceptance_rate
    assisted, noun = quality.assisted, NOUNS[quality.headline]
    key, name, of = _headline_figure(quality)
    best = quality.best
    value = UNKNOWN if best is None else of(best)
    where = f" on {noun}s" if quality.headline else ""
    plan = plan_control(value, of(assisted), n_control=quality.control.n_images)
    yield Figure(key, f"{name}{where}", value, "score", noun, plan)
    yield Figure("agreement_assisted", AGREEMENT, of(assisted), "score", "assisted image")
    if quality.anchoring is not None:
        anchored = getattr(quality.anchoring, key)
        yield Figure("anchoring", ANCHORING, anchored, "score", noun, is_difference=True)
    if best is not None:
        yield from _beside(best, key, noun)
    yield Figure("acceptance_rate", "Left as the model drew it", accepted, "share")


def _headline_figure(quality: ModelQuality) -> tuple[str, str, Callable[[QualityBySource], Estimate]]:
    """Key, name and getter: box AP, but mIoU where there are surfaces alone."""
    sources = (quality.control, quality.gold, quality.assisted)
    has_things = any(one.boxes.n_truth + one.boxes.n_predicted for one in sources)
    if has_things or not any(one.segmentation.images.n_images for one in sources):
        return "box_ap", "Box AP", lambda of: of.boxes.ap
    return "miou", "mIoU", lambda of: of.segmentation.miou


def _beside(best: QualityBySource, key: str, noun: str) -> Iterator[Figure]:
    """The other figures of quality that there is something to compute from."""
    if key == "box_ap":
        yield Figure("precision", "Precision", best.boxes.precision, "score", noun)
        yield Figure("recall", "Recall", best.boxes.recall, "score", noun)
    if best.segmentation.images.n_images:
        if key != "miou":
            yield Figure("miou", "mIoU", best.segmentation.miou, "score", noun)
        yield Figure("pq", "Panoptic quality", best.panoptic.pq, "score", noun)


def _labels(result: QaResult) -> tuple[Figure, tuple[Figure, ...]]:
    """The best figure that there is data for: against known truth, between people, or without suspects."""
    suspects, missed = result.suspects, result.decoys.all.missed
    clean = wilson(max(0, suspects.n_images - suspects.n_suspect_images), suspects.n_images)
    figures = [
        Figure("gold_f1", "F1 against known truth", result.gold.all.f1, "score"),
        Figure("agreement_f1", "F1 between people", result.agreement.all.pairs.f1, "score"),
        Figure("unsuspected", "Images without a suspect label", clean, "share"),
    ]
    main = next((one for one in figures if one.estimate.value is not None), figures[-1])
    others = (one for one in figures if one is not main)
    return main, (*others, Figure("decoys_missed", "Planted mistakes missed", missed, "share"))


def _saved(result: QaResult) -> Iterator[Figure]:
    saving, times = result.work.effort.saving, result.work.times
    noun = saving_noun(saving)
    yield Figure("saved", "Share of the time by hand", saving.share, "share", noun)
    yield Figure("hours", "Hours", saving.hours, "number", noun)
    yield Figure("money", "Money", saving.money, "number", noun)
    yield Figure("seconds", "Seconds per review", times.assisted.mean_s, "seconds")


def saving_noun(saving: Saving) -> str:
    """The images that a saving's interval counts: those of the arm that has fewer."""
    return NOUNS["control" if saving.share.n == saving.n_control else "assisted"]


def _change(result: QaResult) -> Iterator[Figure]:
    per_image = result.work.edits.all.edits_per_image
    yield Figure("edits_per_image", "Changes per image", per_image, "number")
