"""The picture of a review: what people left stays quiet, what they changed is marked by kind of edit."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from detseg.report.drawing import (
    Chip,
    Colour,
    Frame,
    draw_box,
    draw_chip,
    draw_cross,
    draw_mask,
    parse_colour,
    place_chips,
)
from detseg.report.pictures import View, count_labels, label_colour
from detseg.report.sheet import Panel
from detseg.report.wording import EDIT_KINDS, instance_box
from detseg.taxonomy import Taxonomy
from detseg.types import Edit, EditKind, Instance

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
    name, and a dashed white ghost of where the model had them; deleted ones are crossed out.
    """
    picture = view.picture.copy()
    kept = [e for e in edits if e.kind == "kept"]
    changed = sorted((e for e in edits if e.kind != "kept"), key=lambda e: EDIT_KINDS.index(e.kind))
    for edit in kept:
        if edit.after is not None:
            _draw_kept(picture, view.frame, edit.after.instance, taxonomy)
    for edit in changed:
        _draw_changed(picture, view.frame, edit)
    chips = [chip for edit in reversed(changed) if (chip := _chip(view.frame, edit)) is not None]
    for chip, place, text in place_chips(chips, view.frame):
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


def _draw_changed(picture: Image.Image, frame: Frame, edit: Edit) -> None:
    colour = parse_colour(EDIT_COLOURS[edit.kind])
    before = edit.before.instance if edit.before is not None else None
    after = edit.after.instance if edit.after is not None else None
    if before is not None and edit.kind != "relabeled":
        box = instance_box(before)
        if box is not None and after is not None:
            draw_box(picture, frame.rectangle(box), _GHOST, line=1, stroke="dashed")
        elif box is not None:
            draw_box(picture, frame.rectangle(box), colour, line=frame.line)
            draw_cross(picture, frame.rectangle(box), colour, line=frame.line)
    if after is None:
        return
    if after.mask is not None:
        fill = 0.2 if after.kind == "stuff" else 0.45
        draw_mask(picture, frame, after.mask, colour, fill=fill, line=frame.line, hatched=False)
    if after.box is not None:
        draw_box(picture, frame.rectangle(after.box), colour, line=frame.line)


def _chip(frame: Frame, edit: Edit) -> Chip | None:
    region = edit.after if edit.after is not None else edit.before
    box = instance_box(region.instance) if region is not None else None
    if region is None or box is None:
        return None
    text = f"{region.instance.label} {edit.kind}"
    return Chip(frame.rectangle(box), text, parse_colour(EDIT_COLOURS[edit.kind]))
