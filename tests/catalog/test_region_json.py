import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.catalog.region_json import decode_labels, decode_regions, encode_regions
from detseg.errors import FormatError
from detseg.types import Box, Instance, Mask, Region, RegionId, Size
from tests.catalog.made import REGIONS

texts = st.text('a"\\\n\x00é😀\ud800', max_size=5)  # a short alphabet, but the hard one
coordinate = st.floats(-1e6, 1e6)
boxes = st.tuples(coordinate, coordinate, coordinate, coordinate).map(
    lambda v: Box(min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3]))
)


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    height = draw(st.integers(1, 40))
    counts = draw(st.lists(st.integers(0, 300), min_size=1, max_size=20))
    counts.append(height - sum(counts) % height)
    return Mask(Size(sum(counts) // height, height), tuple(counts))


shapes = st.one_of(st.tuples(boxes, st.none()), st.tuples(st.none(), masks()), st.tuples(boxes, masks()))


@st.composite
def regions(draw: st.DrawFn) -> Region:
    box, mask = draw(shapes)
    instance = Instance(
        label=draw(texts),
        kind=draw(st.sampled_from(["thing", "stuff"])),
        box=box,
        mask=mask,
        score=draw(st.none() | st.floats(0, 1)),
        seen_by=draw(st.sampled_from([None, "both", "detector", "segmenter"])),
    )
    return Region(RegionId(draw(texts)), draw(st.sampled_from(["model", "person"])), instance)


@given(st.lists(regions(), max_size=5))
def test_regions_survive_exactly(given_regions: list[Region]) -> None:
    text = encode_regions(given_regions)
    assert decode_regions(text) == tuple(given_regions)
    assert "\n" not in text
    assert text.isascii()


def test_the_form_is_short_and_masks_are_cocos() -> None:
    first, second = json.loads(encode_regions(REGIONS))
    assert first == {
        "id": "r1",
        "origin": "model",
        "label": "bolt",
        "kind": "thing",
        "box": [1.5, 2.25, 30.125, 40.0],
        "score": 0.75,
        "seen_by": "both",
    }
    assert second["mask"]["size"] == [48, 64]
    assert isinstance(second["mask"]["counts"], str)
    assert encode_regions([]) == "[]"


ENTRY: dict[str, Any] = {"id": "r", "origin": "model", "label": "a", "kind": "thing", "box": [0, 0, 1, 1]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "3",
        '[{"id": "r"}]',
        json.dumps([{**ENTRY, "box": [0, 0, 1]}]),
        json.dumps([{**ENTRY, "box": [5, 0, 1, 1]}]),
        json.dumps([{**ENTRY, "score": 2}]),
        json.dumps([{**ENTRY, "mask": {"size": [2, 2], "counts": "~"}}]),
        json.dumps([{**ENTRY, "mask": {"size": [2, 2], "counts": "1"}}]),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert decode_regions(json.dumps([ENTRY]))
    with pytest.raises(FormatError):
        decode_regions(text)


def test_labels_are_read_without_boxes_and_masks() -> None:
    assert decode_labels(encode_regions(REGIONS)) == {region.id: region.instance.label for region in REGIONS}
    assert decode_labels("[]") == {}


@pytest.mark.parametrize("text", ["", "[1]", '[{"id": "r1"}]'])
def test_labels_of_something_else_are_refused(text: str) -> None:
    with pytest.raises(FormatError, match="not the catalog's JSON of regions"):
        decode_labels(text)
