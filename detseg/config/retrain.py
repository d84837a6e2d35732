"""The settings of `detseg retrain`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from detseg.config.sections import Section


class RetrainSettings(Section):
    """When `detseg retrain` begins a round, and how it trains."""

    new_images: int = Field(
        default=200,
        ge=0,
        description="newly reviewed images from which a round is due; 0: their number never makes one due",
    )
    weeks: float = Field(
        default=4.0,
        ge=0,
        allow_inf_nan=False,
        description="weeks since the last round after which one is due, with one new image; 0: never",
    )
    base: str | None = Field(
        default=None,
        description="where each round begins; without it, the promoted model, else model.detector",
    )
    minutes: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="longest training; without it, training.steps"
    )
    split: str = Field(
        default="train=0.8,val=0.1,test=0.1", description="sides of the dataset versions and their shares"
    )
    folder: Path | None = Field(
        default=None, description="where checkpoints go; without it, models in the state folder"
    )
    simulated: bool = Field(default=False, description="learn from labels of the demo's reviewer, too")
