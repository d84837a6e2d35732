"""Notes on what the figures leave out, and why, in sentences for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from detseg.plurals import format_count

if TYPE_CHECKING:
    from detseg.metrics.qa_result import QaResult


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
