"""What annotators are asked for, by the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detseg.labelstudio.shapes import ShapePolicy

if TYPE_CHECKING:
    from detseg.config import Settings


def shape_policy(settings: Settings) -> ShapePolicy:
    """Boxes, masks or both, and what masks are drawn as."""
    return ShapePolicy(
        annotate=settings.annotate,
        mask_as=settings.mask_as,
        polygon_tolerance_px=settings.polygon_tolerance_px,
        max_masks=settings.task_max_masks,
        max_bytes=settings.task_max_bytes,
    )
