"""The tab with the map: a point an image, near those that look alike, in colours that can be switched."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from PIL import Image

from detseg.report.cells import colour_of
from detseg.report.data import TILE_PX, ImageMap, MapFacts, MapPoint
from detseg.report.encoding import data_uri, jpeg_bytes
from detseg.report.gallery import web_address
from detseg.report.views import Block, Colouring, Dot, Key, MapView, Section, Tab
from detseg.taxonomy import Taxonomy

_MOST_KEYS = 12
_OTHER, _NONE = "other", "none"
_QUIET = "#a3adba"
_PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9",
    "#b8860b", "#7b4fb5", "#3b7d23", "#a03060", "#2f9c95", "#8a5a44",
)  # fmt: skip
"""Okabe and Ito's colours, and six more that go with them."""

_PAPER = (128, 128, 128)
_STATES = {"unlabeled": _QUIET, "labeled": "#0072b2", "empty": "#009e73", "skipped": "#e69f00"}


def map_tab(map_: ImageMap, taxonomy: Taxonomy) -> Tab:
    """The tab with a map; one that says what is missing where no image has an embedding."""
    if not map_.points:
        missing = (
            "No image has an embedding yet: detseg preannotate keeps one of each image that it predicts, "
            "where the model has a backbone that gives one."
        )
        return Tab("map", "Map", (Section("map-head", "Images that look alike", (Block(missing=missing),)),))
    head = Section("map-head", "Images that look alike", (), map_.note)
    return Tab("map", "Map", (head,), map=map_view(map_.points, taxonomy))


def map_view(points: Sequence[MapPoint], taxonomy: Taxonomy) -> MapView:
    """Return the map of those points."""
    facts = [point.facts for point in points]
    found = (
        _colouring("State", [one.state for one in facts], _STATES.get),
        _colouring("Class", [one.label for one in facts], lambda name: colour_of(taxonomy, name)),
        _colouring("Split", [one.split for one in facts]),
        _colouring("Suspect", [one.suspect for one in facts]),
        _colouring("Near duplicates", [one.cluster for one in facts]),
    )
    colourings = tuple(one for one in found if len(one.keys) > 1 or one.name == "State")
    columns = math.ceil(math.sqrt(len(points)))
    dots = tuple(
        Dot(
            x=round(1000 * point.x),
            y=round(1000 * point.y),
            name=point.name,
            words=_words(point.facts),
            colours=" ".join(str(one.of_points[n]) for one in colourings),
            tile=f"{n % columns * TILE_PX} {n // columns * TILE_PX}",
            link=web_address(point.facts.link),
        )
        for n, point in enumerate(points)
    )
    return MapView(dots, colourings, _sprite(points, columns))


def _colouring(
    name: str, values: Sequence[str], colour: Callable[[str], str | None] = lambda _: None
) -> Colouring:
    """Colour the most frequent values, and all others alike; no value has a quiet colour."""
    counts = Counter(value for value in values if value)
    ranked = sorted(counts, key=lambda value: (-counts[value], value))[:_MOST_KEYS]
    keys = [
        Key(value, f"{counts[value]:,}", colour(value) or _PALETTE[n % len(_PALETTE)])
        for n, value in enumerate(ranked)
    ]
    place = {value: n for n, value in enumerate(ranked)}
    if n_rare := sum(counts[value] for value in counts.keys() - place.keys()):
        place |= dict.fromkeys(counts.keys() - place.keys(), len(keys))
        keys.append(Key(_OTHER, f"{n_rare:,}", "#5b4a3f"))
    if n_none := len(values) - counts.total():
        place[""] = len(keys)
        keys.append(Key(_NONE, f"{n_none:,}", _QUIET))
    return Colouring(name, tuple(keys), tuple(place[value] for value in values))


def _words(facts: MapFacts) -> str:
    said = (
        facts.state,
        f"mostly {facts.label}" if facts.label else "",
        facts.split,
        f"suspect: {facts.suspect}" if facts.suspect else "",
        f"{facts.cluster} of near duplicates" if facts.cluster else "",
    )
    return " · ".join(filter(None, said))


def _sprite(points: Sequence[MapPoint], columns: int) -> str:
    """One picture with the thumbnails of all points, in rows."""
    sheet = Image.new("RGB", (columns * TILE_PX, math.ceil(len(points) / columns) * TILE_PX), _PAPER)
    for n, point in enumerate(points):
        picture = point.thumbnail
        left, top = n % columns * TILE_PX, n // columns * TILE_PX
        sheet.paste(picture, (left + (TILE_PX - picture.width) // 2, top + (TILE_PX - picture.height) // 2))
    return data_uri(jpeg_bytes(sheet, quality=60))
