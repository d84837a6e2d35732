"""``python -m bench.brush``: brush run lengths of a ragged mask, beside label_studio_sdk's.

The mask is noise, smoothed until a 1920x1080 image has some 65,000 runs, and covers 41% of it. Ours are
timed from and to COCO run lengths, the SDK's from and to a bitmap. Prints one JSON object, in seconds
(medians).
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import numpy as np
from label_studio_sdk.converter.brush import decode_rle, mask2rle
from scipy import ndimage

from detseg.geometry.masks import bitmap_to_mask
from detseg.labelstudio.brush import decode_brush, encode_brush
from detseg.labelstudio.json_body import encode_bytes

HEIGHT, WIDTH = 1080, 1920
SHARE = 0.41
SMOOTHING_PX = 7.0


def seconds(call: Callable[[], object], n: int) -> float:
    """The median time of n calls."""
    times = []
    for _ in range(n):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def main() -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(HEIGHT, WIDTH)), SMOOTHING_PX)
    bitmap = noise > np.quantile(noise, 1 - SHARE)
    mask, pixels = bitmap_to_mask(bitmap), bitmap.astype(np.uint8) * 255
    rle = encode_brush(mask)
    assert list(rle) == list(mask2rle(pixels))
    figures = {
        "runs": len(mask.counts),
        "json_bytes": len(encode_bytes(rle)),
        "encode": {
            "sdk": seconds(lambda: mask2rle(pixels), 7),
            "ours": seconds(lambda: encode_brush(mask), 51),
        },
        "decode": {
            "sdk": seconds(lambda: decode_rle(rle), 5),
            "ours": seconds(lambda: decode_brush(rle, mask.size), 51),
        },
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
