"""Results as no page writes them, but as a server keeps them: the nastiest by name, and many at random.

    .venv/bin/python -m tests.labelstudio.odd_results 40000

tries that many of the random ones and prints what raised, the most memory of one, and the longest time.
"""

from __future__ import annotations

import base64
import io
import sys
import time
import tracemalloc
from collections import Counter
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image

from detseg.labelstudio.bitmask import encode_bitmask
from detseg.labelstudio.brush import encode_brush
from detseg.labelstudio.regions import ReadRegions, read_regions
from detseg.labelstudio.session import Json
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Size
from tests.labelstudio.scenes import disc

SIZE = Size(40, 30)
TAXONOMY = Taxonomy((LabelClass("bolt"), LabelClass("belt", "stuff")))
MASK = disc(20, 15, 9, SIZE)
BOX: Json = {"x": 10, "y": 10, "width": 30, "height": 30, "rotation": 0}
RLE = list(encode_brush(MASK))


def result(type_: str, **value: Any) -> Json:
    """A result as the page writes it, with the label in its value."""
    labeled = {**value, type_: ["bolt"]} if type_.endswith("labels") else value
    about = {"from_name": "box", "to_name": "image", "original_width": 40, "original_height": 30}
    return {"id": "odd-region", "type": type_, "image_rotation": 0, **about, "value": labeled}


GOOD: tuple[Json, ...] = (
    result("rectanglelabels", **BOX),
    result("ellipselabels", x=50, y=50, radiusX=20, radiusY=10, rotation=30),
    result("polygonlabels", points=[[10, 10], [80, 20], [30, 90]], closed=True),
    result("brushlabels", format="rle", rle=RLE),
    result("bitmasklabels", imageDataURL=encode_bitmask(MASK)),
    result("rectangle", **BOX),
    result("labels", **BOX, labels=["bolt"]),
    result("keypointlabels", x=1, y=1, width=1),
    {"type": "relation", "from_id": "odd-region", "to_id": "b", "direction": "right"},
)


def _bomb() -> str:
    """A PNG of 100 million pixels in a few kilobytes."""
    png = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(png, "PNG")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _value(name: str, value: Any) -> Json:
    return {**GOOD[0], "value": {**GOOD[0]["value"], name: value}}


UNREADABLE: dict[str, Any] = {
    "rle is a number": result("brushlabels", format="rle", rle=99_999_999_999),
    "rle of other numbers": result("brushlabels", format="rle", rle=[10**40, -1, 0.5]),
    "rle is text": result("brushlabels", format="rle", rle="AAAA"),
    "rle without a header": result("brushlabels", format="rle", rle=[1, 2]),
    "rle of another size": result("brushlabels", format="rle", rle=[255] * 4 + RLE[4:]),
    "rle cut off": result("brushlabels", format="rle", rle=RLE[: len(RLE) // 2]),
    "format is an object": result("brushlabels", format={}, rle=RLE),
    "a bomb": result("bitmasklabels", imageDataURL=_bomb()),
    "no base64": result("bitmasklabels", imageDataURL="data:image/png;base64,!"),
    "URL is a list": result("bitmasklabels", imageDataURL=[]),
    "type is an object": {**GOOD[0], "type": {}},
    "type is missing": {"id": "odd-region", "value": BOX},
    "value is text": {**GOOD[0], "value": "text"},
    "value is deep": {**GOOD[0], "value": nested(800)},
    "x is deep": _value("x", nested(800)),
    "x of 40 digits": _value("x", 10**40),
    "x of 4,000 digits": _value("x", 10**4000),
    "x of 1e308": _value("x", 1e308),
    "x is true": _value("x", True),
    "width is null": _value("width", None),
    "rotation of 1e300": _value("rotation", 1e300),
    "label is an object": _value("rectanglelabels", [{}]),
    "labels are text": _value("rectanglelabels", "bolt"),
    "two labels": _value("rectanglelabels", ["bolt", "belt"]),
    "label with a NUL": _value("rectanglelabels", ["bo\0lt"]),
    "label of 100,000 letters": _value("rectanglelabels", ["b" * 100_000]),
    "id is an object": {**GOOD[0], "id": {"a": 1}},
    "id with a NUL and a newline": {**GOOD[0], "id": "a\0\nforged line"},
    "points are text": result("polygonlabels", points="here"),
    "points are numbers": result("polygonlabels", points=[1, 2, 3]),
    "points of three": result("polygonlabels", points=[[1, 2, 3]] * 3),
    "a tangle": result("polygonlabels", points=[[i % 97, 100 * (i % 2)] for i in range(40_000)]),
    "original_width of 2**40": {**GOOD[0], "original_width": 2**40},
    "original_width is deep": {**GOOD[0], "original_width": nested(800)},
}
"""Alone, each makes its annotation incomplete."""

READABLE: dict[str, Any] = {
    "radius of 1e-200": result("ellipselabels", x=5, y=5, radiusX=1e-200, radiusY=1e-200),
    "polygon without points": result("polygonlabels"),
    "score of 1e308": {**GOOD[0], "score": 1e308},
    "score is text": {**GOOD[0], "score": "high"},
    "no id": {name: value for name, value in GOOD[0].items() if name != "id"},
    "parentID is an object": {**GOOD[0], "parentID": {}},
    "relation of objects": {"type": "relation", "from_id": {}, "to_id": []},
    "labels of nobody": {"id": {}, "type": "labels", "value": 7},
    "a type of 100,000 letters": {"id": "a", "type": "t" * 100_000, "value": nested(800)},
}
"""Alone, each leaves its annotation complete."""


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        (0, -1, 1, 100, 2**31, 2**40, 2**63, 10**40, -(10**400), 1e-200, 1e300, 1e308, -1e308, 5e-324)
    ),
    st.floats(),
    st.integers(),
    st.sampled_from(
        ("", "rle", "bolt", "\ud800", "\0", "nan", "odd-region", "odd-region-box", "image", "1e999")
    ),
    st.text(max_size=5),
)
JSON: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def odd_results(draw: st.DrawFn) -> Any:
    """A ``result``: good ones in which something was replaced or taken away, and any JSON among them."""
    if draw(st.integers(0, 19)) == 0:
        return draw(JSON)
    return [draw(_odd_one()) for _ in range(draw(st.integers(1, 4)))]


