"""Pictures of what models and people saw: boxes, masks, and panels beside each other.

Pure: nouns in, ``PIL.Image`` out. Every mark is drawn at the resolution of the picture, not of the image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import unquote

from PIL import Image

from detseg.report.drawing import (
    PIXEL_ART_SCALE,
    Chip,
    Colour,
    Frame,
    Place,
    Stroke,
    draw_box,
    draw_chip,
    draw_mask,
    parse_colour,
    place_chips,
)
from detseg.report.sheet import Count, Panel, compose
from detseg.taxonomy import Taxonomy
from detseg.types import DecodedImage, Instance, Size

Show = Literal["boxes", "masks", "both"]

_UNKNOWN: Colour = (128, 128, 128)
_THING_FILL, _STUFF_FILL = 0.42, 0.30
_STROKES: dict[str, Stroke] = {"detector": "dashed", "segmenter": "dotted"}


@dataclass(frozen=True, slots=True)
class PanelSize:
    """The room that a panel has, in pixels: images are scaled to fit it, small ones enlarged."""

    width: int = 720
    height: int = 900
    smallest: int = 320
    """An image whose longer side is below this is enlarged to it."""
    emphasis: float = 1.0
    """the size of lines and text, as a multiple of the usual one"""

    def frame(self, size: Size) -> Frame:
        """Place an image of that size in its panel. Enlarged pixels stay whole squares."""
        longer = max(size.width, size.height)
        scale = min(self.width / size.width, self.height / size.height, max(1.0, self.smallest / longer))
        if scale >= PIXEL_ART_SCALE:
            scale = float(int(scale))
        width, height = max(1, round(size.width * scale)), max(1, round(size.height * scale))
        return Frame(size, width, height, self.emphasis)


@dataclass(frozen=True, slots=True)
class _Layer:
    """The look of one instance."""

    instance: Instance
    colour: Colour
    alone: bool

    @property
    def text(self) -> str:
        score = self.instance.score
        return self.instance.label if score is None else f"{self.instance.label} {score:.2f}"


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """An image at the resolution of its panels (``picture``, RGB), and how its pixels lie there."""

    image: DecodedImage
    frame: Frame
    picture: Image.Image


def prediction_picture(
    image: DecodedImage,
    instances: Sequence[Instance],
    taxonomy: Taxonomy,
    *,
    title: str = "",
    subtitle: str = "",
    detector: bool = True,
    segmenter: bool = True,
) -> Image.Image:
    """Original, detection and segmentation side by side, with counts, as one RGB picture.

    ``title`` is the image's file name if none is given. A model that did not run (``detector``,
    ``segmenter``) has no panel unless there is something to show. Any image size: panels are 320 to 720
    pixels wide, very wide images are stacked.
    """
    view = scale_to(image, PanelSize(width=1440) if _is_wide(image.size) else PanelSize())
    panels = [Panel("Original", view.picture)]
    if detector or any(instance.box is not None for instance in instances):
        panels.append(instances_panel(view, instances, taxonomy, show="boxes", title="Detection"))
    if segmenter or any(instance.mask is not None for instance in instances):
        panels.append(instances_panel(view, instances, taxonomy, show="masks", title="Segmentation"))
    return side_by_side(image, *panels, title=title, subtitle=subtitle)


def side_by_side(image: DecodedImage, *panels: Panel, title: str = "", subtitle: str = "") -> Image.Image:
    """The panels in a row (in a column if the image is very wide) under a title, as one RGB picture."""
    heading = title or PurePosixPath(unquote(image.ref.uri)).name or image.ref.id
    facts = f"{image.size.width} x {image.size.height} px"
    return compose(
        panels,
        title=heading,
        subtitle=f"{facts} · {subtitle}" if subtitle else facts,
        stacked=_is_wide(image.size),
    )


def scale_to(image: DecodedImage, room: PanelSize) -> View:
    """The image at the resolution that fits its room."""
    frame = room.frame(image.size)
    whole = Image.fromarray(image.rgb)
    squares = frame.scale_x >= PIXEL_ART_SCALE
    resample = Image.Resampling.NEAREST if squares else Image.Resampling.LANCZOS
    return View(image, frame, whole.resize((frame.width, frame.height), resample, reducing_gap=2.0))


def instances_panel(
    view: View,
    instances: Sequence[Instance],
    taxonomy: Taxonomy,
    *,
    show: Show,
    title: str,
    scores: bool = True,
) -> Panel:
    """The image with those instances on it, and how many of each label are shown."""
    picture = view.picture.copy()
    draw_instances(picture, view.frame, instances, taxonomy, show=show, scores=scores)
    shown = [i for i in instances if _is_shown(i, show)]
    alone = seen_alone(instances)
    strokes = {_STROKES[i.seen_by] for i in shown if id(i) in alone and i.seen_by in _STROKES}
    return Panel(title, picture, count_labels(shown, taxonomy), show == "masks", tuple(sorted(strokes)))


def draw_instances(
    picture: Image.Image,
    frame: Frame,
    instances: Sequence[Instance],
    taxonomy: Taxonomy,
    *,
    show: Show,
    scores: bool = True,
) -> None:
    """Draws on ``picture``: surfaces first, then large things, small things on top, then the names."""
    alone = seen_alone(instances)
    layers = [
        _Layer(i, label_colour(taxonomy, i.label), id(i) in alone)
        for i in sorted(instances, key=_paint_order)
        if _is_shown(i, show)
    ]
    places = [_draw_layer(picture, frame, layer, show) for layer in layers]
    chips = [
        Chip(
            place.rectangle,
            layer.text if scores else layer.instance.label,
            layer.colour,
            place.middle if layer.instance.kind == "stuff" else None,
        )
        for layer, place in sorted(zip(layers, places, strict=True), key=lambda pair: _chip_order(pair[0]))
        if place is not None
    ]
    for chip, place, text in place_chips(chips, frame):
        draw_chip(picture, chip, place, text)


def seen_alone(instances: Sequence[Instance]) -> frozenset[int]:
    """The ``id()`` of every thing that one model saw and another one that ran did not.

    Where only one model ran there is nobody to disagree, and nothing is marked.
    """
    voices = {i.seen_by for i in instances if i.seen_by is not None}
    if len(voices) < 2:
        return frozenset()
    return frozenset(id(i) for i in instances if i.kind == "thing" and i.seen_by in _STROKES)


def count_labels(instances: Sequence[Instance], taxonomy: Taxonomy) -> tuple[Count, ...]:
    """Count instances by label, in the taxonomy's order, unknown labels last in alphabetical order."""
    counts = Counter(i.label for i in instances)
    stuff = {i.label for i in instances if i.kind == "stuff"}
    order = {name: n for n, name in enumerate(taxonomy.names)}
    labels = sorted(counts, key=lambda label: (order.get(label, len(order)), label))
    return tuple(
        Count(name, label_colour(taxonomy, name), None if name in stuff else counts[name]) for name in labels
    )


