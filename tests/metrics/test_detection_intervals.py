import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.metrics.cases import Case
from detseg.metrics.coco_data import DetectionColumns, DetectionData
from detseg.metrics.coco_eval import Matches, evaluate, match
from detseg.metrics.detection import DetectionTally
from detseg.metrics.detection_intervals import average_precisions, halve
from detseg.metrics.intervals import unseen_share
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


def test_the_interval_holds_the_ap_of_all_images_of_the_kind() -> None:
    """The truth is the AP of images that no trial sees; an interval that holds in 93 of 100 always passes."""
    truth = estimates(make_images(np.random.default_rng(12), 4000)).score().ap
    assert truth is not None
    rng, n_held = np.random.default_rng(11), 0
    for _ in range(60):
        ap = estimates(make_images(rng, 40)).result().ap
        assert ap.low is not None
        assert ap.high is not None
        n_held += ap.low <= truth <= ap.high
    assert n_held >= scipy.stats.binom.ppf(1e-7, 60, 0.93)


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


def test_halves_are_of_all_images_and_what_the_other_half_lacks() -> None:
    data = columns(make_images(np.random.default_rng(5), 61))
    hits = right(match(data))
    aps = halve(data, hits, seed=4, n_halves=40)
    assert aps.halves.shape == (10, 40, 2)
    assert np.all(aps.halves[0] >= aps.halves[9])
    assert np.array_equal(aps.whole, average_precisions(data, hits, np.ones((1, 61)))[:, 0])
    assert np.all(abs(aps.halves[0].mean(axis=0) - aps.whole[0]) < 3 * aps.halves[0].std(axis=0))
    assert np.array_equal(aps.halves, halve(data, hits, seed=4, n_halves=40).halves)
    with_truth = [np.unique(data.truth.image[data.truth.label == k]) for k in range(2)]
    assert aps.images.tolist() == [len(images) for images in with_truth]
    assert np.all((aps.effective_images > 1.0) & (aps.effective_images < aps.images))


def test_a_crowded_image_counts_for_what_it_adds() -> None:
    """With 9 objects on one image and one on each of 9 others, 18 objects are as good as 3.6 equal images."""
    spots = [(12.0 * k, 0.0, 12.0 * k + 9.0, 9.0) for k in range(9)]
    crowded = make_case([boxed(f"t{k}", "a", spot) for k, spot in enumerate(spots)], [], image="crowded")
    others = [make_case([boxed("t", "a", spots[0])], [], image=f"{k}") for k in range(9)]
    data = columns([crowded, *others])
    aps = halve(data, right(match(data)), seed=1)
    assert aps.images.tolist() == [10]
    assert aps.effective_images == pytest.approx([18**2 / (9**2 + 9)])


def test_a_perfect_sample_leaves_room_for_what_it_does_not_show() -> None:
    """Of 20 images, one in seven may be of a kind that none of them is, at a level of 95 %."""
    cases = [
        make_case([boxed("t", "a", (0, 0, 9, 9))], [boxed("p", "a", (0, 0, 9, 9), 0.5)], image=f"{k:02}")
        for k in range(20)
    ]
    ap = estimates(cases).result().ap
    assert (ap.value, ap.high) == (1.0, 1.0)
    assert ap.low == pytest.approx(1.0 - unseen_share(20))


def test_a_class_on_two_images_makes_no_mean_over_classes() -> None:
    """Whatever its AP is: what is told must not depend on what came out."""
    cases = make_images(np.random.default_rng(3), 60)
    rare = [
        make_case([boxed("t", "rare", (0, 0, 9, 9))], [boxed("p", "rare", (0, 0, 9, 9), 0.5)], image=f"r{k}")
        for k in range(3)
    ]
    hidden, shown = (estimates([*cases, *some]).result() for some in (rare[:2], rare))
    assert (hidden.ap.value, hidden.ap50.value) == (None, None)
    assert hidden.ap.rough is not None
    assert hidden.ap.rough.value == hidden.score.ap
    assert shown.ap.value == shown.score.ap
