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
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detseg.geometry.boxes import box_iou, box_iou_matrix, boxes_to_array
from detseg.geometry.masks import mask_to_box
from detseg.paging import pages
from detseg.types import Box, Mask, RegionId

BOX_SUFFIX = "-box"
MASK_SUFFIX = "-mask"

_HALF_ID = re.compile(r"(.{10,})(?:-box|-mask)")  # the page's own ids have ten characters
_MODEL_ID = re.compile(r"detseg-[0-9a-f]{16}")
_TIGHT_IOU = 0.9
_PAIRS_AT_ONCE = 250_000


@dataclass(frozen=True, slots=True)
class Half:
    """A result as read: a box or a mask, which covers some of the image."""

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
    """Read what ``parentID`` and relations link."""
    pairs = [(result.get("id"), result.get("parentID")) for result in results]
    pairs += [
        (result.get("from_id"), result.get("to_id")) for result in results if result.get("type") == "relation"
    ]
    return frozenset(frozenset((a, b)) for a, b in pairs if isinstance(a, str) and isinstance(b, str))


def result_labels(labels: Mapping[RegionId, str]) -> dict[str, str]:
    """The labels of regions by the ids of the results that a region becomes."""
    return {
        f"{region}{suffix}": label
        for region, label in labels.items()
        for suffix in ("", BOX_SUFFIX, MASK_SUFFIX)
    }


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
    by_id = {half.result_id: half for half in lone}
    linked = _only([pair for link in links if (pair := _candidates(link, by_id))])
    yield from linked
    taken = {half.result_id for pair in linked for half in pair}
    by_label: dict[str, list[Half]] = {}
    for half in lone:
        if half.result_id not in taken:
            by_label.setdefault(half.label, []).append(half)
    for halves in by_label.values():
        yield from _tight_pairs(halves)


def _candidates(link: frozenset[str], by_id: Mapping[str, Half]) -> tuple[Half, Half] | None:
    """The box and the mask that are linked, if they may be one region."""
    halves = [by_id[id_] for id_ in link if id_ in by_id]
    box = next((half for half in halves if isinstance(half.shape, Box)), None)
    mask = next((half for half in halves if isinstance(half.shape, Mask)), None)
    if box is None or mask is None or box.label != mask.label or (box.is_models and mask.is_models):
        return None
    return (box, mask) if box_iou(*(_outline(half) for half in (box, mask))) > 0 else None


def _only(pairs: Sequence[tuple[Half, Half]]) -> list[tuple[Half, Half]]:
    """The pairs of which neither half is in another."""
    n_of = Counter(half.result_id for pair in pairs for half in pair)
    return [pair for pair in pairs if all(n_of[half.result_id] == 1 for half in pair)]


def _tight_pairs(halves: Sequence[Half]) -> Iterator[tuple[Half, Half]]:
    """The boxes and masks that fit each other, and of which no other does for either."""
    boxes = [half for half in halves if isinstance(half.shape, Box)]
    masks = [half for half in halves if isinstance(half.shape, Mask)]
    if not boxes or not masks:
        return
    outlines = boxes_to_array([_outline(mask) for mask in masks])
    is_models = np.array([mask.is_models for mask in masks])
    fitting = np.zeros(len(masks), dtype=np.int64)  # boxes that fit each mask
    found: list[tuple[Half, int]] = []
    for page in pages(boxes, max(1, _PAIRS_AT_ONCE // len(masks))):
        fits = box_iou_matrix(boxes_to_array([_outline(box) for box in page]), outlines) >= _TIGHT_IOU
        fits &= ~(np.array([box.is_models for box in page])[:, None] & is_models)
        fitting += fits.sum(axis=0)
        lone = np.flatnonzero(fits.sum(axis=1) == 1)
        found += [(page[i], int(fits[i].argmax())) for i in lone]
    yield from ((box, masks[i]) for box, i in found if fitting[i] == 1)


def _outline(half: Half) -> Box:
    box = half.shape if isinstance(half.shape, Box) else mask_to_box(half.shape)
    assert box is not None, "halves cover some of the image"
    return box
