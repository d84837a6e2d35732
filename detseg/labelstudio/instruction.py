"""The instruction of a project: what annotators see on the page, which keys to press, what the classes mean.

Label Studio shows it as HTML and lets scripts through, so every word that is not ours is escaped here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from detseg.labelstudio.shapes import Annotate
from detseg.taxonomy import LabelClass

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
    row = " (under Boxes for a box, under Masks for a mask)" if annotate in ("both", "pairs") else ""
    lines = (
        "<b>Colours:</b> each class has one; the buttons with the labels show which.",
        f"<b>Shapes:</b> {_SHAPES[annotate]}",
        f"<b>Duplicates:</b> where one thing has {twice}, the model found it twice. Delete one.",
        "<b>Scores</b> in the list of regions say how certain the model is, from 0 to 1. Check the low ones "
        "first. They do not change with your work, and do not rate it.",
        "<b>Keys:</b> click a shape to select it. Backspace deletes it, and the key beside a label"
        f"{row} gives it that label. Ctrl+Z undoes.{_PAINTING if annotate != 'boxes' else ''}",
    )
    return f"<p>{_INTRODUCTION}</p><ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


_GUIDE = re.compile(r'<section class="detseg-classes ([0-9a-f]+)">.*?</section>', re.DOTALL)
_PICTURE_PX = 200


def with_guide(instruction: str, guide: str) -> str:
    """Return the instruction with that guide to the classes, in the place of an earlier one, else at its end.

    All else in it, which people may have written, stays. An empty guide leaves none.
    """
    parts = _GUIDE.split(instruction, maxsplit=1)
    before, after = parts[0], parts[-1] if len(parts) > 1 else ""
    return before + guide + _GUIDE.sub("", after)


def guide_stamp(instruction: str) -> str:
    """Return the stamp of the guide in an instruction, empty where there is none."""
    found = _GUIDE.search(instruction)
    return found[1] if found else ""


def class_stamp(classes: Sequence[LabelClass], pictures: Mapping[str, bytes]) -> str:
    """Hash what a guide shows: the classes' guidance, and the bytes of its ``pictures`` by their paths.

    Empty where no class has any guidance.
    """
    guided = [cls.to_json() for cls in classes if _is_guided(cls)]
    digests = [(path, hashlib.sha256(data).hexdigest()) for path, data in sorted(pictures.items())]
    return hashlib.sha256(repr((guided, digests)).encode()).hexdigest()[:16] if guided else ""


def class_guide(classes: Sequence[LabelClass], urls: Mapping[str, str], stamp: str) -> str:
    """Return what annotators are told of the classes, as HTML. ``urls`` are those of examples that are files.

    Empty where no class has any guidance.
    """
    entries = "".join(map("".join, (_describe(cls, urls) for cls in classes if _is_guided(cls))))
    if not entries:
        return ""
    return f'<section class="detseg-classes {stamp}"><hr><h4>Classes</h4>{entries}</section>'


def _is_guided(cls: LabelClass) -> bool:
    return bool(cls.definition or cls.dos or cls.donts or cls.examples)


def _describe(cls: LabelClass, urls: Mapping[str, str]) -> Iterator[str]:
    yield f"<br><p><b>{escape(cls.name)}</b>"  # the page takes margins away
    yield f": {escape(cls.definition)}</p>" if cls.definition else "</p>"
    rules = [f"<li>Yes: {escape(rule)}</li>" for rule in cls.dos]
    rules += [f"<li>No: {escape(rule)}</li>" for rule in cls.donts]
    if rules:
        yield f"<ul>{''.join(rules)}</ul>"
    for example in cls.examples:
        url = escape(urls.get(example, example))
        yield f'<img src="{url}" alt="{escape(cls.name)}" width="{_PICTURE_PX}" hspace="4"> '
