"""Words of any width one after another in bytes, most significant bit first, many at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_WORD = np.uint64(64)
_WORD_SHIFT, _WITHIN = np.uint64(6), np.uint64(63)


def pack_bits(values: Words, widths: Words) -> bytes:
    """Values of 1 to 32 bits one after another, then 1 to 8 zero bits up to a byte."""
    if values.size % 2:
        values, widths = np.append(values, np.uint64(0)), np.append(widths, np.uint64(0))
    # Pairs fit a word, and in every word a pair starts.
    pairs, widths = values[::2] << widths[1::2] | values[1::2], widths[::2] + widths[1::2]
    ends = widths.cumsum()
    starts = ends - widths
    aligned, offsets, words = pairs << (_WORD - widths), starts & _WITHIN, starts >> _WORD_SHIFT
    new_word = np.flatnonzero(words[1:] != words[:-1]) + 1
    firsts = np.concatenate(([0], new_word))  # of the pairs that start in a word
    lasts = np.append(firsts[1:], starts.size) - 1  # these may go on in the next word
    packed = np.zeros(firsts.size + 1, dtype=np.uint64)
    packed[:-1] = np.bitwise_or.reduceat(aligned >> offsets, firsts)
    packed[1:] |= aligned[lasts] << (_WORD - offsets[lasts])  # by 64 is 0 in numpy
    return packed.astype(">u8").tobytes()[: int(ends[-1]) // 8 + 1]


def read_windows(data: bytes, starts: Ints) -> Words:
    """The 57 bits and more that start at those bits, at the top of a word; beyond the end all bits are 0."""
    padded = data + bytes(8)
    windows: npt.NDArray[Any] = np.ndarray(
        (len(data) + 1,), ">u8", padded, strides=(1,)
    )  # from every byte on
    at = np.minimum(starts >> 3, len(data))
    words: Words = windows[at].astype(np.uint64) << (starts & 7).astype(np.uint64)
    return words


def read_bits(data: bytes, starts: Ints, width: int) -> Ints:
    """The words of 1 to 32 bits that start at those bits."""
    return (read_windows(data, starts) >> np.uint64(64 - width)).astype(np.int64)
