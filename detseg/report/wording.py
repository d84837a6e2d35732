"""Edits and figures in words, for people."""

from __future__ import annotations

import math
import re
from datetime import date

from detseg.geometry.masks import mask_to_box
from detseg.metrics.answers import Unit
from detseg.metrics.intervals import Estimate, say_missing
from detseg.types import Box, Edit, EditKind, Instance, Region

EDIT_MEANINGS: dict[EditKind, str] = {
    "kept": "left as the model drew it",
    "moved": "the box was moved or resized",
    "reshaped": "the outline of the mask was redrawn",
    "relabeled": "it was given another class",
    "deleted": "it was not there",
    "added": "the model had missed it",
}

NOT_DEFINED = "n/a"

_WEEK = re.compile(r"(\d{4})-W(\d{2})")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_THIN = "\u202f"
"""Between a number and its unit: narrow, and no line breaks there."""


def describe_edit(edit: Edit) -> str:
    """One edit in words: ``bolt moved 6 px (IoU 0.82)``."""
    before, after = edit.before, edit.after
    name = _name(after if after is not None else before)
    overlap = f" (IoU {edit.iou:.2f})" if edit.iou is not None else ""
    if edit.kind == "relabeled" and before is not None and after is not None:
        return f"{_name(before)} relabeled as {_name(after)}"
    if edit.kind == "moved" and before is not None and after is not None:
        return f"{name} {_movement(before.instance, after.instance)}{overlap}"
    if edit.kind == "reshaped" and before is not None and after is not None:
        masks = (before.instance.mask is not None, after.instance.mask is not None)
        if masks[0] != masks[1]:  # the IoU is of the boxes then, and says nothing about the change
            return f"{name} reshaped: its mask was {'added' if masks[1] else 'removed'}"
    if edit.kind == "deleted" and before is not None and before.instance.score is not None:
        return f"{name} deleted (score {before.instance.score:.2f})"
    return f"{name} {edit.kind}{overlap}"


def format_share(value: float | None) -> str:
    """A share as a percentage: ``84 %``; ``99.7 %`` where rounding would hide that it is not all."""
    if value is None:
        return NOT_DEFINED
    percent = value * 100
    if round(percent) in (0, 100) and percent not in (0, 100):
        return f"{percent:.1f}{_THIN}%"
    return f"{percent:.0f}{_THIN}%"


def format_score(value: float | None) -> str:
    """A score in [0, 1] with three decimals."""
    return NOT_DEFINED if value is None else f"{value:.3f}"


def format_seconds(value: float | None) -> str:
    """A duration at the precision that matters: ``85 ms``, ``3.4 s``, ``48 s``, ``2 min 05 s``."""
    if value is None:
        return NOT_DEFINED
    if value == 0:
        return f"0{_THIN}s"
    if value < 1:
        return f"{value * 1000:.0f}{_THIN}ms"
    if value < 9.95:
        return f"{value:.1f}{_THIN}s"
    if round(value) < 120:
        return f"{value:.0f}{_THIN}s"
    minutes, seconds = divmod(round(value), 60)
    if minutes < 120:
        return f"{minutes}{_THIN}min {seconds:02d}{_THIN}s"
    hours, minutes = divmod(round(value / 60), 60)
    return f"{hours}{_THIN}h {minutes:02d}{_THIN}min"


def format_value(value: float | None, unit: Unit) -> str:
    """A figure of that unit; ``n/a`` where it is not defined."""
    if value is None:
        return NOT_DEFINED
    if unit == "share":
        return format_share(value)
    if unit == "score":
        return format_score(value)
    if unit == "seconds":
        return f"−{format_seconds(-value)}" if value < 0 else format_seconds(value)
    number = (
        f"{value:,.0f}"
        if abs(value) >= 99.5
        else f"{value:.{0 if abs(value) >= 9.95 else 1 if abs(value) >= 0.95 else 2}f}"
    )
    return number.replace("-", "−") + (f"{_THIN}px" if unit == "pixels" else "")


def format_estimate(estimate: Estimate | None, unit: Unit) -> str:
    """Its value; ``n/a`` where it is not told."""
    return format_value(None if estimate is None else estimate.value, unit)


def format_interval(estimate: Estimate | None, unit: Unit, *, noun: str = "image") -> str:
    """Its 95 % interval, ``81 to 87 %``; what is missing where it is not told."""
    if estimate is None or estimate.value is None or estimate.low is None or estimate.high is None:
        return NOT_DEFINED if estimate is None else say_missing(estimate, noun)
    return format_range(estimate.low, estimate.high, unit)


def format_range(low_value: float, high_value: float, unit: Unit) -> str:
    """Two figures with their unit said once where it is one: ``81 to 87 %``."""
    low, high = format_value(low_value, unit), format_value(high_value, unit)
    (low_number, _, low_unit), (_, _, high_unit) = low.partition(_THIN), high.partition(_THIN)
    once = low_unit == high_unit and _THIN not in low_unit  # not "4 min 10 s"
    return f"{low_number if once else low} to {high}"


def week_label(week: str) -> str:
    """The Monday of an ISO week, ``2026-W07``: ``9 Feb``; anything else as it is.

    >>> week_label("2026-W07"), week_label("unknown")
    ('9 Feb', 'unknown')
    """
    found = _WEEK.fullmatch(week)
    if found is None:
        return week
    monday = date.fromisocalendar(int(found[1]), int(found[2]), 1)
    return f"{monday.day} {_MONTHS[monday.month - 1]}"


def _name(region: Region | None) -> str:
    return region.instance.label if region is not None else "region"


def _movement(before: Instance, after: Instance) -> str:
    a, b = instance_box(before), instance_box(after)
    if a is None or b is None:
        return "moved"
    distance = math.hypot(b.x0 + b.x1 - a.x0 - a.x1, b.y0 + b.y1 - a.y0 - a.y1) / 2
    return f"moved {distance:.0f} px" if distance >= 0.5 else "resized"


def instance_box(instance: Instance) -> Box | None:
    """Its box, or the box around its mask; None for an empty mask."""
    if instance.box is not None:
        return instance.box
    return mask_to_box(instance.mask) if instance.mask is not None else None
