"""COCO's compressed run lengths (``maskApi.c``): a string of 6-bit letters for the runs of a mask."""

from __future__ import annotations

import re
from itertools import accumulate

_VALUE = re.compile("[P-o]*[0-O]")
COMPRESSED = re.compile("(?:[P-o]{0,10}+[0-O]++)*+")
"""Numbers of letters of which the last is lower than the others; never tried twice, so four times as fast.
No run length has more than 11 characters of 5 bits."""
_SHORT = 3
"""Letters of numbers that are kept: there are 32 ** 3 of such."""


def string_to_counts(text: str) -> tuple[int, ...]:
    """The run lengths of a compressed string (``rleFrString``). Raises ValueError for text that is none."""
    if not COMPRESSED.fullmatch(text):
        raise ValueError(f"not a compressed COCO mask: {text[:40]!r}")
    values = [_VALUES[one] for one in _VALUE.findall(text)]
    values[1::2] = accumulate(values[1::2])
    values[2::2] = accumulate(values[2::2])
    return tuple(values)


class _Values(dict[str, int]):
    """The numbers that are written so: five bits a letter, the lowest first, the last one's first a sign."""

    def __missing__(self, text: str) -> int:
        value = -(ord(text[-1]) - 48 >> 4 & 1)
        for letter in reversed(text):
            value = value << 5 | ord(letter) - 48 & 0x1F
        if len(text) <= _SHORT:
            self[text] = value
        return value


_VALUES = _Values()
