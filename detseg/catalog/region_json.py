"""Regions as compact JSON, the form in which the catalog keeps them.

A list of objects ``{"id", "origin", "label", "kind", "box", "mask", "score", "seen_by"}``; what is None is
left out. ``box`` is ``[x0, y0, x1, y1]`` in pixels, ``mask`` COCO's compressed run lengths
``{"size": [height, width], "counts": "..."}``. Floats survive exactly (shortest form that reads back). A
decoy is a region that says its kind: ``"decoy": "label"``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from detseg.catalog.records import RegionOutline
from detseg.errors import FormatError
from detseg.geometry.masks import decode_mask, encode_mask
from detseg.taxonomy import Relabeling
from detseg.types import Box, Decoy, Instance, Region, RegionId, State

_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def encode_regions(regions: Sequence[Region]) -> str:
    """The regions as one line of JSON, in their order."""
    return _ENCODER.encode([_encode_region(region) for region in regions])


def decode_regions(text: str) -> tuple[Region, ...]:
    """The regions of ``encode_regions``'s answer. Raises FormatError for anything else."""
    try:
        return tuple(_decode_region(entry) for entry in json.loads(text))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(f"not the catalog's JSON of regions ({error}): {text[:60]!r}") from error


def encode_decoys(decoys: Sequence[Decoy]) -> str:
    """The decoys as one line of JSON, in their order."""
    entries = [{**_encode_region(decoy.region), "decoy": decoy.kind} for decoy in decoys]
    return _ENCODER.encode(entries)


def decode_decoys(text: str) -> tuple[Decoy, ...]:
    """The decoys of ``encode_decoys``'s answer. Raises FormatError for anything else."""
    try:
        return tuple(Decoy(entry["decoy"], _decode_region(entry)) for entry in json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"not the catalog's JSON of decoys ({error}): {text[:60]!r}") from error


def relabel(text: str, relabeling: Relabeling) -> str:
    """Rewrite ``encode_regions``'s or ``encode_decoys``'s answer in the classes of now; what nothing concerns
    stays the same text.

    Regions of dropped classes are left out, and so are boxes of what is stuff now.
    """
    if not relabeling.names or not any(label_text(name) in text for name in relabeling.names):
        return text
    entries = (_relabeled(entry, relabeling) for entry in json.loads(text))
    return _ENCODER.encode([entry for entry in entries if entry])


def relabel_review(text: str, state: State, relabeling: Relabeling) -> tuple[str, State]:
    """As ``relabel``, with the state of the review: where nothing is left, somebody found no class of now."""
    now = relabel(text, relabeling)
    return now, "empty" if state == "labeled" and now == "[]" != text else state


def label_text(name: str) -> str:
    """Return how a region with that label says it."""
    return f'"label":{json.dumps(name)}'


def _relabeled(entry: dict[str, Any], relabeling: Relabeling) -> dict[str, Any] | None:
    label = relabeling.successor(entry["label"])
    if label is None:
        return None
    kind = relabeling.kinds.get(label, entry["kind"])
    kept = {key: value for key, value in entry.items() if key != "box" or kind == "thing"}
    return {**kept, "label": label, "kind": kind} if "box" in kept or "mask" in kept else None


def decode_labels(text: str) -> dict[RegionId, str]:
    """The label of each region of ``encode_regions``'s or ``encode_decoys``'s answer, by its id.

    Boxes and masks are not decoded.
    """
    try:
        return {RegionId(entry["id"]): str(entry["label"]) for entry in json.loads(text)}
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"not the catalog's JSON of regions ({error}): {text[:60]!r}") from error


def decode_outlines(text: str) -> tuple[RegionOutline, ...]:
    """The regions of ``encode_regions``'s answer, without their boxes and masks, which are not decoded."""
    try:
        return tuple(
            RegionOutline(
                id=RegionId(entry["id"]),
                label=entry["label"],
                kind=entry["kind"],
                score=entry.get("score"),
                has_box="box" in entry,
                has_mask="mask" in entry,
            )
            for entry in json.loads(text)
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"not the catalog's JSON of regions ({error}): {text[:60]!r}") from error


def _encode_region(region: Region) -> dict[str, Any]:
    instance = region.instance
    entry: dict[str, Any] = {
        "id": region.id,
        "origin": region.origin,
        "label": instance.label,
        "kind": instance.kind,
    }
    if instance.box is not None:
        entry["box"] = instance.box.xyxy
    if instance.mask is not None:
        entry["mask"] = encode_mask(instance.mask)
    if instance.score is not None:
        entry["score"] = instance.score
    if instance.seen_by is not None:
        entry["seen_by"] = instance.seen_by
    return entry


def _decode_region(entry: dict[str, Any]) -> Region:
    return Region(
        id=RegionId(entry["id"]),
        origin=entry["origin"],
        instance=Instance(
            label=entry["label"],
            kind=entry["kind"],
            box=Box(*entry["box"]) if "box" in entry else None,
            mask=decode_mask(entry["mask"]) if "mask" in entry else None,
            score=entry.get("score"),
            seen_by=entry.get("seen_by"),
        ),
    )
