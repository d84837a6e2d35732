from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from detseg.metrics.calibration import Calibration, Reliability
from detseg.metrics.cases import Case
from detseg.metrics.detection import DetectionQuality, DetectionTally
from detseg.metrics.operating import MIN_SCORES, OperatingPoint
from tests.metrics.found import detection_cases, make_case, overlap, pycocotools_eval, to_records
from tests.metrics.made import boxed


def measure(cases: Sequence[Case], min_score: float = 0.0) -> DetectionQuality:
    tally = DetectionTally("bbox", min_score=min_score)
    for case in cases:
        tally.add(case)
    return tally.result()


def judged(cases: Sequence[Case], label: str | None) -> list[tuple[float, bool]]:
    """Score and rightness of every detection of a label, or of all, as pycocotools matches them."""
    dataset, results = to_records(cases, "bbox")
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    evaluated = pycocotools_eval(dataset, results, "bbox")
    return [
        (score, match > 0)
        for one in evaluated.evalImgs
        if one and one["aRng"] == [0, 1e10] and label in (None, names[one["category_id"]])
        for score, match in zip(one["dtScores"], one["dtMatches"][0], strict=True)
    ]


def point_at(min_score: float, used: Sequence[bool], n_truth: int) -> OperatingPoint:
    """What is right and wrong of the detections with that score or more."""
    tp, fp = sum(used), len(used) - sum(used)
    f1 = 2 * tp / (len(used) + n_truth) if used or n_truth else None
    precision, recall = tp / len(used) if used else None, tp / n_truth if n_truth else None
    return OperatingPoint(min_score, tp, fp, n_truth - tp, precision, recall, f1)


def n_true(cases: Sequence[Case], label: str | None) -> int:
    regions = [region for case in cases if case.truth for region in case.truth.regions]
    return sum(label in (None, region.instance.label) for region in regions)


# ---- operating points ----


@settings(max_examples=80, deadline=None)
@given(detection_cases())
def test_a_curve_is_what_dropping_detections_does(cases: list[Case]) -> None:
    operating = measure(cases).operating
    for label, curve in [(None, operating.all), *operating.per_class.items()]:
        detections, n_truth = judged(cases, label), n_true(cases, label)
        assert curve.n_truth == n_truth
        for k, min_score in enumerate(operating.min_score):
            used = [right for score, right in detections if score >= min_score]
            tp = sum(used)
            assert (curve.tp[k], curve.fp[k]) == (tp, len(used) - tp)
            assert curve.precision[k] == (tp / len(used) if used else None)
            assert curve.recall[k] == (tp / n_truth if n_truth else None)
        best = [
            point_at(score, [right for one, right in detections if one >= score], n_truth)
            for score in sorted({score for score, _ in detections}, reverse=True)
        ]
        assert curve.best == (max(best, key=lambda point: point.f1 or 0.0) if best and n_truth else None)


@settings(max_examples=50, deadline=None)
@given(detection_cases(), st.sampled_from([0.25, 0.5, 0.75]))
def test_dropping_detections_beforehand_is_the_same_as_a_threshold(cases: list[Case], score: float) -> None:
    before = measure([kept_from(case, score) for case in cases])
    after = measure(cases, min_score=score)
    at = after.operating.min_score.index(score)
    assert before.operating.all.tp[0] == after.operating.all.tp[at]
    assert before.operating.all.fp[0] == after.operating.all.fp[at]
    assert (before.precision, before.recall) == (after.precision, after.recall)
    ours, theirs = before.confusion, after.confusion
    assert counted(ours.labels, ours.counts) == counted(theirs.labels, theirs.counts)


def kept_from(case: Case, score: float) -> Case:
    regions = [region for region in case.prediction.regions if (region.instance.score or 0.0) >= score]
    return make_case(case.truth.regions if case.truth else None, regions, image=case.image)


def counted(labels: tuple[str, ...], counts: tuple[tuple[int, ...], ...]) -> dict[tuple[str, str], int]:
    names = (*labels, "background")
    return {(names[i], names[j]): n for i, row in enumerate(counts) for j, n in enumerate(row) if n}


def test_a_curve_by_hand() -> None:
    places = [(20.0 * k, 0.0, 20.0 * k + 10, 10.0) for k in range(6)]
    truth = [boxed(f"t{k}", "bolt", places[k]) for k in (0, 1, 2, 3)]
    scores = [(0, 0.9), (4, 0.8), (1, 0.8), (5, 0.3)]  # of places with and without an object
    found = [boxed(f"p{k}", "bolt", places[k], score) for k, score in scores]
    curve = measure([make_case(truth, found)]).operating.all
    at = MIN_SCORES.index(0.8)
    assert (curve.tp[at], curve.fp[at]) == (2, 1)
    assert (curve.precision[at], curve.recall[at], curve.f1[at]) == pytest.approx((2 / 3, 0.5, 4 / 7))
    assert curve.best == OperatingPoint(0.8, tp=2, fp=1, fn=2, precision=2 / 3, recall=0.5, f1=4 / 7)
    nothing = MIN_SCORES.index(0.95)
    assert (curve.precision[nothing], curve.recall[nothing], curve.f1[nothing]) == (None, 0.0, 0.0)
    assert measure([make_case([], [])]).operating.all.f1[0] is None


