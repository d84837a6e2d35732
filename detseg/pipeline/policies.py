"""Policies by the settings: what annotators are asked for, and what their work costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detseg.labelstudio.shapes import ShapePolicy
from detseg.metrics.costs import CostModel

if TYPE_CHECKING:
    from detseg.config.sections import CostSettings, LabelSettings


def shape_policy(labels: LabelSettings) -> ShapePolicy:
    """Boxes, masks or both, and what masks are drawn as."""
    return ShapePolicy(**dict(labels))


def cost_model(costs: CostSettings) -> CostModel:
    """Seconds and prices of a region."""
    return CostModel(**dict(costs))
