"""Small annotations to measure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from detseg.geometry.masks import bitmap_to_mask
from detseg.metrics.cases import Case
from detseg.types import (
    Annotation,
    Arm,
    Box,
    ImageId,
    Instance,
    Kind,
    Mask,
    ModelVersion,
    Region,
    RegionId,
    Size,
    State,
)

SIZE = Size(40, 30)


def block(x0: int, y0: int, x1: int, y1: int, *, size: Size = SIZE) -> Mask:
    """A mask that covers a rectangle."""
    bitmap = np.zeros((size.height, size.width), dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap_to_mask(bitmap)


def boxed(id_: str, label: str, box: tuple[float, float, float, float], score: float | None = None) -> Region:
    """A thing with a box."""
    origin = "person" if score is None else "model"
    return Region(RegionId(id_), origin, Instance(label, "thing", box=Box(*box), score=score))


def masked(
    id_: str,
    label: str,
    mask: Mask,
    *,
    score: float | None = None,
    kind: Kind = "thing",
    box: Box | None = None,
) -> Region:
    """An instance with a mask."""
    origin = "person" if score is None else "model"
    return Region(RegionId(id_), origin, Instance(label, kind, box=box, mask=mask, score=score))


def annotation(
    regions: Sequence[Region] = (),
    *,
    image: str = "sha256:1",
    author: str = "ann",
    state: State | None = None,
    lead_time_s: float | None = None,
    updated_at: datetime | None = None,
    size: Size = SIZE,
) -> Annotation:
    """What somebody says about an image; empty without regions unless another state is given."""
    return Annotation(
        image=ImageId(image),
        size=size,
        author=author,
        state=state or ("labeled" if regions else "empty"),
        regions=tuple(regions),
        lead_time_s=lead_time_s,
        updated_at=updated_at,
    )


def case(
    prediction: Annotation, *reviews: Annotation, arm: Arm = "assisted", model_version: str = "made@00000001"
) -> Case:
    """An image with what was said about it."""
    return Case(
        image=prediction.image,
        uri=f"{prediction.image}.png",
        task_id=1,
        task_url="https://example.org/tasks/1",
        arm=arm,
        model_version=ModelVersion(model_version),
        prediction=prediction,
        reviews=reviews,
    )