@st.composite
def _odd_one(draw: st.DrawFn) -> Any:
    if draw(st.integers(0, 9)) == 0:
        return draw(JSON)
    entry = dict(draw(st.sampled_from(GOOD)))
    if draw(st.booleans()):
        entry["id"] = draw(
            st.sampled_from(("a", "b", "detseg-0123456789abcdef-box", "detseg-0123456789abcdef-mask"))
        )
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.sampled_from(("result", "value", "item")))
        target = entry
        if place != "result" and isinstance(entry.get("value"), dict):
            target = entry["value"] = dict(entry["value"])
        name = draw(st.sampled_from(sorted(target) or ["id"]))
        if place == "item" and isinstance(target.get(name), list) and target[name]:
            changed = list(target[name])
            changed[draw(st.integers(0, len(changed) - 1))] = draw(JSON | st.integers(0, 255))
            target[name] = changed[: draw(st.integers(1, len(changed)))] if draw(st.booleans()) else changed
        elif draw(st.integers(0, 4)) == 0:
            target.pop(name, None)
        else:
            target[name] = draw(JSON)
    return entry


def read(results: Any) -> ReadRegions:
    """What is read of a result on a 40x30 image."""
    return read_regions(results, SIZE, TAXONOMY, sent={}, where="task 5, annotation 3")


def _try_many(n: int) -> None:
    raised: Counter[str] = Counter()
    n_tried, most_bytes, longest_s = 0, 0, 0.0

    @settings(
        max_examples=n,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(odd_results())
    def try_one(results: Any) -> None:
        nonlocal n_tried, most_bytes, longest_s
        n_tried += 1
        tracemalloc.start()
        start = time.perf_counter()
        try:
            read(results)
        except Exception as error:  # noqa: BLE001 (what raises is what is looked for)
            raised[repr(error)[:80]] += 1
        longest_s = max(longest_s, time.perf_counter() - start)
        most_bytes = max(most_bytes, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    try_one()
    print(
        f"{n_tried} tried, {raised.total()} raised; at most {most_bytes / 2**20:.1f} MiB, {longest_s:.2f} s"
    )
    for words, times in raised.most_common():
        print(f"{times:6} {words}")


if __name__ == "__main__":
    _try_many(int(sys.argv[1]) if len(sys.argv) > 1 else 40_000)
