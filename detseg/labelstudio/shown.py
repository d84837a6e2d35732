"""What annotators were shown of a prediction. Their work is compared with that, and with nothing else.

What is asked for, what masks are drawn as and what the interface offers may be others tomorrow; a task that
was sent stays as it is. So this is kept with every prediction that is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from detseg.labelstudio.joining import BOX_SUFFIX, MASK_SUFFIX
from detseg.labelstudio.shapes import Annotate, ShapePolicy, all_fit, asked, draw_masks
from detseg.labelstudio.values import decode_polygon
from detseg.types import Instance, Mask, Region, RegionId


@dataclass(frozen=True, slots=True)
class Shown:
    """``polygons`` are regions whose masks are polygons, which follow them within ``tolerance_px``.

    ``left_out`` are boxes (``<region id>-box``) and masks (``<region id>-mask``) that were to be asked about
    and were not sent: the interface does not offer them, or they were wrong.
    """

    annotate: Annotate = "both"
    polygons: tuple[RegionId, ...] = ()
    tolerance_px: float = 0.0
    left_out: tuple[str, ...] = ()


def find_shown(regions: Sequence[Region], results: Iterable[Mapping[str, Any]], policy: ShapePolicy) -> Shown:
    """What is shown of regions by the results that were made of them under that policy."""
    types = {str(result["id"]): result["type"] for result in results}
    return Shown(
        policy.annotate,
        tuple(one.id for one in regions if types.get(f"{one.id}{MASK_SUFFIX}") == "polygonlabels"),
        policy.polygon_tolerance_px if "polygonlabels" in types.values() else 0.0,
        tuple(half for half in _halves(regions, policy.annotate) if half not in types),
    )


def plan_shown(regions: Sequence[Region], policy: ShapePolicy) -> Shown:
    """What would be shown of regions under a policy: the answer where it was not kept."""
    masks = [(one.id, mask) for one, mask in _asked_masks(regions, policy.annotate)]
    if all_fit([mask for _, mask in masks], policy):
        return Shown(policy.annotate)
    masks.sort(key=lambda entry: -entry[1].area)  # in the order in which they are drawn
    drawn, _ = draw_masks([mask for _, mask in masks], policy)
    polygons = {id_ for (id_, _), one in zip(masks, drawn, strict=True) if one.kind == "polygon"}
    in_order = tuple(one.id for one in regions if one.id in polygons)
    return Shown(policy.annotate, in_order, policy.polygon_tolerance_px if polygons else 0.0)


def as_shown(regions: Sequence[Region], shown: Shown) -> tuple[Region, ...]:
    """The regions as annotators see them, polygons as what they cover.

    What people leave as it is comes back like this.
    """
    return tuple(
        replace(region, instance=instance)
        for region in regions
        if (instance := _shown_instance(region, shown)) is not None
    )


def encode_shown(shown: Shown) -> str:
    """As short JSON; there is one for every prediction.

    >>> encode_shown(Shown("both"))
    '{"annotate":"both"}'
    """
    entry: dict[str, Any] = {"annotate": shown.annotate}
    if shown.polygons:
        entry |= {"polygons": shown.polygons, "tolerance_px": shown.tolerance_px}
    if shown.left_out:
        entry["left_out"] = shown.left_out
    return json.dumps(entry, separators=(",", ":"))


def decode_shown(text: str) -> Shown:
    """What ``encode_shown`` was given."""
    entry = json.loads(text)
    return Shown(
        entry["annotate"],
        tuple(map(RegionId, entry.get("polygons", ()))),
        entry.get("tolerance_px", 0.0),
        tuple(entry.get("left_out", ())),
    )


def _shown_instance(region: Region, shown: Shown) -> Instance | None:
    instance = asked(region.instance, shown.annotate)
    if instance is None:
        return None
    box = None if f"{region.id}{BOX_SUFFIX}" in shown.left_out else instance.box
    mask = None if f"{region.id}{MASK_SUFFIX}" in shown.left_out else instance.mask
    if box is None and mask is None:
        return None
    if mask is not None and region.id in shown.polygons:
        mask = _as_polygon(mask, shown.tolerance_px)
    return replace(instance, box=box, mask=mask)


def _as_polygon(mask: Mask, tolerance_px: float) -> Mask:
    policy = ShapePolicy(mask_as="polygon", polygon_tolerance_px=tolerance_px)
    ((drawn,), _) = draw_masks([mask], policy)
    return decode_polygon(drawn.value, mask.size) if drawn.kind == "polygon" else mask


def _halves(regions: Iterable[Region], annotate: Annotate) -> Iterator[str]:
    for region in regions:
        instance = asked(region.instance, annotate)
        if instance is not None and instance.box is not None:
            yield f"{region.id}{BOX_SUFFIX}"
        if instance is not None and instance.mask is not None:
            yield f"{region.id}{MASK_SUFFIX}"


def _asked_masks(regions: Iterable[Region], annotate: Annotate) -> Iterator[tuple[Region, Mask]]:
    for region in regions:
        instance = asked(region.instance, annotate)
        if instance is not None and instance.mask is not None:
            yield region, instance.mask
