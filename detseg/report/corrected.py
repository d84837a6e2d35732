"""The picture of a review: what people left stays quiet, what they changed is marked by kind of edit."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from detseg.report.drawing import (
    Chip,
    Colour,
    Frame,
    Place,
    draw_box,
    draw_chip,
    draw_cross,
    draw_mask,
    parse_colour,
    place_chips,
)
from detseg.report.pictures import View, count_labels, label_colour
from detseg.report.sheet import Panel
from detseg.report.wording import instance_box
from detseg.taxonomy import Taxonomy
from detseg.types import EDIT_KINDS, Edit, EditKind, Instance

EDIT_COLOURS: dict[EditKind, str] = {
    "kept": "#a3adba",
    "moved": "#56b4e9",
    "reshaped": "#0072b2",
    "relabeled": "#e69f00",
    "deleted": "#d55e00",
    "added": "#009e73",
}
"""The palette of Okabe and Ito, "Color universal design", 2008: told apart without red-green vision."""

_GHOST: Colour = (255, 255, 255)


def corrected_panel(view: View, edits: Sequence[Edit], taxonomy: Taxonomy, *, title: str) -> Panel:
    """The image as people left it. Counts are of what is there after the review.

    Kept things have a thin line in the colour of their class; changed ones the colour of the edit, a
    name, and a white ghost (dashed for boxes) of what the model had drawn; deleted ones are crossed out.
    """
    picture = view.picture.copy()
    chips: list[Chip] = []
    for edit in sorted(edits, key=_paint_order):
        if edit.kind != "kept":
            chips += _draw_changed(picture, view.frame, edit)
        elif edit.after is not None:
            _draw_kept(picture, view.frame, edit.after.instance, taxonomy)
    for chip, place, text in place_chips(chips[::-1], view.frame):
        draw_chip(picture, chip, place, text)
    after = [e.after.instance for e in edits if e.after is not None]
    return Panel(title, picture, count_labels(after, taxonomy))


def _draw_kept(picture: Image.Image, frame: Frame, instance: Instance, taxonomy: Taxonomy) -> None:
    colour = label_colour(taxonomy, instance.label)
    if instance.mask is not None:
        fill = 0.12 if instance.kind == "stuff" else 0.25
        draw_mask(picture, frame, instance.mask, colour, fill=fill, line=1, hatched=False)
    elif instance.box is not None:
        draw_box(picture, frame.rectangle(instance.box), colour, line=1)


def _draw_changed(picture: Image.Image, frame: Frame, edit: Edit) -> list[Chip]:
    """Draws one edit and answers the name that goes with it, if there is anything to name."""
    colour = parse_colour(EDIT_COLOURS[edit.kind])
    if edit.after is None:
        return _draw_deleted(picture, frame, edit, colour)
    after = edit.after.instance
    if edit.before is not None:
        _draw_ghost(picture, frame, edit.before.instance, after)
    place: Place | None = None
    if after.mask is not None:
        fill, line = (0.12, 1) if after.kind == "stuff" else (0.45, frame.line)
        place = draw_mask(picture, frame, after.mask, colour, fill=fill, line=line, hatched=False)
    if after.box is not None:
        rectangle = frame.rectangle(after.box)
        draw_box(picture, rectangle, colour, line=frame.line)
        place = Place(rectangle, place.middle if place else rectangle[:2])
    if place is None:
        return []
    spot = place.middle if after.kind == "stuff" else None
    return [Chip(place.rectangle, f"{after.label} {edit.kind}", colour, spot)]


def _draw_deleted(picture: Image.Image, frame: Frame, edit: Edit, colour: Colour) -> list[Chip]:
    box = instance_box(edit.before.instance) if edit.before is not None else None
    if edit.before is None or box is None:
        return []
    rectangle = frame.rectangle(box)
    draw_box(picture, rectangle, colour, line=frame.line)
    draw_cross(picture, rectangle, colour, line=frame.line)
    return [Chip(rectangle, f"{edit.before.instance.label} deleted", colour)]


def _draw_ghost(picture: Image.Image, frame: Frame, before: Instance, after: Instance) -> None:
    """Draw what the model had drawn, where that is not what is there now."""
    if before.mask is not None and before.mask != after.mask:
        draw_mask(picture, frame, before.mask, _GHOST, fill=0.0, line=1, hatched=False)
    if before.box is not None and before.box != after.box:
        draw_box(picture, frame.rectangle(before.box), _GHOST, line=max(1, frame.line - 1), stroke="dashed")


def _paint_order(edit: Edit) -> tuple[bool, bool, int]:
    """Surfaces below things, what was kept below what was changed."""
    region = edit.after if edit.after is not None else edit.before
    thing = region is not None and region.instance.kind == "thing"
    return thing, edit.kind != "kept", EDIT_KINDS.index(edit.kind)
