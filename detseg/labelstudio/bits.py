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
    """Values of that many bits, 64 at most, one after another; then 1 to 8 zero bits up to a byte."""
    ends = widths.cumsum()
    words, beyond = (ends >> _WORD_SHIFT).view(np.int64), ends & _WITHIN
    packed = np.zeros(int(words[-1]) + 2, dtype=np.uint64)  # the first stays empty
    np.add.at(packed, words, values >> beyond)
    np.add.at(packed, words + 1, values << (_WORD - beyond))  # by 64 is 0 in numpy
    return packed[1:].astype(">u8").tobytes()[: int(ends[-1]) // 8 + 1]


def read_windows(data: bytes, starts: Ints) -> Words:
    """The 57 bits and more that start at those bits, at the top of a word; beyond the end all bits are 0.

    At least one start, all of them in order.
    """
    first = int(starts[0]) >> 3
    part = data[first : (int(starts[-1]) >> 3) + 8]  # copied: the data may be far longer
    windows: npt.NDArray[Any] = np.ndarray(
        (len(part) + 1,), ">u8", part + bytes(8), strides=(1,)
    )  # from every byte on
    at = np.minimum((starts >> 3) - first, len(part))
    words: Words = windows[at].astype(np.uint64) << (starts & 7).astype(np.uint64)
    return words


def read_bits(data: bytes, starts: Ints, width: int) -> Ints:
    """The words of 1 to 32 bits that start at those bits; at least one, in order."""
    return (read_windows(data, starts) >> np.uint64(64 - width)).view(np.int64)
