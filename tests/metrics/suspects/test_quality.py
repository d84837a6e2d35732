"""cleanlab's scores: the same as cleanlab alone gives, found where they should be, and said when missing."""

from __future__ import annotations

import numpy as np
import pytest
from cleanlab.object_detection.rank import get_label_quality_scores
from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.metrics.cases import Case
from detseg.metrics.suspects.findings import Suspects
from detseg.metrics.suspects.tally import SuspectTally
from detseg.types import Region
from tests.metrics.suspects.making import TAXONOMY, case, region

LABELS = ("bolt", "nut")


def measure(cases: list[Case]) -> Suspects:
    tally = SuspectTally(TAXONOMY)
    for made in cases:
        tally.add(made)
    return tally.result()


@st.composite
def regions(draw: st.DrawFn, *, predicted: bool) -> list[Region]:
    whole = st.integers(0, 12)
    return [
        region(
            str(number),
            draw(st.sampled_from(LABELS)),
            (10.0 * (x := draw(whole)), 10.0 * (y := draw(whole)), 10.0 * x + 40.5, 10.0 * y + 20.0),
            score=draw(st.sampled_from((0.5, 0.55, 0.9, 0.95, 0.96, 0.999))) if predicted else None,
        )
        for number in range(draw(st.integers(0, 4)))
    ]


@st.composite
def projects(draw: st.DrawFn) -> list[Case]:
    return [
        case(draw(regions(predicted=False)), draw(regions(predicted=True)), image=f"sha256:{number}")
        for number in range(draw(st.integers(1, 4)))
    ]


def ask_cleanlab(cases: list[Case]) -> list[float]:
    labels = [
        {
            "bboxes": np.array([one.instance.box.xyxy for one in drawn if one.instance.box]).reshape(-1, 4),
            "labels": np.array([LABELS.index(one.instance.label) for one in drawn], dtype=int),
        }
        for drawn in (made.reviews[0].regions for made in cases)
    ]
    predictions = [
        [
            np.array(
                [
                    (*one.instance.box.xyxy, one.instance.score)
                    for one in made.prediction.regions
                    if one.instance.label == label and one.instance.box
                ]
            ).reshape(-1, 5)
            for label in LABELS
        ]
        for made in cases
    ]
    scores: list[float] = get_label_quality_scores(labels, predictions, verbose=False).tolist()
    return scores


@settings(max_examples=60)
@given(projects())
def test_scores_are_those_of_cleanlab_alone(cases: list[Case]) -> None:
    ours = {one.image: one.quality for one in measure(cases).quality.worst}
    assert [ours[made.image] for made in cases] == pytest.approx(ask_cleanlab(cases), abs=1e-6)


def test_each_mistake_lowers_the_score_that_is_meant_for_it() -> None:
    drawn = [region("a", "bolt", (10, 10, 60, 60)), region("b", "nut", (120, 10, 170, 60))]
    seen = [
        region("m", "bolt", (10, 10, 60, 60), score=0.99),
        region("n", "nut", (120, 10, 170, 60), score=0.99),
    ]
    swapped = [region("a", "nut", (10, 10, 60, 60)), drawn[1]]
    moved = [region("a", "bolt", (35, 35, 85, 85)), drawn[1]]
    result = measure(
        [
            case(made, seen, image=name)
            for name, made in {
                "right": drawn,
                "overlooked": drawn[1:],
                "badloc": moved,
                "swap": swapped,
            }.items()
        ]
    )
    worst = {one.image: one for one in result.quality.worst}
    assert result.quality.n_images == 4
    assert worst["right"].quality > 0.95  # type: ignore[index]
    for name in ("overlooked", "badloc", "swap"):
        of_image = worst[name]  # type: ignore[index]
        lowest = min(("overlooked", "badloc", "swap"), key=lambda kind: getattr(of_image, kind))
        assert lowest == name
        assert of_image.box is not None


def test_what_cannot_be_computed_is_said() -> None:
    quality = measure([case([region("a", "cat", (10, 10, 60, 60))])]).quality
    assert quality.n_images == 1
    (missing,) = quality.missing
    assert "segmentation" in missing
