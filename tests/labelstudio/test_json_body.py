"""The JSON of requests against json's own."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from detseg.labelstudio.codec import encode_task, prediction_regions
from detseg.labelstudio.json_body import encode_bytes, encode_json
from detseg.labelstudio.shapes import ShapePolicy
from detseg.types import ImageId, ImageRef
from tests.labelstudio.scenes import SIZE, TAXONOMY, VERSION, instances

TEXTS = st.text() | st.sampled_from(["\0", '"\0"', "\\u0000", '"\\u0000"', "rle"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


def plain(value: object) -> bytes:
    """As json writes it, with lists of ints for bytes."""
    return json.dumps(value, separators=(",", ":"), default=list).encode()


@given(VALUES)
def test_it_is_jsons_own_text_with_lists_for_bytes(value: object) -> None:
    assert encode_json(value) == plain(value)


def test_every_byte_is_its_number() -> None:
    assert json.loads(encode_bytes(bytes(range(256)))) == list(range(256))
    assert encode_bytes(b"") == b"[]"


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"score": -float("inf")}])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_json(value)


def test_what_json_has_no_form_of_is_refused() -> None:
    with pytest.raises(TypeError, match="set is no JSON"):
        encode_json({"labels": {"bolt"}})


@pytest.mark.parametrize("mask_as", ["auto", "brush", "bitmask", "polygon"])
def test_a_task_is_sent_as_the_same_bytes_whichever_way_it_is_written(mask_as: Any) -> None:
    image = ImageId("sha256:" + "5" * 64)
    task = encode_task(
        ImageRef(image, "/photos/a.png"),
        SIZE,
        prediction_regions(image, VERSION, instances()),
        version=VERSION,
        taxonomy=TAXONOMY,
        image_url='/data/local-files/?d=a "\0" 🔩.png',
        policy=ShapePolicy(mask_as=mask_as),
    ).task
    assert encode_json(task) == plain(task)
