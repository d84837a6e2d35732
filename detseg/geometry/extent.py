"""Where an instance lies, whether a box says so or a mask."""

from __future__ import annotations

from detseg.geometry.masks import mask_to_box
from detseg.types import Box, Instance

NOWHERE = Box(0.0, 0.0, 0.0, 0.0)
"""A box without area: it overlaps nothing."""


def extent(instance: Instance) -> Box:
    """The box, or the tight box of the mask where there is none; ``NOWHERE`` for an empty mask."""
    return instance.box or (instance.mask and mask_to_box(instance.mask)) or NOWHERE
