"""Shape policies: what annotators are asked for, and what masks are drawn as.

A brush mask is what the page paints best: exact, editable, and heavy, since the browser keeps a picture of
the whole image for each (a hundred of them freeze it), and ragged ones are long. A bitmask is exact and
editable, too, weighs less where a mask is ragged, and costs the browser the same. A polygon weighs nothing
and costs the browser nothing, but it follows the outline within a tolerance only, and has no holes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from detseg.geometry.masks import mask_to_box
from detseg.geometry.polygons import mask_to_polygon, polygon_to_mask
from detseg.labelstudio.bitmask import encode_bitmask
from detseg.labelstudio.brush import encode_brush, most_bytes
from detseg.labelstudio.json_body import encode_bytes
from detseg.labelstudio.values import encode_polygon
from detseg.plurals import format_count
from detseg.types import Instance, Kind, Mask, Size

Annotate = Literal["boxes", "masks", "both", "pairs"]
MaskAs = Literal["auto", "brush", "bitmask", "polygon"]
MaskKind = Literal["brush", "bitmask", "polygon"]
Part = Literal["box", "mask"]
PARTS: tuple[Part, ...] = get_args(Part)

Json = dict[str, Any]

_PAGE_PX = 800
_JSON_PER_BYTE = len("255,")
_NO_POLYGON = "holes, several pieces or too thin for a polygon: brush"


@dataclass(frozen=True, slots=True)
class ShapePolicy:
    """``max_masks`` and ``max_bytes`` are a task's budget: brush masks and bitmasks, and JSON of all masks.

    ``kinds`` are those that the project's labeling interface offers. The default leaves nothing out.
    """

    annotate: Annotate = "pairs"
    mask_as: MaskAs = "auto"
    polygon_tolerance_px: float = 1.0
    max_masks: int = 50
    max_bytes: int = 2_000_000
    kinds: frozenset[MaskKind] = frozenset(get_args(MaskKind))


DEFAULT_POLICY = ShapePolicy()


@dataclass(frozen=True, slots=True)
class ShapeReport:
    """The shapes that the regions of one task, or of many, were drawn as.

    ``n_unasked`` are halves that annotators are not asked for, ``n_over_budget`` tasks that no choice could
    bring below the budget. ``reasons`` say why masks are not what was preferred, and of how many, sorted.
    """

    n_boxes: int = 0
    n_brush: int = 0
    n_bitmask: int = 0
    n_polygon: int = 0
    n_unasked: int = 0
    n_over_budget: int = 0
    reasons: tuple[tuple[str, int], ...] = ()


NOTHING_DRAWN = ShapeReport()


def sum_reports(reports: Iterable[ShapeReport]) -> ShapeReport:
    """The report of all of them together."""
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for one in reports:
        counts.update({name: getattr(one, name) for name in _COUNTS})
        reasons.update(dict(one.reasons))
    return ShapeReport(**counts, reasons=tuple(sorted(reasons.items())))


def shape_warnings(report: ShapeReport) -> Iterator[str]:
    """Yield what people should know about the choices, a line each."""
    for reason, n in report.reasons:
        yield f"{format_count(n, 'mask', 'is', 'are')} not drawn as preferred: {reason}"
    if report.n_over_budget:
        yield (
            f"{format_count(report.n_over_budget, 'task', 'stays', 'stay')} above labels.max_masks or "
            "labels.max_bytes, and the page may be slow: masks of pieces or with holes cannot be polygons "
            '(clean_min_speck_px and clean_min_hole_px make masks simpler, mask_as = "bitmask" makes '
            "ragged ones lighter)"
        )


_COUNTS = tuple(entry.name for entry in fields(ShapeReport) if entry.name != "reasons")


def parts_of(instance: Instance) -> frozenset[Part]:
    """Those that an instance has."""
    has = {"box": instance.box is not None, "mask": instance.mask is not None}
    return frozenset(part for part in PARTS if has[part])


def split_parts(
    kind: Kind, parts: Set[Part], annotate: Annotate, left_out: Set[Part] = frozenset()
) -> tuple[frozenset[Part], frozenset[Part]]:
    """Split the parts of an instance: those that annotators are shown, and those that they were to be shown
    and that are left out: ``left_out`` are the parts that cannot be, whatever is asked for.

    For boxes: a thing's box, or that of its mask. For masks: the mask alone, whose box is its own. For both:
    one of the two, so that one movement of the hand changes the whole thing: the mask, or the box where there
    is none, or none that can be shown. For pairs: a box and a mask, each for itself.
    """
    wanted: Set[Part] = parts
    if annotate == "boxes":
        wanted = {"box"} if kind == "thing" and parts else frozenset()
    elif annotate == "masks" or (annotate == "both" and "mask" in parts - left_out):
        wanted = parts & {"mask"}
    return frozenset(wanted - left_out), frozenset(wanted & left_out)


def with_parts(instance: Instance, parts: Set[Part]) -> Instance | None:
    """The instance with those parts alone, its box made of its mask if need be; None without any."""
    box, mask = instance.box if "box" in parts else None, instance.mask if "mask" in parts else None
    if "box" in parts and box is None and instance.mask is not None:
        box = mask_to_box(instance.mask)
    return None if box is None and mask is None else replace(instance, box=box, mask=mask)


def asked(instance: Instance, annotate: Annotate) -> Instance | None:
    """Return what annotators are asked about an instance; None for nothing."""
    shown, _ = split_parts(instance.kind, parts_of(instance), annotate)
    return with_parts(instance, shown)


@dataclass(frozen=True, slots=True)
class DrawnMask:
    """A mask as a result's value (without its label), and what that weighs as JSON."""

    kind: MaskKind
    value: Json
    n_bytes: int


