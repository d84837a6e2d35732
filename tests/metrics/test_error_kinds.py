"""Kinds of errors against a slow oracle that follows Bolya et al. word by word, and against hotcoco's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import hotcoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.formats.coco_entries import IouType
from detseg.metrics.cases import Case
from detseg.metrics.detection import DetectionTally
from detseg.metrics.error_kinds import ERROR_KINDS, ErrorCosts, ErrorKind
from detseg.types import Instance, Region
from tests.metrics.found import detection_cases, make_case, overlap, to_records
from tests.metrics.made import boxed


def measure(cases: Sequence[Case], iou_type: IouType = "bbox") -> ErrorCosts:
    tally = DetectionTally(iou_type)
    for case in cases:
        tally.add(case)
    return tally.result().errors


# ---- the oracle ----


@dataclass(eq=False)
class Thing:
    """An object or a detection, and what is found out about it."""

    image: str
    instance: Instance
    partner: Thing | None = None
    kind: ErrorKind | None = None
    target: Thing | None = None


def understand(cases: Sequence[Case]) -> tuple[list[Thing], list[Thing]]:
    """The true objects, and the detections with the best score first, equal ones by image and rank."""
    truth, found = [], []
    for case in sorted(cases, key=lambda case: case.image):
        assert case.truth
        truth += [Thing(case.image, region.instance) for region in case.truth.regions]
        found += [Thing(case.image, region.instance) for region in case.prediction.regions]
    found.sort(key=lambda thing: -(thing.instance.score or 0.0))
    for one in found:
        free = [t for t in truth if is_near(one, t, same=True) and t.partner is None]
        best = max(free, key=lambda t: (overlap(one.instance, t.instance), truth.index(t)), default=None)
        if best and overlap(one.instance, best.instance) >= 0.5:
            one.partner, best.partner = best, one
    for one in found:
        if one.partner is None:
            explain(one, truth)
    usable = {id(one.target) for one in found if one.target}
    for true in truth:
        if true.partner is None and id(true) not in usable:
            true.kind = "missed"
    return truth, found


def has_equal_targets(cases: Sequence[Case]) -> bool:
    """Whether a wrong class lies on two objects alike: then everybody is free to say which one is meant."""
    truth, found = understand(cases)
    for one in found:
        if one.kind == "class":
            near = [overlap(one.instance, t.instance) for t in truth if is_near(one, t, same=False)]
            if near.count(max(near)) > 1:
                return True
    return False


def is_near(one: Thing, true: Thing, *, same: bool) -> bool:
    return one.image == true.image and (one.instance.label == true.instance.label) == same


def explain(one: Thing, truth: list[Thing]) -> None:
    def nearest(same: bool) -> tuple[float, Thing | None]:
        near = [(overlap(one.instance, t.instance), t) for t in truth if is_near(one, t, same=same)]
        return max(near, key=lambda pair: pair[0], default=(0.0, None))

    own, own_truth = nearest(same=True)
    other, other_truth = nearest(same=False)
    if 0.1 <= own <= 0.5:
        one.kind, one.target = "location", own_truth
    elif other >= 0.5:
        one.kind, one.target = "class", other_truth
    elif own >= 0.5:
        one.kind = "duplicate"
    elif max(own, other) <= 0.1:
        one.kind = "background"
    else:
        one.kind = "both"
    if one.target and one.target.partner:
        one.target = None


def mean_ap(truth: list[Thing], found: list[Thing], mended: ErrorKind | None) -> float | None:
    labels = sorted({true.instance.label for true in truth})
    points: dict[str, list[bool]] = {label: [] for label in labels}
    taken: set[int] = set()
    for one in found:
        label, right = one.instance.label, one.partner is not None
        is_first = one.target is not None and id(one.target) not in taken
        taken.add(id(one.target))
        if one.kind == mended and mended is not None:
            if not is_first:
                continue
            assert one.target
            label, right = one.target.instance.label, True
        if label in points:
            points[label].append(right)
    aps = []
    for label in labels:
        left = [t for t in truth if t.instance.label == label and not (t.kind == mended == "missed")]
        if left:
            aps.append(average_precision(points[label], len(left)))
        elif points[label]:
            aps.append(0.0)
    return sum(aps) / len(aps) if aps else None


def average_precision(right: list[bool], n_truth: int) -> float:
    curve = []
    for n in range(1, len(right) + 1):
        tp = sum(right[:n])
        curve.append((tp / n_truth, tp / n))
    total = 0.0
    for wanted in np.linspace(0.0, 1.0, 101):
        total += max((precision for recall, precision in curve if recall >= wanted), default=0.0)
    return total / 101


# ---- what holds ----


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_kinds_and_costs_are_those_of_the_oracle(iou_type: IouType, data: st.DataObject) -> None:
    cases = data.draw(detection_cases(shape=iou_type))
    truth, found = understand(cases)
    errors = measure(cases, iou_type)
    counts = Counter(thing.kind for thing in (*truth, *found) if thing.kind)
    assert {kind: cost.n for kind, cost in errors.kinds.items()} == {k: counts[k] for k in ERROR_KINDS}
    per_class = Counter((thing.instance.label, thing.kind) for thing in (*truth, *found) if thing.kind)
    assert {
        (label, kind): n for label, kinds in errors.per_class.items() for kind, n in kinds.items() if n
    } == per_class
    base = mean_ap(truth, found, None)
    assert errors.ap50 == (None if base is None else pytest.approx(base, abs=1e-9))
    for kind, cost in errors.kinds.items():
        mended = mean_ap(truth, found, kind)
        if base is None or mended is None:
            assert cost.ap_cost is None
        else:
            assert cost.ap_cost == pytest.approx(mended - base, abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(detection_cases(ties=False))
def test_hotcoco_says_the_same_but_of_classes_that_are_missed_altogether(cases: list[Case]) -> None:
    errors = measure(cases)
    dataset, results = to_records(cases, "bbox")
    if errors.ap50 is None or not results or has_equal_targets(cases):
        return
    truth = hotcoco.COCO(dataset)
    evaluated = hotcoco.COCOeval(truth, truth.load_res(results), "bbox")
    evaluated.evaluate()
    theirs = evaluated.tide_errors(pos_thr=0.5, bg_thr=0.1)
    names = dict(zip(ERROR_KINDS, ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"), strict=True))
    assert {names[kind]: cost.n for kind, cost in errors.kinds.items()} == theirs["counts"]
    assert errors.ap50 == pytest.approx(theirs["ap_base"], abs=1e-9)
    for kind, cost in errors.kinds.items():
        if kind != "missed":
            assert cost.ap_cost == pytest.approx(theirs["delta_ap"][names[kind]], abs=1e-9)
        elif cost.ap_cost is not None:
            assert cost.ap_cost >= theirs["delta_ap"]["Miss"] - 1e-9


# ---- one of each, to read ----

BOLT = (0.0, 0.0, 100.0, 10.0)


def found(label: str, x0: float, x1: float, score: float) -> Region:
    return boxed(f"p{score}", label, (x0, 0.0, x1, 10.0), score)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("class", found("nut", 0, 100, 0.5)),
        ("location", found("bolt", 70, 170, 0.5)),
        ("both", found("nut", 70, 170, 0.5)),
        ("duplicate", found("bolt", 0, 95, 0.5)),
        ("background", found("bolt", 150, 190, 0.5)),
    ],
)
def test_each_kind(kind: ErrorKind, wrong: Region) -> None:
    right = [found("bolt", 0, 100, 0.9)] if kind == "duplicate" else []
    errors = measure([make_case([boxed("t", "bolt", BOLT)], [*right, wrong])])
    assert {name: cost.n for name, cost in errors.kinds.items() if cost.n and name != "missed"} == {kind: 1}
    assert errors.kinds["missed"].n == (kind in ("both", "background"))
    assert errors.kinds[kind].images == ("sha256:1",)
    assert errors.per_class[wrong.instance.label][kind] == 1


def test_what_a_kind_costs_is_the_ap_that_mending_it_gains() -> None:
    truth = [boxed("t", "bolt", BOLT), boxed("u", "nut", (0.0, 20.0, 50.0, 30.0))]
    nut = boxed("r", "nut", (0.0, 20.0, 50.0, 30.0), 0.9)
    errors = measure([make_case(truth, [found("bolt", 70, 170, 0.8), nut])])
    assert errors.ap50 == pytest.approx(0.5)
    assert errors.kinds["location"].ap_cost == pytest.approx(0.5)
    assert {errors.kinds[kind].ap_cost for kind in ERROR_KINDS if kind != "location"} == {0.0}


def test_of_two_that_miss_one_object_the_better_is_mended() -> None:
    errors = measure(
        [make_case([boxed("t", "bolt", BOLT)], [found("bolt", 70, 170, 0.8), found("nut", 0, 100, 0.9)])]
    )
    assert (errors.kinds["class"].n, errors.kinds["location"].n) == (1, 1)
    assert errors.kinds["class"].ap_cost == pytest.approx(1.0)
    assert errors.kinds["location"].ap_cost == 0.0  # the other one would have the object


def test_a_class_that_is_missed_altogether_costs_what_it_takes_from_the_mean() -> None:
    """hotcoco says that it costs nothing; tidecv says this."""
    truth = [boxed("t", "bolt", BOLT), boxed("u", "nut", (0.0, 20.0, 50.0, 30.0))]
    errors = measure([make_case(truth, [found("bolt", 0, 100, 0.8)])])
    assert errors.ap50 == pytest.approx(0.5)
    assert errors.kinds["missed"].ap_cost == pytest.approx(0.5)
    assert measure([make_case(truth, [])]).kinds["missed"].ap_cost is None  # nothing to measure by is left


def test_the_images_with_most_errors_come_first() -> None:
    far = [found("bolt", 120 + 10 * k, 125 + 10 * k, 0.5 + k / 100) for k in range(3)]
    cases = [make_case([], far[:n], image=f"sha256:{i:02}") for i, n in enumerate([1, 3, 0, *([1] * 12), 2])]
    images = measure(cases).kinds["background"].images
    assert images[:3] == ("sha256:01", "sha256:15", "sha256:00")
    assert len(images) == 12
