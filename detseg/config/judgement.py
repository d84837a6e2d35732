"""The settings of `detseg models compare`."""

from __future__ import annotations

from pydantic import Field

from detseg.config.sections import ClassName, Section


class JudgementSettings(Section):
    """When a candidate is better than the present model."""

    left_iou: float = Field(
        default=0.75, ge=0.5, le=1, description="IoU from which people are expected to leave a region"
    )
    protected: tuple[ClassName, ...] | None = Field(
        default=None,
        description="classes that must not need more work for certain; without it, all, and [] for none",
    )
    max_looks: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="looks at a split that may end in a promotion; each raises the bar",
    )