def draw_masks(masks: Sequence[Mask], policy: ShapePolicy) -> tuple[tuple[DrawnMask, ...], ShapeReport]:
    """The masks of one task in their order, none of them empty, and what was chosen for which reason."""
    if policy.mask_as == "auto":
        return _fit(masks, policy)
    reasons: Counter[str] = Counter()
    drawn: list[DrawnMask] = []
    for mask in masks:
        one = _draw(mask, policy.mask_as, policy) if policy.mask_as in policy.kinds else None
        if one is None:
            offered = policy.mask_as in policy.kinds
            reasons[_NO_POLYGON if offered else f"the interface offers no {policy.mask_as}: brush"] += 1
            one = _draw_main(mask, policy)
        drawn.append(one)
    return tuple(drawn), _report(drawn, policy, reasons)


def all_fit(masks: Sequence[Mask], policy: ShapePolicy) -> bool:
    """Tell whether all of a task's masks are surely exact, without drawing any; False says nothing."""
    if "brush" not in policy.kinds:
        return False
    if policy.mask_as != "auto":
        return policy.mask_as != "polygon"
    return (
        len(masks) <= policy.max_masks
        and _JSON_PER_BYTE * sum(most_bytes(mask, outlined=True) for mask in masks) + 2 * len(masks)
        <= policy.max_bytes
    )


def _fit(masks: Sequence[Mask], policy: ShapePolicy) -> tuple[tuple[DrawnMask, ...], ShapeReport]:
    """Brush masks, and where they are too much: bitmasks, the heaviest first, then polygons, the lightest."""
    drawn = [_draw_main(mask, policy) for mask in masks]
    reasons: Counter[str] = Counter()
    by_weight = sorted(range(len(masks)), key=lambda i: drawn[i].n_bytes)
    for kind, order in (("bitmask", by_weight[::-1]), ("polygon", by_weight)):
        if kind not in policy.kinds:
            continue
        for i in order:
            too_heavy, too_many = _excess(drawn, policy)
            if not too_heavy and (kind == "bitmask" or not too_many):
                break
            one = _draw(masks[i], kind, policy)
            if one is not None and (too_many or one.n_bytes < drawn[i].n_bytes):
                drawn[i] = one
                limit = f"{policy.max_masks} masks" if too_many else f"{policy.max_bytes} bytes"
                reasons[f"more than {limit} in a task: {kind}"] += 1
    return tuple(drawn), _report(drawn, policy, reasons)


def _excess(drawn: Sequence[DrawnMask], policy: ShapePolicy) -> tuple[bool, bool]:
    """Tell whether masks weigh more than the budget, and whether more of them fill the browser than it
    allows."""
    n_full = sum(one.kind != "polygon" for one in drawn)
    return sum(one.n_bytes for one in drawn) > policy.max_bytes, n_full > policy.max_masks


def _report(drawn: Sequence[DrawnMask], policy: ShapePolicy, reasons: Counter[str]) -> ShapeReport:
    n_of = Counter(one.kind for one in drawn)
    return ShapeReport(
        n_brush=n_of["brush"],
        n_bitmask=n_of["bitmask"],
        n_polygon=n_of["polygon"],
        n_over_budget=int(any(_excess(drawn, policy))),
        reasons=tuple(sorted(reasons.items())),
    )


def _draw(mask: Mask, kind: MaskKind, policy: ShapePolicy) -> DrawnMask | None:
    """The mask as that kind; None where a polygon cannot be it."""
    if kind == "brush":
        return _draw_brush(mask)
    if kind == "bitmask":
        url = encode_bitmask(mask, outline_px=_outline_px(mask.size))
        return DrawnMask("bitmask", {"imageDataURL": url}, len(url))
    polygon = mask_to_polygon(mask, tolerance_px=policy.polygon_tolerance_px)
    if polygon is None or polygon_to_mask(polygon, mask.size).area == 0:
        return None
    value = encode_polygon(polygon, mask.size)
    return DrawnMask("polygon", value, len(str(value)))


def can_draw(mask: Mask, policy: ShapePolicy) -> bool:
    """Tell whether any kind that the interface offers can be the mask, which is not empty."""
    return policy.kinds != {"polygon"} or _draw(mask, "polygon", policy) is not None


def _draw_main(mask: Mask, policy: ShapePolicy) -> DrawnMask:
    """The mask as what is preferred of what the interface offers; a brush mask where it can be nothing."""
    kinds: tuple[MaskKind, ...] = ("brush", "bitmask", "polygon")
    drawn = (_draw(mask, kind, policy) for kind in kinds if kind in policy.kinds)
    return next((one for one in drawn if one is not None), None) or _draw_brush(mask)


def _draw_brush(mask: Mask) -> DrawnMask:
    rle = encode_brush(mask, outline_px=_outline_px(mask.size))
    return DrawnMask("brush", {"format": "rle", "rle": rle}, len(encode_bytes(rle)))


def _outline_px(size: Size) -> int:
    """Compute how wide an outline has to be to be seen where the page shrinks the picture to its own
    width."""
    return max(1, round(max(size.width, size.height) / _PAGE_PX))
