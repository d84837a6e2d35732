"""Results that are one instance: the box and the mask of one thing.

What we sent says it in its ids, ``<id>-box`` and ``<id>-mask``; they hold whatever a person does to either
half. The mask's ``parentID`` is its box, so the page lists it below; that link survives edits too, but stays
when the box is deleted, and people can draw it anew.

What a person drew is joined where it is certain: a box and a mask of one label, each without another half,
at least one of them drawn by a person, that overlap and are

- linked: by ``parentID`` (drag one onto the other in the page's list) or by a relation, or
- tight: the box fits the mask (IoU from 0.9 on with the mask's own box), and no other pair does for either.

Everything else stays what it is: a box alone, a mask alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detseg.geometry.boxes import box_iou
from detseg.geometry.masks import mask_to_box
from detseg.types import Box, Mask

BOX_SUFFIX = "-box"
MASK_SUFFIX = "-mask"

_HALF_ID = re.compile(r"(.{10,})(?:-box|-mask)")  # the page's own ids have ten characters
_MODEL_ID = re.compile(r"detseg-[0-9a-f]{16}")
_TIGHT_IOU = 0.9


@dataclass(frozen=True, slots=True)
class Half:
    """A result as read: a box or a mask."""

    result_id: str
    label: str
    shape: Box | Mask
    score: float | None = None

    @property
    def region_id(self) -> str:
        """The id of the region that it is a half of, if its id says so; else its own."""
        half = _HALF_ID.fullmatch(self.result_id)
        return half.group(1) if half else self.result_id

    @property
    def is_models(self) -> bool:
        return _MODEL_ID.fullmatch(self.region_id) is not None


Links = frozenset[frozenset[str]]
"""Pairs of results that belong together."""


def read_links(results: Sequence[Mapping[str, Any]]) -> Links:
    """What ``parentID`` and relations link."""
    pairs = [(str(result.get("id")), str(result["parentID"])) for result in results if result.get("parentID")]
    pairs += [
        (str(result.get("from_id")), str(result.get("to_id")))
        for result in results
        if result.get("type") == "relation"
    ]
    return frozenset(frozenset(pair) for pair in pairs)


def join_halves(halves: Sequence[Half], links: Links, things: frozenset[str]) -> list[list[Half]]:
    """The halves of each region. Only things have two."""
    groups: dict[str, list[Half]] = {}
    for half in halves:
        groups.setdefault(half.region_id, []).append(half)
    lone = [group[0] for group in groups.values() if len(group) == 1 and group[0].label in things]
    for box, mask in _certain_pairs(lone, links):
        first, second = (mask, box) if mask.is_models else (box, mask)
        groups[first.region_id].append(groups.pop(second.region_id)[0])
    return list(groups.values())


def _certain_pairs(lone: Sequence[Half], links: Links) -> Iterator[tuple[Half, Half]]:
    """Boxes and masks of one label that are each other's only candidates: the linked ones, then the tight."""
    boxes = [(half, half.shape) for half in lone if isinstance(half.shape, Box)]
    labels = {box.label for box, _ in boxes}
    masks = [
        (half, own)
        for half in lone
        if isinstance(half.shape, Mask)
        and half.label in labels
        and (own := mask_to_box(half.shape)) is not None
    ]
    candidates = [
        (box, mask, iou)
        for box, outer in boxes
        for mask, inner in masks
        if box.label == mask.label
        and not (box.is_models and mask.is_models)
        and (iou := box_iou(outer, inner)) > 0
    ]
    linked = _only([(b, m) for b, m, _ in candidates if frozenset((b.result_id, m.result_id)) in links])
    taken = {half.result_id for pair in linked for half in pair}
    tight = [
        (b, m) for b, m, iou in candidates if iou >= _TIGHT_IOU and not {b.result_id, m.result_id} & taken
    ]
    yield from linked
    yield from _only(tight)


def _only(pairs: Sequence[tuple[Half, Half]]) -> list[tuple[Half, Half]]:
    """The pairs of which neither half is in another."""
    ids = [half.result_id for pair in pairs for half in pair]
    return [pair for pair in pairs if all(ids.count(half.result_id) == 1 for half in pair)]
