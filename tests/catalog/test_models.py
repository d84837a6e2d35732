"""Trained models under names of their own, which of them pre-annotates, and looks at splits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from detseg.catalog import Catalog, TrainedModel, open_catalog
from detseg.errors import CatalogError
from detseg.types import ImageId
from tests.catalog.made import NOON

MINE = TrainedModel(
    digest=f"sha256:{1:064x}",
    path="/models/mine",
    answers="boxes",
    base="sample",
    dataset="v1",
    dataset_id="ab" * 32,
    seed=2**40,
    steps=1987,
    seconds=900.5,
    figures={"best": {"ap": 0.5, "per_class": {"Schraube ö": None}}},
)


def made(n: int, **changes: object) -> TrainedModel:
    return replace(MINE, digest=f"sha256:{n:064x}", path=f"/models/{n}", **changes)  # type: ignore[arg-type]


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    """A catalog whose clock goes a minute on each time that it is asked."""
    minutes = iter(range(1000))
    with open_catalog(catalog_url, clock=lambda: NOON + timedelta(minutes=next(minutes))) as opened:
        yield opened


@pytest.fixture
def three(catalog: Catalog) -> Catalog:
    """A catalog with the models a, b and c."""
    for n, name in enumerate("abc"):
        catalog.models.register(name, made(n))
    return catalog


def present(catalog: Catalog) -> str | None:
    found = catalog.promotions.present()
    return found.model if found else None


def test_a_model_comes_back_as_it_went_in(catalog: Catalog) -> None:
    model = catalog.models.register("mine", MINE)
    assert (model.name, model.registered_at, model.removed_at) == ("mine", NOON, None)
    assert {name: getattr(model, name) for name in TrainedModel.__slots__} == {
        name: getattr(MINE, name) for name in TrainedModel.__slots__
    }
    assert catalog.models.get("mine") == catalog.models.at(MINE.path, MINE.digest) == model
    assert catalog.models.all() == (model,)
    assert catalog.models.get("other") is catalog.models.at(MINE.path, made(2).digest) is None


def test_the_same_files_in_the_same_place_are_registered_once(catalog: Catalog) -> None:
    first = catalog.models.register("mine", MINE)
    assert catalog.models.register("another wish", replace(MINE, seconds=1.0)) == first
    assert catalog.models.all() == (first,)


def test_a_name_is_given_once(catalog: Catalog) -> None:
    wishes = ["mine", "mine", "mine-2", "mine", "", "x" * 300, "x" * 300]
    names = [catalog.models.register(wish, made(n)).name for n, wish in enumerate(wishes)]
    assert names == ["mine", "mine-2", "mine-2-2", "mine-3", "model", "x" * 100, "x" * 100 + "-2"]
    catalog.models.remove("mine-3")
    assert catalog.models.register("mine", made(99)).name == "mine-4"


def test_many_at_once_get_a_name_each(url: str) -> None:
    start = threading.Barrier(6)

    def register(n: int) -> None:
        with open_catalog(url) as catalog:
            start.wait()
            catalog.models.register("mine", made(n // 2))

    with open_catalog(url) as catalog:
        threads = [threading.Thread(target=register, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(model.name for model in catalog.models.all()) == ["mine", "mine-2", "mine-3"]


def test_a_removed_model_stays_for_its_descendants_and_comes_back(catalog: Catalog) -> None:
    catalog.models.register("a", made(1))
    child = catalog.models.register("b", made(2, parent="a"))
    assert catalog.models.remove("a")
    assert catalog.models.all() == (child,)
    assert [model.name for model in catalog.models.all(removed=True)] == ["a", "b"]
    gone = catalog.models.get("a")
    assert gone is not None
    assert gone.removed_at is not None
    assert catalog.models.register("c", made(1)) == replace(gone, removed_at=None)


def test_a_parent_is_a_registered_model(catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match=r"(?i)foreign key"):
        catalog.models.register("b", made(2, parent="nobody"))


def test_promotions_are_a_log(three: Catalog) -> None:
    assert three.promotions.present() is three.promotions.before() is None
    first = three.promotions.promote("a", "forced")
    second = three.promotions.promote(
        "b", judgement={"better": True}, box_thresholds={"bolt": 0.25}, mask_thresholds={"nut": 0.5}
    )
    assert (first.kind, first.judgement, first.box_thresholds) == ("forced", None, {})
    assert (second.kind, second.judgement) == ("promoted", {"better": True})
    assert (second.box_thresholds, second.mask_thresholds) == ({"bolt": 0.25}, {"nut": 0.5})
    assert first.at < second.at
    assert three.promotions.all() == (first, second)
    assert three.promotions.present() == second
    assert three.promotions.before() == first


def test_what_is_promoted_already_is_not_promoted_again(three: Catalog) -> None:
    first = three.promotions.promote("a", box_thresholds={"bolt": 0.25, "nut": 0.5})
    again = three.promotions.promote("a", "forced", box_thresholds={"nut": 0.5, "bolt": 0.25})
    assert again == first
    other = three.promotions.promote("a", box_thresholds={"bolt": 0.75})
    assert three.promotions.all() == (first, other)


def test_rollbacks_go_back_one_promotion_each_and_end_at_the_settings(three: Catalog) -> None:
    assert three.promotions.roll_back() is None
    three.promotions.promote("a", judgement={"better": None}, box_thresholds={"bolt": 0.25})
    three.promotions.promote("b")
    back = three.promotions.roll_back()
    assert back is not None
    assert (back.model, back.kind) == ("a", "rolled back")
    assert (back.judgement, back.box_thresholds) == ({"better": None}, {"bolt": 0.25})
    three.promotions.promote("c")
    assert [rolled(three) for _ in range(3)] == ["a", None, "nothing"]
    assert three.promotions.present() is not None
    assert present(three) is None
    assert [entry.model for entry in three.promotions.all()] == ["a", "b", "a", "c", "a", None]
    three.promotions.promote("b")
    assert (present(three), rolled(three)) == ("b", None)


def test_a_rollback_takes_back_what_its_caller_saw(three: Catalog) -> None:
    seen = three.promotions.promote("a").number
    three.promotions.promote("b")
    with pytest.raises(CatalogError, match=r"^nothing was taken back: b has become the present model mean"):
        three.promotions.roll_back(after=seen)
    assert present(three) == "b"
    assert three.promotions.roll_back(after=three.promotions.last_number()) is not None
    assert present(three) == "a"


def rolled(catalog: Catalog) -> str | None:
    entry = catalog.promotions.roll_back()
    return "nothing" if entry is None else entry.model


def test_a_rollback_passes_over_removed_models(three: Catalog) -> None:
    for name in "abcb":
        three.promotions.promote(name)
    assert three.models.remove("c")
    assert three.promotions.before() == three.promotions.all()[1]
    three.promotions.promote("a")
    assert [rolled(three) for _ in range(4)] == ["b", "b", "a", None]


def test_the_promoted_model_cannot_be_removed(three: Catalog) -> None:
    three.promotions.promote("a")
    assert not three.models.remove("a")
    three.promotions.promote("b")
    assert three.models.remove("a")
    assert [model.name for model in three.models.all()] == ["b", "c"]


def test_a_look_of_the_same_models_is_one(catalog: Catalog) -> None:
    looks, images = catalog.looks, [ImageId(f"sha256:{n:02x}{'0' * 62}") for n in range(2)]
    looks.record("id", "test", candidate="b@1", present="a@1", result={"better": None})
    looks.record("id", "test", candidate="c@1", present="a@1", result={"better": False})
    looks.record("id", "test", candidate="b@1", present="a@1", result={"better": True}, images=images)
    looks.record("id", "val", candidate="b@1", present="a@1", result={})
    found = looks.all()
    assert [(look.split, look.candidate, look.at - NOON, look.result) for look in found] == [
        ("test", "b@1", timedelta(minutes=0), {"better": True}),
        ("test", "c@1", timedelta(minutes=1), {"better": False}),
        ("val", "b@1", timedelta(minutes=3), {}),
    ]
    assert found[0].images == {bytes(8), b"\1" + bytes(7)}
    assert found[1].images == frozenset()


def test_a_clock_that_goes_back_does_not_change_the_order_of_looks(catalog_url: str) -> None:
    hours = iter(range(9, 0, -1))
    with open_catalog(catalog_url, clock=lambda: NOON + timedelta(hours=next(hours))) as catalog:
        for name in ("c", "b", "a"):
            catalog.looks.record("id", "test", candidate=f"{name}@1", present="p@1", result={})
        assert [one.candidate for one in catalog.looks.all()] == ["c@1", "b@1", "a@1"]
