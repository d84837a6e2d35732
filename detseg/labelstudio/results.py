"""Regions to and from the ``result`` list of a prediction or an annotation. Percent exists only here.

A thing with a box and a mask is one region of ours and two results there, ``<id>-box`` and ``<id>-mask``,
which are joined again by that id. The page's own ids have ten characters, so they are never taken for halves.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detseg.errors import FormatError
from detseg.labelstudio.brush import decode_brush, encode_brush
from detseg.labelstudio.label_config import BOX_NAME, IMAGE_NAME, MASK_NAME
from detseg.taxonomy import Taxonomy
from detseg.types import Box, ImageId, Instance, Mask, ModelVersion, Region, RegionId, Size

Json = dict[str, Any]

BOX_SUFFIX = "-box"
MASK_SUFFIX = "-mask"

_HALF_ID = re.compile(r"(.{10,})(?:-box|-mask)")
_MODEL_ID = re.compile(r"detseg-[0-9a-f]{16}")
_PERCENT_DIGITS = 10  # 1e-12 of a side: far below 1e-6 px, far above float noise
_PIXEL_DIGITS = 9


@dataclass(frozen=True, slots=True)
class _Half:
    """A result as read: a box or a mask, with the id of the region that it belongs to."""

    result_id: str
    region_id: str
    label: str
    shape: Box | Mask
    score: float | None


def region_id(image: ImageId, version: ModelVersion, rank: int) -> RegionId:
    """The id of a model's region: the same for the same image, model version and rank, for ever."""
    digest = hashlib.sha256(f"{image}\n{version}\n{rank}".encode()).hexdigest()
    return RegionId(f"detseg-{digest[:16]}")


def encode_regions(regions: Sequence[Region], size: Size, taxonomy: Taxonomy, *, where: str) -> list[Json]:
    """The results of regions: masks before boxes, large before small, so that small boxes are drawn on top.

    Raises FormatError, naming the place and the region, for a label or shape that the labeling interface
    does not offer, a box without area in the image, an empty mask, a mask of another size, an id twice.
    """
    masks: list[tuple[float, Json]] = []
    boxes: list[tuple[float, Json]] = []
    for region in regions:
        place = f"{where}, region {region.id} ({region.instance.label})"
        cls = taxonomy.find(region.instance.label)
        if cls is None or cls.name != region.instance.label:
            raise FormatError(f"{place}: the label is no class of the project: {', '.join(taxonomy.names)}")
        box, mask = region.instance.box, region.instance.mask
        if box is not None:
            if cls.kind == "stuff":
                raise FormatError(f"{place}: stuff has a mask and no box")
            value = _encode_box(box, size, place)
            boxes.append((box.area, _result(region, size, "rectanglelabels", value)))
        if mask is not None:
            value = _encode_mask(mask, size, place)
            masks.append((mask.area, _result(region, size, "brushlabels", value)))
    results = [result for group in (masks, boxes) for _, result in sorted(group, key=lambda entry: -entry[0])]
    if len({result["id"] for result in results}) != len(results):
        raise FormatError(f"{where}: two regions have one id, Label Studio would merge them")
    return results


def decode_results(
    results: Sequence[Mapping[str, Any]],
    size: Size,
    taxonomy: Taxonomy,
    *,
    sent: Mapping[str, str],
    where: str,
) -> tuple[Region, ...]:
    """The regions of results, in the order in which they come.

    ``sent`` gives the label that we sent by result id. If an annotator relabeled one half of a thing, the
    whole is relabeled. A mask without foreground is nothing: a box keeps without it, alone it is gone.
    Raises FormatError, naming the place and the region, for what cannot be understood.
    """
    halves: dict[str, list[_Half]] = {}
    for result in results:
        half = _decode_result(result, size, f"{where}, region {result.get('id')}")
        others = halves.setdefault(half.region_id, [])
        if any(type(other.shape) is type(half.shape) for other in others):
            raise FormatError(f"{where}: two results have the id {half.result_id}")
        others.append(half)
    regions = (_join(parts, taxonomy, sent, where) for parts in halves.values())
    return tuple(region for region in regions if region is not None)