def test_precision_and_recall_have_an_interval_by_image() -> None:
    truth, found = boxed("t", "bolt", (0, 0, 10, 10)), boxed("p", "bolt", (0, 0, 10, 10), 0.8)
    false = boxed("q", "bolt", (50, 0, 60, 10), 0.3)
    cases = [
        make_case([truth], [found, false] if i % 4 == 0 else [found], image=f"{i:03}") for i in range(200)
    ]
    result = measure(cases)
    assert (result.precision.value, result.precision.n) == (pytest.approx(0.8), 200)
    assert result.precision.low is not None
    assert result.precision.low < 0.8 < (result.precision.high or 0.0)
    assert result.recall.value == 1.0
    assert measure(cases, min_score=0.5).precision.value == 1.0
    assert measure(cases[:5]).precision.value is None  # too few images to tell


# ---- confusion ----


@settings(max_examples=100, deadline=None)
@given(detection_cases(ties=False))
def test_confusion_is_that_of_matching_all_classes_with_each_other(cases: list[Case]) -> None:
    expected: Counter[tuple[str, str]] = Counter()
    for case in cases:
        assert case.truth
        free = [region.instance for region in case.truth.regions]
        for one in sorted(case.prediction.regions, key=lambda region: -(region.instance.score or 0.0)):
            overlaps = [overlap(one.instance, true) for true in free]
            best = max(overlaps, default=0.0)
            assume(best < 0.5 or overlaps.count(best) == 1)  # of two as near as each other, either is right
            true = free.pop(overlaps.index(best)) if best >= 0.5 else None
            expected[true.label if true else "background", one.instance.label] += 1
        expected.update((true.label, "background") for true in free)
    table = measure(cases).confusion
    assert counted(table.labels, table.counts) == expected


# ---- calibration ----


def by_hand(detections: list[tuple[float, bool]]) -> list[tuple[int, float, float]]:
    """Number, mean score and precision of the ten bins."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(10)]
    for score, right in detections:
        bins[min(int(score * 10), 9)].append((score, right))
    return [
        (len(b), sum(s for s, _ in b) / len(b), sum(r for _, r in b) / len(b)) if b else (0, 0.0, 0.0)
        for b in bins
    ]


@settings(max_examples=80, deadline=None)
@given(detection_cases(ties=False))
def test_bins_and_errors_of_calibration_are_those_by_hand(cases: list[Case]) -> None:
    calibration: Calibration = measure(cases).calibration
    parts: list[tuple[str | None, Reliability]] = [(None, calibration.all), *calibration.per_class.items()]
    for label, reliability in parts:
        detections = judged(cases, label)
        expected = by_hand(detections)
        assert [(b.n, b.mean_score or 0.0, b.precision or 0.0) for b in reliability.bins] == [
            (n, pytest.approx(score), pytest.approx(precision)) for n, score, precision in expected
        ]
        assert [b.mean_score is None for b in reliability.bins] == [n == 0 for n, _, _ in expected]
        assert reliability.n == len(detections)
        if not detections:
            assert (reliability.ece, reliability.mce) == (None, None)
            continue
        gaps = [(n / len(detections), abs(score - precision)) for n, score, precision in expected]
        assert reliability.ece == pytest.approx(sum(share * gap for share, gap in gaps))
        assert reliability.mce == pytest.approx(max(gap for _, gap in gaps))


def test_edges_belong_to_the_upper_bin_and_one_to_the_last() -> None:
    found = [boxed(f"p{k}", "bolt", (20.0 * k, 0, 20.0 * k + 9, 9), k / 10) for k in range(11)]
    bins = measure([make_case([], found[:10]), make_case([], found[10:], image="b")]).calibration.all.bins
    assert [one.n for one in bins] == [1] * 9 + [2]
    assert [(one.low, one.high) for one in bins] == [
        (pytest.approx(k / 10), pytest.approx((k + 1) / 10)) for k in range(10)
    ]


def test_a_model_that_means_what_it_says_is_calibrated() -> None:
    truth = [boxed(f"t{k}", "bolt", (20.0 * k, 0, 20.0 * k + 9, 9)) for k in range(8)]
    found = [boxed(f"p{k}", "bolt", (20.0 * k, 0, 20.0 * k + 9, 9), 0.8) for k in range(10)]
    calibration = measure([make_case(truth, found)]).calibration
    assert calibration.all.ece == pytest.approx(0.0)
    assert calibration.per_class["bolt"] == calibration.all
