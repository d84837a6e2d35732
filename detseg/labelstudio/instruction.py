"""The instruction of a new project: what annotators see on the page, and which keys to press."""

from __future__ import annotations

from detseg.labelstudio.shapes import Annotate

_INTRODUCTION = (
    "A model has drawn what it found, except in a few pictures. Correct what is wrong, draw what is missing, "
    "then press Submit. If there is nothing to label, delete every shape and submit that."
)
_RING = "A paler ring inside each mask tells apart masks of one colour that touch."
_SHAPES: dict[Annotate, str] = {
    "both": f"each thing is drawn once, as a mask or as a box. Where it is a box, a box is enough. {_RING}",
    "pairs": f"a thing may have a box and a mask. Delete the box, and its mask goes with it. {_RING}",
    "boxes": "each thing has a box, as tight as possible.",
    "masks": f"each thing has a mask of all its visible pixels. {_RING}",
}
_PAINTING = " E is the eraser, B the brush, V the pointer again."


def project_instruction(annotate: Annotate) -> str:
    """Return the instruction as HTML: colours, shapes, duplicates, scores and keys.

    Plain markup only: Label Studio takes styles out.
    """
    twice = "two boxes or two masks" if annotate == "pairs" else "two shapes"
    row = " (of the row Boxes for a box, Masks for a mask)" if annotate in ("both", "pairs") else ""
    lines = (
        "<b>Colours:</b> each class has one; the buttons below the picture show which.",
        f"<b>Shapes:</b> {_SHAPES[annotate]}",
        f"<b>Duplicates:</b> where one thing has {twice}, the model found it twice. Delete one.",
        "<b>Scores</b> in the list of regions say how certain the model is, from 0 to 1. Check the low ones "
        "first. They do not change with your work, and do not rate it.",
        "<b>Keys:</b> click a shape to select it. Backspace deletes it, and the key beside a label"
        f"{row} gives it that label. Ctrl+Z undoes.{_PAINTING if annotate != 'boxes' else ''}",
    )
    return f"<p>{_INTRODUCTION}</p><ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"