def result_labels(results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The label of each result by its id; results without exactly one label are left out."""
    labels: dict[str, str] = {}
    for result in results:
        names = result.get("value", {}).get(result.get("type"))
        if isinstance(names, list) and len(names) == 1:
            labels[str(result.get("id"))] = str(names[0])
    return labels


def _result(region: Region, size: Size, kind: str, value: Json) -> Json:
    """One half. What a person drew alone, as the page does, keeps its id; everything else says which half."""
    is_box = kind == "rectanglelabels"
    alone = region.instance.box is None or region.instance.mask is None
    suffix = "" if alone and region.origin == "person" else BOX_SUFFIX if is_box else MASK_SUFFIX
    result: Json = {
        "id": f"{region.id}{suffix}",
        "type": kind,
        "from_name": BOX_NAME if is_box else MASK_NAME,
        "to_name": IMAGE_NAME,
        "original_width": size.width,
        "original_height": size.height,
        "image_rotation": 0,
        "value": {**value, kind: [region.instance.label]},
    }
    if region.instance.score is not None:
        result["score"] = region.instance.score
    return result


def _encode_box(box: Box, size: Size, place: str) -> Json:
    """Percent of the image, clipped to it: top left corner, width and height."""
    x0, x1 = (_clip(x / size.width * 100) for x in (box.x0, box.x1))
    y0, y1 = (_clip(y / size.height * 100) for y in (box.y0, box.y1))
    if x1 <= x0 or y1 <= y0:
        raise FormatError(f"{place}: the box {box.xyxy} has no area in the image of {size}")
    width = min(round(x1 - x0, _PERCENT_DIGITS), 100.0)
    height = min(round(y1 - y0, _PERCENT_DIGITS), 100.0)
    return {"x": x0, "y": y0, "width": width, "height": height, "rotation": 0}


def _encode_mask(mask: Mask, size: Size, place: str) -> Json:
    if mask.size != size:
        raise FormatError(f"{place}: the mask is {mask.size}, the image {size}")
    if mask.area == 0:
        raise FormatError(f"{place}: the mask is empty")
    return {"format": "rle", "rle": encode_brush(mask)}


def _clip(percent: float) -> float:
    return round(min(max(percent, 0.0), 100.0), _PERCENT_DIGITS)


def _decode_result(result: Mapping[str, Any], size: Size, place: str) -> _Half:
    kind = str(result.get("type"))
    if kind not in ("rectanglelabels", "brushlabels"):
        raise FormatError(
            f"{place}: regions of type {kind!r} are not supported, only rectangles and brush masks: take the "
            "other tags out of the labeling interface, and these regions out of the task"
        )
    label = result_labels([result]).get(str(result.get("id")))
    if label is None:
        raise FormatError(f"{place}: a region has one label: open the task and give it one")
    stated = (result.get("original_width", size.width), result.get("original_height", size.height))
    if stated != (size.width, size.height):
        raise FormatError(
            f"{place}: drawn on an image of {stated[0]}x{stated[1]}, but the task was made for {size}: the "
            "image was replaced"
        )
    try:
        shape = (
            _decode_box(result["value"], size) if kind == "rectanglelabels" else _decode_mask(result, size)
        )
        score = None if result.get("score") is None else float(result["score"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{place}: its value cannot be read ({error!r})") from error
    except FormatError as error:
        raise FormatError(f"{place}: {error}") from error
    result_id = str(result.get("id"))
    half_id = _HALF_ID.fullmatch(result_id)
    return _Half(result_id, half_id.group(1) if half_id else result_id, label, shape, score)


def _decode_box(value: Mapping[str, Any], size: Size) -> Box:
    """The box in pixels, within the image; of a rotated rectangle, the upright box around it.

    Rectangles turn clockwise about their top left corner, in pixels.
    """
    x, y = float(value["x"]) / 100 * size.width, float(value["y"]) / 100 * size.height
    width, height = float(value["width"]) / 100 * size.width, float(value["height"]) / 100 * size.height
    angle = math.radians(float(value.get("rotation") or 0.0))
    across = (width * math.cos(angle), width * math.sin(angle)) if angle else (width, 0.0)
    down = (-height * math.sin(angle), height * math.cos(angle)) if angle else (0.0, height)
    xs = [x, x + across[0], x + down[0], x + across[0] + down[0]]
    ys = [y, y + across[1], y + down[1], y + across[1] + down[1]]
    x0, x1 = (_within(edge, size.width) for edge in (min(xs), max(xs)))
    y0, y1 = (_within(edge, size.height) for edge in (min(ys), max(ys)))
    return Box(x0, y0, x1, y1)


def _within(pixel: float, side: int) -> float:
    return round(min(max(pixel, 0.0), float(side)), _PIXEL_DIGITS)


def _decode_mask(result: Mapping[str, Any], size: Size) -> Mask:
    value = result["value"]
    if value.get("format") != "rle":
        raise FormatError(f"the mask has the format {value.get('format')!r}, expected 'rle'")
    return decode_brush(value["rle"], size)


def _join(halves: Sequence[_Half], taxonomy: Taxonomy, sent: Mapping[str, str], where: str) -> Region | None:
    box = next((half.shape for half in halves if isinstance(half.shape, Box)), None)
    mask = next((half.shape for half in halves if isinstance(half.shape, Mask) and half.shape.area), None)
    if box is None and mask is None:
        return None
    changed = [half.label for half in halves if half.label != sent.get(half.result_id, half.label)]
    label = changed[0] if changed else halves[0].label
    cls = taxonomy.find(label)
    if cls is None or cls.name != label:
        raise FormatError(
            f"{where}, region {halves[0].region_id}: the label {label!r} is no class of [[classes]] "
            f"({', '.join(taxonomy.names)}): add it there, or relabel the region"
        )
    ours = _MODEL_ID.fullmatch(halves[0].region_id) is not None
    score = next((half.score for half in halves if half.score is not None), None) if ours else None
    instance = Instance(label, cls.kind, box, mask, score)
    return Region(RegionId(halves[0].region_id), "model" if ours else "person", instance)
