import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.metrics.cases import Case
from detseg.metrics.coco_data import DetectionColumns, DetectionData
from detseg.metrics.coco_eval import Matches, evaluate, match
from detseg.metrics.detection import DetectionTally
from detseg.metrics.detection_intervals import average_precisions, mean_over, resample_ap
from tests.metrics.found import detection_cases, make_case
from tests.metrics.made import boxed


def columns(cases: list[Case]) -> DetectionData:
    kept = DetectionColumns("bbox")
    for case in cases:
        assert case.truth
        kept.add(case.truth, case.prediction)
    return kept.data()


def right(matches: tuple[Matches, ...]) -> np.ndarray:
    return np.stack([one.right for one in matches])


@settings(max_examples=100, deadline=None)
@given(detection_cases(), st.data())
def test_the_ap_of_some_of_the_images_is_cocos(cases: list[Case], data: st.DataObject) -> None:
    whole = columns(cases)
    counts = np.array([[data.draw(st.integers(0, 1)) for _ in cases] for _ in range(2)], dtype=np.float64)
    ours = average_precisions(whole, right(match(whole)), counts)
    for row in range(2):
        drawn = {image for image, n in zip(whole.images, counts[row], strict=True) if n}
        some = columns([case for case in cases if case.image in drawn])
        precision = evaluate(some).precision[:, :, :, 0, 2]  # (T, R, K)
        for k, name in enumerate(whole.labels):
            if name in some.labels:
                expected = precision[:, :, some.labels.index(name)].mean(axis=1)  # (T,)
                expected = np.where(expected < 0, np.nan, expected)
            else:
                expected = np.full(10, np.nan)
            assert ours[:, row, k] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def make_images(rng: np.random.Generator, n: int) -> list[Case]:
    """Images of one to four objects of two classes, of which a good share is found."""
    cases = []
    for i in range(n):
        true, found = [], []
        skill = rng.uniform(0.3, 1.0)  # images differ, so their objects resemble each other
        for k in range(int(rng.integers(1, 5))):
            label, x = "ab"[int(rng.integers(0, 2))], 45.0 * k
            true.append(boxed(f"t{k}", label, (x, 0.0, x + 40.0, 40.0)))
            shift = float(rng.uniform(0.0, 12.0 if rng.random() < skill else 60.0))
            found.append(
                boxed(f"p{k}", label, (x, shift, x + 40.0, 40.0 + shift), float(rng.uniform(0.2, 1.0)))
            )
        cases.append(make_case(true, found, image=f"{i:04}"))
    return cases


def estimates(cases: list[Case], seed: int = 0) -> DetectionTally:
    tally = DetectionTally("bbox", seed=seed)
    for case in cases:
        tally.add(case)
    return tally


def test_the_interval_holds_the_ap_of_other_images_of_the_kind_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    typical = np.mean([estimates(make_images(rng, 80)).score().ap or 0.0 for _ in range(150)])
    n_held = 0
    for _ in range(60):
        ap = estimates(make_images(rng, 80)).result().ap
        assert ap.low is not None
        assert ap.high is not None
        n_held += ap.low <= typical <= ap.high
    assert n_held >= 51  # of 57 expected


def test_more_images_make_the_interval_narrower_and_the_same_seed_the_same() -> None:
    cases = make_images(np.random.default_rng(3), 160)
    few, many = estimates(cases[:40]).result().ap, estimates(cases).result().ap
    assert few.low is not None
    assert few.high is not None
    assert many.low is not None
    assert many.high is not None
    assert many.high - many.low < 0.7 * (few.high - few.low)
    assert estimates(cases).result() == estimates(cases).result()
    assert estimates(cases, seed=1).result().ap != many
    assert (many.value, many.n) == (estimates(cases).score().ap, 160)


def test_too_few_images_and_no_truth_tell_nothing() -> None:
    few = estimates(make_images(np.random.default_rng(3), 5)).result().ap
    assert (few.value, few.low, few.high, few.n) == (None, None, None, 5)
    none = estimates([make_case([], [boxed("p", "a", (0, 0, 9, 9), 0.5)], image=str(k)) for k in range(20)])
    assert none.result().ap.value is None


def test_every_class_has_an_interval_of_its_own() -> None:
    cases = make_images(np.random.default_rng(3), 60)
    rare = [
        make_case([boxed("t", "rare", (0, 0, 9, 9))], [boxed("p", "rare", (0, 0, 9, 9), 0.5)], image=f"r{k}")
        for k in range(3)
    ]
    result = estimates([*cases, *rare]).result()
    assert list(result.ap_per_class) == ["a", "b", "rare"]
    assert result.ap_per_class["a"].value == result.score.per_class["a"].ap
    assert result.ap_per_class["a"].low is not None
    assert (result.ap_per_class["rare"].value, result.ap_per_class["rare"].n) == (None, 3)


def test_means_leave_out_what_is_not_there() -> None:
    aps = np.array([[0.25, np.nan, 0.75], [np.nan, np.nan, np.nan]])
    assert mean_over(aps, axis=1) == pytest.approx([0.5, np.nan], nan_ok=True)


def test_draws_are_of_all_images_with_replacement() -> None:
    data = columns(make_images(np.random.default_rng(5), 60))
    hits = right(match(data))
    drawn = resample_ap(data, hits, seed=4, n_resamples=300)
    assert drawn.shape == (10, 300, 2)
    assert np.all(drawn[0] >= drawn[9])
    whole = average_precisions(data, hits, np.ones((1, 60)))
    assert np.all(abs(drawn[0].mean(axis=0) - whole[0, 0]) < 3 * drawn[0].std(axis=0))
    assert np.array_equal(drawn, resample_ap(data, hits, seed=4, n_resamples=300))
