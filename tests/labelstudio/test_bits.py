"""Words of bits against strings of them."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from detseg.labelstudio.bits import pack_bits, read_bits

WORDS = st.integers(1, 64).flatmap(lambda width: st.tuples(st.integers(0, 2**width - 1), st.just(width)))


@given(st.lists(WORDS, min_size=1, max_size=60))
def test_words_follow_each_other_and_zeros_fill_a_byte(words: list[tuple[int, int]]) -> None:
    bits = "".join(f"{value:0{width}b}" for value, width in words)
    bits += "0" * (8 - len(bits) % 8)
    values, widths = zip(*words, strict=True)
    packed = pack_bits(np.array(values, np.uint64), np.array(widths, np.uint64))
    assert packed == bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


@given(width=st.integers(1, 32), data=st.data())
def test_what_was_packed_is_read(width: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, 2**width - 1), min_size=1, max_size=60))
    packed = pack_bits(np.array(values, np.uint64), np.full(len(values), width, np.uint64))
    assert read_bits(packed, np.arange(len(values)) * width, width).tolist() == values


def test_words_without_bits_are_nothing() -> None:
    values, widths = np.array([0, 5, 0], np.uint64), np.array([0, 3, 0], np.uint64)
    assert pack_bits(values, widths) == b"\xa0"
