"""``detseg models compare``: whether one model is better than another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from detseg.cli import options
from detseg.plurals import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from detseg.metrics.paired import Difference
    from detseg.pipeline.judging import Judged

_NAMES = {
    "expected_seconds": "expected seconds per image",
    "expected_edits": "expected edits per image",
    "ap": "box AP",
    "ap50": "box AP50",
    "mask_ap": "mask AP",
    "mask_ap50": "mask AP50",
    "pq": "PQ",
    "miou": "mIoU",
    "calibration_error": "calibration error",
}

_ANSWERS = {True: "yes", False: "no", None: "not known"}


def compare(
    present: Annotated[str, typer.Argument(help="A model, or present for that of preannotate now.")],
    candidate: Annotated[str, typer.Argument(help="The model that may take its place.")],
    *,
    dataset: Annotated[str, typer.Option(help="The dataset version to judge by.")],
    split: Annotated[str, typer.Option(help="Its split, which no model has learned from.")] = "test",
    device: options.DeviceOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Says whether one model is better than another, by the work that people have with its answers.

    Both predict the images of the split. It is better where people need fewer seconds for certain, no
    protected class needs more, and its scores are not worse. Each look at a split raises the bar.
    """
    from detseg.cli.bars import progress_bars
    from detseg.cli.output import answer_refusals, note, print_json
    from detseg.config import load_settings
    from detseg.pipeline.judging import judge

    with answer_refusals(as_json, reasons="missing", better=None), progress_bars():
        settings = load_settings(config, engine__device=device)
        judged = judge(settings, present, candidate, dataset, split=split, warn=note)
    if as_json:
        print_json(judged.to_json())
    else:
        print_judged(judged, present, candidate)


def print_judged(judged: Judged, present: str, candidate: str) -> None:
    """The answer, what speaks against it, and the figures of both models."""
    from detseg.cli.output import print_table, say

    found = judged.judgement
    images = format_count(found.n_images, "image")
    say(f"is {candidate} better than {present}, by {images} of {judged.dataset}, split {judged.split}?")
    say(_ANSWERS[found.better])
    for line in found.missing:
        say(f"  {line}")
    say()
    rows = [
        (_NAMES.get(name, name), *_row(name, found.present, found.candidate, difference))
        for name, difference in found.difference.items()
    ]
    print_table(("", present, candidate, "difference", "interval"), rows)
    say()
    by_class = [
        (label, f"{one.n_truth:,}", *_row("expected_seconds", one.present, one.candidate, difference))
        for label, one in found.per_class.items()
        if (difference := one.difference["expected_seconds"])
    ]
    print_table(
        ("seconds per image by class", "objects", present, candidate, "difference", "interval"), by_class
    )
    say()
    for line in _describe_tuned(judged, candidate):
        say(line)
    level = f"{100 * found.level:.3g} %"
    others = "" if judged.look == 1 else " for seconds and edits, of 95 % for the others"
    say(f"look {judged.look} at these images: intervals are of {level}{others}")


def _describe_tuned(judged: Judged, candidate: str) -> Iterator[str]:
    """Say what was chosen for the candidate before it was judged."""
    if judged.tuned is None:
        return
    chosen = judged.tuned.tuning
    images = format_count(chosen.n_images, "image")
    if chosen.thresholds:
        listed = ", ".join(f"{label} {value:.2f}" for label, value in chosen.thresholds.items())
        yield f"lowest scores of {candidate}, chosen by {images} of val: {listed}"
    if chosen.maps:
        yield f"its scores are mapped to how often people leave such a region, by {images} of val"
    if not chosen.thresholds and not chosen.maps:
        yield f"thresholds and scores of {candidate} stay: by {images} of val nothing is certain to help"


def _row(
    name: str,
    present: Mapping[str, float | None],
    candidate: Mapping[str, float | None],
    difference: Difference,
) -> tuple[str, str, str, str]:
    digits = 1 if name.startswith("expected") else 3
    values = [_number(side.get(name), digits) for side in (present, candidate)]
    low, high = (_number(end, digits, "+") for end in (difference.low, difference.high))
    interval = f"{low} to {high}" if difference.value is not None else low
    return values[0], values[1], _number(difference.value, digits, "+"), interval


def _number(value: float | None, digits: int, sign: str = "") -> str:
    if value is None:
        return "n/a"
    return f"{value:{sign}.{digits}f}" if math.isfinite(value) else "any"
