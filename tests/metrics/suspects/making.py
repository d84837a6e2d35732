"""Cases to judge: made one by one, and any at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from detseg.geometry.masks import bitmap_to_mask
from detseg.metrics.cases import Case
from detseg.metrics.suspects.findings import Suspect
from detseg.metrics.suspects.options import SuspectOptions
from detseg.metrics.suspects.tally import SuspectTally
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import (
    ARMS,
    Annotation,
    Arm,
    Box,
    ImageId,
    Instance,
    Mask,
    ModelVersion,
    Region,
    RegionId,
    Size,
)
from tests.metrics.made import annotation

SIZE = Size(200, 150)
TAXONOMY = Taxonomy((LabelClass("bolt"), LabelClass("nut"), LabelClass("belt", "stuff")))


def region(
    id_: str,
    label: str = "bolt",
    box: tuple[float, float, float, float] | None = None,
    *,
    mask: Mask | None = None,
    score: float | None = None,
) -> Region:
    """A region; stuff if its label is the belt's."""
    shape = None if box is None else Box(*box)
    kind = "stuff" if label == "belt" else "thing"
    instance = Instance(label, kind, shape, mask, score)  # type: ignore[arg-type]
    return Region(RegionId(id_), "person" if score is None else "model", instance)


def case(
    drawn: Sequence[Region],
    predicted: Sequence[Region] = (),
    *,
    others: Sequence[Sequence[Region]] = (),
    arm: Arm = "control",
    lead_time_s: float | None = None,
    image: str = "sha256:1",
) -> Case:
    """An image that ann reviewed, and others a little before her."""
    reviews = [annotation(drawn, image=image, author="ann", size=SIZE, lead_time_s=lead_time_s)]
    reviews += [annotation(one, image=image, author=f"Z{i}", size=SIZE) for i, one in enumerate(others)]
    return Case(
        image=ImageId(image),
        uri=f"{image}.png",
        task_id=7,
        task_url="http://localhost/projects/1/data?task=7",
        arm=arm,
        model_version=ModelVersion("made@00000001"),
        prediction=annotation(predicted, image=image, author="made@00000001", state="labeled", size=SIZE),
        reviews=tuple(sorted(reviews, key=lambda review: review.author)),
    )


def find_suspects(
    made: Case, options: SuspectOptions | None = None, *, taxonomy: Taxonomy = TAXONOMY
) -> tuple[Suspect, ...]:
    """What the rules find in one image, worst first."""
    tally = SuspectTally(taxonomy, options or SuspectOptions())
    tally.add(made)
    return tally.result().ranked


def suspects(made: Case, rule: str, options: SuspectOptions | None = None) -> list[Suspect]:
    """What that rule finds."""
    return [suspect for suspect in find_suspects(made, options) if suspect.rule == rule]


def disc(x: float, y: float, radius: float) -> np.ndarray:
    """A bitmap of the image with a disc."""
    rows, columns = np.mgrid[: SIZE.height, : SIZE.width]
    bitmap: np.ndarray = np.hypot(rows + 0.5 - y, columns + 0.5 - x) < radius
    return bitmap


def mask(bitmap: np.ndarray) -> Mask:
    return bitmap_to_mask(bitmap)


sizes = st.builds(Size, st.integers(1, 30), st.integers(1, 30))
corners = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-40, 80)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x0, x1 = sorted((draw(corners), draw(corners)))
    y0, y1 = sorted((draw(corners), draw(corners)))
    return Box(x0, y0, x1, y1)


@st.composite
def masks(draw: st.DrawFn, size: Size) -> Mask:
    """Any run lengths, also empty ones in a row."""
    cuts = sorted(draw(st.lists(st.integers(0, size.area), max_size=20)))
    return Mask(size, tuple(np.diff([0, *cuts, size.area]).tolist()))


@st.composite
def instances(draw: st.DrawFn, size: Size, scores: st.SearchStrategy[float | None]) -> Instance:
    shape = draw(st.sampled_from(("box", "mask", "both")))
    its_size = draw(st.just(size) | sizes)
    return Instance(
        draw(st.sampled_from(("bolt", "nut", "belt", "Bolt", "", "unheard of"))),
        draw(st.sampled_from(("thing", "stuff"))),
        None if shape == "mask" else draw(boxes()),
        None if shape == "box" else draw(masks(its_size)),
        draw(scores),
    )


@st.composite
def annotations(
    draw: st.DrawFn, size: Size, author: str, scores: st.SearchStrategy[float | None]
) -> Annotation:
    drawn = draw(st.lists(instances(size, scores), max_size=5))
    ids = draw(st.lists(st.sampled_from("abcde"), min_size=len(drawn), max_size=len(drawn)))
    return Annotation(
        image=ImageId("sha256:1"),
        size=size,
        author=author,
        state=draw(st.sampled_from(("unlabeled", "labeled", "empty", "skipped"))),
        regions=tuple(Region(RegionId(id_), "person", one) for id_, one in zip(ids, drawn, strict=True)),
        lead_time_s=draw(st.none() | st.floats()),
    )


@st.composite
def any_cases(draw: st.DrawFn) -> Case:
    """Cases of every kind, sensible or not."""
    size = draw(sizes)
    prediction = draw(annotations(size, "model", st.none() | st.floats(0, 1) | st.just(0.99)))
    people = [
        draw(annotations(size, author, st.none())) for author in draw(st.sampled_from(("", "a", "ab", "abc")))
    ]
    shown = {one.id: one for one in prediction.regions}
    kept = [
        replace(one, regions=(*one.regions, *shown.values())) for one in people[:1] if draw(st.booleans())
    ]
    return Case(
        image=ImageId(f"sha256:{draw(st.integers(0, 9))}"),
        uri="x.png",
        task_id=draw(st.integers(0, 9)),
        task_url="http://localhost",
        arm=draw(st.sampled_from(ARMS)),
        model_version=ModelVersion("m@0"),
        prediction=prediction,
        reviews=(*kept, *people[len(kept) :]),
        gold=draw(st.none() | st.just(prediction)),
    )
