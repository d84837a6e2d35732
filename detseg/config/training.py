"""The settings of `detseg train`, `detseg models compare` and `detseg retrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from detseg.config.sections import ClassName, Section, Share

Head = Literal["own", "upernet"]


class TrainingSettings(Section):
    """How `detseg train` fine-tunes a model, and how much it changes the images on the way."""

    steps: int = Field(
        default=3000, ge=1, le=10_000_000, description="most steps; --minutes ends them earlier"
    )
    batch_size: int = Field(default=8, ge=1, le=4096, description="images in one step, on each device")
    accumulate: int = Field(
        default=1, ge=1, le=1024, description="passes whose gradients make one step, where memory is short"
    )
    learning_rate: float = Field(
        default=4e-4, gt=0, le=1, allow_inf_nan=False, description="at its highest, after the warm-up"
    )
    backbone_rate: float = Field(
        default=1.0,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="the backbone's learning rate, as a multiple; 0 keeps it as it is",
    )
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="the rate of each of the backbone's layers, as a multiple of that of the layer above it",
    )
    lora_rank: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="rank of the updates by which the backbone's attention learns; 0: all of it learns",
    )
    warmup_steps: int = Field(default=50, ge=0, description="steps in which the learning rate rises")
    weight_decay: float = Field(
        default=0.01, ge=0, le=1, description="of matrices; biases and norms have none"
    )
    clip: float = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="longest gradient of a step; 0: any length"
    )
    average: Share = Field(
        default=0.998, description="how slowly the average of the weights follows, which is kept; 0: at once"
    )
    evaluations: int = Field(default=15, ge=1, le=1000, description="how often the split val is predicted")
    patience: int = Field(
        default=5, ge=0, description="evaluations without a better figure until it stops; 0: never"
    )
    head: Head = Field(
        default="own",
        description="what answers: own: as in the base; upernet: a new head on the base's backbone, which "
        "gives every pixel a class",
    )
    image_size: int = Field(
        default=0,
        ge=0,
        le=8192,
        description="longer side of the images as the model sees them, in pixels; 0: as the base has it",
    )
    queries: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="objects that the model can find in one image; 0: as the base has it",
    )
    balance: Share = Field(
        default=0.0,
        description="images of a class that is on fewer than this share of them are shown more often; 0: no",
    )
    workers: int = Field(
        default=0, ge=0, le=64, description="processes that load images; 0: the one that trains"
    )
    flip: Share = Field(default=0.5, description="share of images that are mirrored left to right")
    flip_vertical: Share = Field(default=0.0, description="share of images that are mirrored top to bottom")
    zoom: float = Field(
        default=0.3,
        ge=0,
        le=4,
        allow_inf_nan=False,
        description="images are up to this part larger or smaller",
    )
    shift: float = Field(
        default=0.1,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="images are moved by up to this part of a side",
    )
    rotate: float = Field(
        default=0.0,
        ge=0,
        le=180,
        allow_inf_nan=False,
        description="images are turned by up to so many degrees",
    )
    elastic: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description="how much they are bent; 50 moves pixels by about two",
    )
    copy_paste: Share = Field(
        default=0.0,
        description="share of images into which things of another image are pasted, for models of masks",
    )
    cutmix: Share = Field(
        default=0.0,
        description="share of images with a rectangle of another image in its place, for models of masks",
    )
    cutout: Share = Field(
        default=0.0,
        description="a grey rectangle hides up to this part of each image, with what lies behind it whole",
    )
    brightness: Share = Field(default=0.25, description="changed by up to this part")
    contrast: Share = Field(default=0.25, description="changed by up to this part")
    saturation: Share = Field(default=0.25, description="changed by up to this part")
    hue: float = Field(
        default=0.0, ge=0, le=0.5, allow_inf_nan=False, description="turned by up to this part of a circle"
    )


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
