"""Edits and figures in words, for people."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import date

from detseg.geometry.masks import mask_to_box
from detseg.metrics.answers import Figure, Unit
from detseg.metrics.control_plan import ControlPlan
from detseg.metrics.intervals import Estimate
from detseg.metrics.shown import Level, show
from detseg.plurals import format_count
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
    digits = 1 if round(percent) in (0, 100) and percent not in (0, 100) else 0
    return f"{_minus(f'{percent:.{digits}f}')}{_THIN}%"


def format_score(value: float | None) -> str:
    """A score with three decimals, in [0, 1], or a difference of two in [-1, 1].

    >>> format_score(0.5), format_score(-0.0004), format_score(-0.25)
    ('0.500', '0.000', '−0.250')
    """
    return NOT_DEFINED if value is None else _minus(f"{value:.3f}")


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
    return _minus(number) + (f"{_THIN}px" if unit == "pixels" else "")


def _minus(number: str) -> str:
    """A formatted number with a minus sign; none where it was rounded to zero.

    >>> _minus("-0.25"), _minus("-0.00"), _minus("0.0")
    ('−0.25', '0.00', '0.0')
    """
    return number.replace("-", "−" if number.strip("-0.") else "")


@dataclass(frozen=True, slots=True)
class Told:
    """A figure in words, the same on every screen. ``interval`` and ``note`` may be empty."""

    level: Level
    value: str
    interval: str
    """its 95 % interval"""
    note: str
    """what it lacks, or what would make it better"""

    @property
    def behind(self) -> str:
        """What stands behind the value: ``81 to 87 %; too few to act on: 45 more images``."""
        return "; ".join(part for part in (self.interval, self.note) if part)

    @property
    def whole(self) -> str:
        """In a line of text: ``84 % (81 to 87 %)``."""
        return f"{self.value} ({self.behind})" if self.behind else self.value


def tell(estimate: Estimate, unit: Unit, *, noun: str = "image") -> Told:
    """Put a figure into words, as ``detseg.metrics.shown`` decides: every screen shows these.

    >>> tell(Estimate(0.84, 0.81, 0.87, 600, None), "score").whole
    '0.840 (0.810 to 0.870)'
    >>> tell(Estimate(None, None, None, 0, 385), "score").whole
    'n/a'
    """
    shown = show(estimate)
    if shown.level == "unknown" or shown.low is None or shown.high is None:
        return Told("unknown", NOT_DEFINED, "", format_count(shown.n, noun) if shown.n else "")
    interval = format_range(shown.low, shown.high, unit)
    note = "" if shown.level == "firm" else say_too_few(shown.n_more, noun)
    return Told(shown.level, format_value(shown.value, unit), interval, note)


def tell_figure(figure: Figure, *, sign: str = "") -> Told:
    """Put a figure of the answers into words; ``sign`` stands before its value, where there is one."""
    told = tell(figure.estimate, figure.unit, noun=figure.noun)
    if told.level != "unknown":
        value = sign + told.value
        if figure.is_difference and not value.startswith("−"):
            value = f"+{value}"
        told = replace(told, value=value)
    if figure.plan is None or not figure.plan.n_more:
        return told
    nothing = told.note or f"no {figure.noun}"
    start = {"firm": "", "rough": "too few to act on; ", "unknown": f"{nothing}; "}[told.level]
    return replace(told, note=f"{start}{say_plan(figure.plan)}")


def say_plan(plan: ControlPlan) -> str:
    """Say how many control images the wanted interval needs.

    >>> say_plan(ControlPlan(0.05, n_control=40, n_more=85, spread="headline"))
    '85 more control images for an interval of ±0.05'
    >>> say_plan(ControlPlan(0.05, n_control=0, n_more=385, spread="bound"))
    'up to 390 control images for an interval of ±0.05'
    """
    about = {"headline": "", "assisted": "about ", "bound": "up to "}[plan.spread]
    noun = "more control image" if plan.n_control else "control image"
    images = format_count(round_up(plan.n_more), noun)
    return f"{about}{images} for an interval of ±{plan.half_width:g}"


def say_too_few(n_more: int | None, noun: str) -> str:
    """Say that a figure is not to be acted on: ``too few to act on: 45 more images``."""
    if n_more is None:
        return "too few to act on"
    return f"too few to act on: {format_count(round_up(n_more), f'more {noun}')}"


def round_up(n: int) -> int:
    """The number, rounded up to two digits: more would say more than is known.

    >>> round_up(45), round_up(381)
    (45, 390)
    """
    step = int(10 ** max(0, len(str(n)) - 2))
    return -(-n // step) * step


def format_estimate(estimate: Estimate | None, unit: Unit) -> str:
    """Its value, as ``tell`` has it."""
    return NOT_DEFINED if estimate is None else tell(estimate, unit).value


def format_interval(estimate: Estimate | None, unit: Unit) -> str:
    """Its 95 % interval, ``81 to 87 %``, and what it lacks."""
    return NOT_DEFINED if estimate is None else tell(estimate, unit).behind


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
