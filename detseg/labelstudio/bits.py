"""Words of any width one after another in bytes, most significant bit first, many at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_WORD = 64


def pack_bits(values: Words, widths: Words) -> bytes:
    """Values of 1 to 32 bits one after another, then 1 to 8 zero bits up to a byte."""
    if values.size % 2:
        values, widths = np.append(values, np.uint64(0)), np.append(widths, np.uint64(0))
    # Pairs fit a word, and every word but the last has a pair that starts in it.
    pairs, widths = values[::2] << widths[1::2] | values[1::2], widths[::2] + widths[1::2]
    ends = np.cumsum(widths).astype(np.int64)
    word = (ends - widths.astype(np.int64)) // _WORD
    over = ends - (word + 1) * _WORD  # how many bits go on in the next word
    crossing = np.flatnonzero(over > 0)
    parts = pairs << np.maximum(-over, 0).astype(np.uint64)
    parts[crossing] = pairs[crossing] >> over[crossing].astype(np.uint64)
    packed = np.zeros(int(ends[-1]) // _WORD + 1, dtype=np.uint64)
    firsts = np.flatnonzero(np.diff(word, prepend=-1))
    packed[: firsts.size] = np.bitwise_or.reduceat(parts, firsts)
    packed[word[crossing] + 1] |= pairs[crossing] << (_WORD - over[crossing]).astype(np.uint64)
    return packed.astype(">u8").tobytes()[: int(ends[-1]) // 8 + 1]


def read_bits(data: bytes, starts: Ints, width: int | Ints) -> Ints:
    """The words of 1 to 32 bits that start at those bits; beyond the end all bits are 0."""
    padded = data + bytes(8)
    windows: npt.NDArray[Any] = np.ndarray(
        (len(data) + 1,), ">u8", padded, strides=(1,)
    )  # from every byte on
    at = np.minimum(starts // 8, len(data))
    aligned = windows[at].astype(np.uint64) << (starts % 8).astype(np.uint64)
    words: Ints = (aligned >> (_WORD - np.asarray(width)).astype(np.uint64)).astype(np.int64)
    return words
