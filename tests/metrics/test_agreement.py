from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from detseg.metrics.agreement import AgreementTally
from detseg.metrics.cases import Case
from detseg.types import Annotation, ImageId, ModelVersion, Region, Size
from tests.metrics.made import annotation, block, boxed, masked

BOLT = boxed("1", "bolt", (0, 0, 10, 10))
NUT = boxed("2", "nut", (20, 10, 30, 20))


def case(reviews: Sequence[Annotation], *, n: int = 0) -> Case:
    image = ImageId(f"sha256:{n}")
    return Case(
        image=image,
        uri=f"{n}.png",
        task_id=n,
        task_url="",
        arm="assisted",
        model_version=ModelVersion("m@1"),
        prediction=annotation((), image=image),
        reviews=tuple(replace(review, image=image) for review in reviews),
    )


def said(author: str, *regions: Region, **more: object) -> Annotation:
    return replace(annotation(regions, author=author), **more)  # type: ignore[arg-type]


def test_one_person_or_none_is_no_agreement() -> None:
    tally = AgreementTally()
    tally.add(case([]))
    tally.add(case([said("ann", BOLT)]))
    tally.add(case([said("ann", BOLT), said("bob", state="skipped"), said("cyd", state="unlabeled")]))
    result = tally.result()
    assert (result.n_images, result.n_people, result.per_class, result.per_pair) == (0, 0, {}, ())
    assert (result.all.alpha.value, result.all.pairs.f1.value, result.all.pairs.n_regions) == (None, None, 0)


def test_people_who_say_the_same_agree() -> None:
    tally = AgreementTally()
    for n in range(60):
        shift = float(n % 7)
        bolt = boxed("1", "bolt", (shift, 0, shift + 10, 10))
        mask = masked("3", "bolt", block(0, n % 20, 8, n % 20 + 9))
        tally.add(case([said("ann", bolt, mask), said("bob", mask, bolt)], n=n))
    result = tally.result()
    assert (result.n_images, result.n_people) == (60, 2)
    assert result.all.alpha.value == pytest.approx(1.0)
    assert result.all.pairs.f1.value == 1.0
    assert result.all.pairs.mask_iou.value == pytest.approx(1.0)
    assert result.all.pairs.box_iou.value == pytest.approx(1.0)
    assert result.all.pairs.n_regions == 240
    (pair,) = result.per_pair
    assert (pair.first, pair.second, pair.score) == ("ann", "bob", result.all.pairs)
    assert result.per_class["bolt"] == result.all


def test_people_who_disagree_on_everything() -> None:
    tally = AgreementTally()
    for n in range(60):
        tally.add(case([said("ann", BOLT, NUT), said("bob")], n=n))
    result = tally.result()
    assert result.all.pairs.f1.value == 0.0
    assert result.all.pairs.mask_iou.value is None
    assert result.all.alpha.value is not None
    assert result.all.alpha.value < 0.0


def test_three_people_are_three_pairs_and_labels_count_by_themselves() -> None:
    tally = AgreementTally()
    for n in range(40):
        sides = [said("ann", BOLT, NUT), said("bob", BOLT, NUT), said("cyd", BOLT)]
        tally.add(case(sides, n=n))
    result = tally.result()
    scores = {(pair.first, pair.second): pair.score.f1.value for pair in result.per_pair}
    assert scores == {
        ("ann", "bob"): 1.0,
        ("ann", "cyd"): pytest.approx(2 / 3),
        ("bob", "cyd"): pytest.approx(2 / 3),
    }
    assert result.per_class["bolt"].pairs.f1.value == 1.0
    assert result.per_class["nut"].pairs.f1.value == pytest.approx(0.5)
    assert result.all.pairs.f1.value == pytest.approx((4 + 2 + 2) / (4 + 3 + 3))
    assert result.all.pairs.n_images == 40


def test_help_and_no_help_are_told_apart_and_decoys_do_not_count() -> None:
    tally = AgreementTally()
    for n in range(20):
        same, half = [said("ann", BOLT), said("bob", BOLT)], [said("ann", BOLT, NUT), said("bob", BOLT)]
        tally.add(case(same, n=n))
        tally.add(replace(case(half, n=100 + n), arm="control"))
        tally.add(replace(case([said("ann"), said("bob", BOLT)], n=200 + n), arm="decoy"))
    result = tally.result()
    assert result.n_images == 40
    assert {arm: score.f1.value for arm, score in result.per_arm.items()} == {
        "control": pytest.approx(2 / 3),
        "assisted": 1.0,
    }


def test_the_order_of_cases_and_reviews_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    cases = []
    for _ in range(30):
        x, y = rng.integers(0, 20, 2).tolist()
        ann = boxed("a", "bolt", (x, y, x + 10, y + 9))
        bob = boxed("b", "bolt", (x + 1, y, x + 11, y + 9))
        cases.append((said("ann", ann), said("bob", bob)))
    forward, backward = AgreementTally(), AgreementTally()
    for n, (ann, bob) in enumerate(cases):
        forward.add(case([ann, bob], n=n))
        backward.add(case([bob, ann], n=n))
    assert forward.result() == backward.result()


def test_images_of_all_sizes_are_compared_by_parts_of_their_sides() -> None:
    tally = AgreementTally()
    for n in range(20):
        size = Size(40 * (1 + n % 3), 30 * (1 + n % 3))
        grown = boxed("1", "bolt", (0, 0, 10 * (1 + n % 3), 10 * (1 + n % 3)))
        ann, bob = said("ann", grown, size=size), said("bob", grown, size=size)
        tally.add(case([ann, bob], n=n))
    assert tally.result().all.alpha.value is None  # everybody always says the same part