def label_colour(taxonomy: Taxonomy, label: str) -> Colour:
    """The colour of the label's class; grey for a label that the taxonomy does not know."""
    found = taxonomy.find(label)
    return parse_colour(found.colour) if found is not None else _UNKNOWN


def _draw_layer(picture: Image.Image, frame: Frame, layer: _Layer, show: Show) -> Place | None:
    box, mask = layer.instance.box, layer.instance.mask
    place: Place | None = None
    if mask is not None and show != "boxes":
        stuff = layer.instance.kind == "stuff"
        fill, line = (_STUFF_FILL, 1) if stuff else (_THING_FILL, frame.line)
        place = draw_mask(picture, frame, mask, layer.colour, fill=fill, line=line, hatched=layer.alone)
    if box is not None and show != "masks":
        rectangle = frame.rectangle(box)
        draw_box(picture, rectangle, layer.colour, line=frame.line, stroke=_stroke(layer))
        place = Place(
            rectangle, place.middle if place else ((rectangle[0] + rectangle[2]) // 2, rectangle[1])
        )
    return place


def _is_wide(size: Size) -> bool:
    return size.width > 2.5 * size.height


def _is_shown(instance: Instance, show: Show) -> bool:
    has_box, has_mask = instance.box is not None, instance.mask is not None
    return (has_box and show != "masks") or (has_mask and show != "boxes")


def _stroke(layer: _Layer) -> Stroke:
    return _STROKES[layer.instance.seen_by or ""] if layer.alone else "solid"


def _paint_order(instance: Instance) -> tuple[bool, float]:
    """Stuff before things, large before small."""
    if instance.mask is not None:
        area = float(instance.mask.area)
    else:
        area = instance.box.area if instance.box is not None else 0.0
    return instance.kind == "thing", -area


def _chip_order(layer: _Layer) -> tuple[bool, float]:
    """Things before stuff, sure before unsure: they get the better places."""
    return layer.instance.kind == "stuff", -(layer.instance.score or 0.0)
