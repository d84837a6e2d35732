"""Made-up images for the tests of this room."""

from __future__ import annotations

import hashlib

import numpy as np

from detseg.types import DecodedImage, ImageId, ImageRef, Size


def made_image(width: int, height: int, seed: int = 0) -> DecodedImage:
    """Coloured rectangles on a gradient, with noise: enough structure that answers differ by place."""
    rng = np.random.default_rng((seed, width, height))
    ramp = np.linspace(40, 200, width)[None, :, None] * np.ones((height, 1, 3))
    for _ in range(4):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        ramp[y : y + height // 3 + 1, x : x + width // 3 + 1] = rng.integers(0, 256, 3)
    rgb = np.clip(ramp + rng.normal(0, 12, ramp.shape), 0, 255).astype(np.uint8)
    rgb.flags.writeable = False  # as read_image gives it
    uri = f"made-{width}x{height}-{seed}.png"
    image_id = ImageId("sha256:" + hashlib.sha256(rgb.tobytes()).hexdigest())
    return DecodedImage(ImageRef(image_id, uri), Size(width, height), rgb)
