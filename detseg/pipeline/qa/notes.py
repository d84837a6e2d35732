"""What the figures leave out, and why, in sentences for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detseg.pipeline.qa.result import QaResult


def notes_on(result: QaResult) -> tuple[str, ...]:
    """One sentence for each thing that is to be known before the figures are read; often none."""
    return tuple(_notes(result))


def _notes(result: QaResult) -> Iterator[str]:
    basis = result.basis
    if not result.n_cases:
        yield "no reviews yet: people submit tasks in Label Studio, `detseg collect` brings what they did"
    unlabeled = basis.states.get("unlabeled", 0)
    if unlabeled and result.n_cases:
        yield f"{_count(unlabeled, 'task')} predicted and never reviewed: not counted"
    if basis.n_deleted_tasks:
        yield f"{_count(basis.n_deleted_tasks, 'task')} deleted in Label Studio: not counted"
    if basis.n_incomplete:
        reviews = _count(basis.n_incomplete, "review")
        yield f"{reviews} left out: `detseg collect` says what in them cannot be read"
    strangers = result.suspects.per_rule["outside_taxonomy"].n_suspects
    if strangers:
        regions = _count(strangers, "region")
        yield f"{regions} with labels that the project lacks (by now): measured, and among the suspects"
    if result.masks.n_misfit_masks:
        masks = _count(result.masks.n_misfit_masks, "mask")
        yield f"{masks} of another size than the image: overlapping nothing"
    left_out = result.segmentation.images.left_out
    if left_out:
        yield f"{_count(len(left_out), 'image')} not in mIoU and PQ: {next(iter(left_out.values()))}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
