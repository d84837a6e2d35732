from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.geometry.boxes import box_iou
from detseg.geometry.extent import extent
from detseg.geometry.masks import mask_iou
from detseg.labelstudio.codec import encode_regions, prediction_regions
from detseg.pipeline.experiments.decoys import make_decoy, plant
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Annotation, Box, Decoy, ImageId, Instance, ModelVersion, Region, Size
from tests.metrics.made import block

SIZE = Size(200, 150)
IMAGE = ImageId("sha256:" + 64 * "a")
VERSION = ModelVersion("sample@00000001")
TAXONOMY = Taxonomy(
    (
        LabelClass("bolt", "thing", "#111111"),
        LabelClass("nut", "thing", "#222222"),
        LabelClass("belt", "stuff", "#333333"),
        LabelClass("floor", "stuff", "#444444"),
    )
)


def predicted(instances: Sequence[Instance]) -> Annotation:
    regions = prediction_regions(IMAGE, VERSION, instances)
    return Annotation(IMAGE, SIZE, VERSION, "labeled" if regions else "empty", regions)


@st.composite
def predictions(draw: st.DrawFn) -> Annotation:
    instances: list[Instance] = []
    for _ in range(draw(st.integers(0, 6))):
        x, y = draw(st.integers(0, 180)), draw(st.integers(0, 130))
        x1, y1 = draw(st.integers(x + 1, min(x + 60, 200))), draw(st.integers(y + 1, min(y + 60, 150)))
        label = draw(st.sampled_from(["bolt", "nut", "belt"]))
        score = draw(st.floats(0.5, 1.0))
        mask = block(x, y, x1, y1, size=SIZE) if label == "belt" or draw(st.booleans()) else None
        box = None if label == "belt" else Box(x, y, x1, y1)
        instances.append(Instance(label, TAXONOMY[label].kind, box, mask, score))
    return predicted(sorted(instances, key=lambda one: -(one.score or 0)))


@given(prediction=predictions(), lot=st.floats(0, 1, exclude_max=True))
def test_a_decoy_is_wrong_and_looks_like_the_models(prediction: Annotation, lot: float) -> None:
    decoy = make_decoy(prediction, TAXONOMY, lot)
    if decoy is None:
        return
    assert decoy == make_decoy(prediction, TAXONOMY, lot)
    instance, others = decoy.region.instance, [one.instance for one in prediction.regions]
    place = extent(instance)
    assert place.area > 0
    assert 0 <= place.x0 < place.x1 <= SIZE.width
    assert 0 <= place.y0 < place.y1 <= SIZE.height
    overlaps = {i: box_iou(place, extent(one)) for i, one in enumerate(others)}
    assert max((iou for i, iou in overlaps.items() if others[i].label == instance.label), default=0) <= 0.4
    shapes = {(one.kind, one.box is None, one.mask is None) for one in others}
    assert (instance.kind, instance.box is None, instance.mask is None) in shapes
    scores = [one.score for one in others if one.score is not None]
    assert instance.score is not None
    assert min(scores) - 1e-6 <= instance.score <= min(1.0, max(scores) + 0.021)
    if decoy.kind == "nothing":
        assert all(iou == 0 for i, iou in overlaps.items() if others[i].kind == "thing")
    # the server takes it, and its id is like the others
    encode_regions(plant(prediction.regions, [decoy]), SIZE, TAXONOMY, where="here")
    assert [len(decoy.region.id), decoy.region.id[:7]] == [23, "detseg-"]
    assert decoy.region.id not in {region.id for region in prediction.regions}


@given(prediction=predictions(), lot=st.floats(0, 1, exclude_max=True))
def test_a_decoy_stands_where_its_score_puts_it(prediction: Annotation, lot: float) -> None:
    decoy = make_decoy(prediction, TAXONOMY, lot)
    planted = plant(prediction.regions, [decoy] if decoy else [])
    assert [region for region in planted if decoy is None or region != decoy.region] == list(
        prediction.regions
    )
    scores = [region.instance.score for region in planted]
    assert scores == sorted(scores, key=lambda score: -(score or 0))


def kinds_of(prediction: Annotation) -> Counter[str]:
    decoys = (make_decoy(prediction, TAXONOMY, i / 300) for i in range(300))
    return Counter(decoy.kind for decoy in decoys if decoy is not None)


def bolt(box: Box, **more: object) -> Instance:
    return replace(Instance("bolt", "thing", box, None, 0.9), **more)  # type: ignore[arg-type]


def test_every_kind_comes_as_often_as_the_others() -> None:
    counts = kinds_of(predicted([bolt(Box(80, 60, 110, 80))]))
    assert counts.keys() == {"label", "shift", "nothing"}
    assert min(counts.values()) > 60


def test_what_cannot_be_made_is_not() -> None:
    assert make_decoy(predicted([]), TAXONOMY, 0.5) is None
    everything = bolt(Box(0, 0, 200, 150))
    assert kinds_of(predicted([everything])).keys() == {"label"}
    alone = Taxonomy((LabelClass("bolt", "thing", "#111111"),))
    assert make_decoy(predicted([everything]), alone, 0.5) is None


def test_stuff_is_relabeled_and_stays_where_it_is() -> None:
    belt = Instance("belt", "stuff", None, block(0, 0, 100, 150, size=SIZE), 0.8)
    prediction = predicted([belt])
    assert kinds_of(prediction).keys() == {"label"}
    decoy = make_decoy(prediction, TAXONOMY, 0.25)
    assert decoy is not None
    assert (decoy.region.instance.label, decoy.region.instance.mask) == ("floor", belt.mask)


@pytest.mark.parametrize("lot", [i / 40 for i in range(40)])
def test_a_shift_takes_box_and_mask_along(lot: float) -> None:
    mask = block(80, 60, 110, 80, size=SIZE)
    original = bolt(Box(80, 60, 110, 80), mask=mask)
    decoy = make_decoy(predicted([original]), TAXONOMY, lot)
    assert decoy is not None
    instance = decoy.region.instance
    assert instance.mask is not None
    if decoy.kind == "shift":
        assert 0.15 < mask_iou(instance.mask, mask) < 0.41
    if decoy.kind != "label":
        assert instance.box == extent(replace(instance, box=None))


def test_digits_of_scores_are_like_the_models() -> None:
    two = [bolt(Box(80, 60, 110, 80), score=0.91), bolt(Box(10, 10, 40, 30), score=0.8)]
    for i in range(20):
        decoy = make_decoy(predicted(two), TAXONOMY, i / 20)
        assert decoy is not None
        assert len(repr(decoy.region.instance.score)) <= len("0.91")


def test_planting_nothing_changes_nothing() -> None:
    regions = predicted([bolt(Box(80, 60, 110, 80))]).regions
    assert plant(regions, ()) == regions
    lone = Decoy("nothing", Region(regions[0].id, "model", bolt(Box(0, 0, 9, 9))))
    assert plant((), [lone]) == (lone.region,)
