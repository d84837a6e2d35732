from __future__ import annotations

import pytest

from detseg.errors import ModelError
from detseg.models.labels import (
    COCO_THINGS,
    map_labels,
    require_mapped,
    taxonomy_of_models,
    thing_names,
)
from detseg.taxonomy import LabelClass, Taxonomy

TAXONOMY = Taxonomy((LabelClass("vehicle", aliases=("car", "truck")), LabelClass("road", "stuff")))


def test_coco_has_eighty_things() -> None:
    assert len(COCO_THINGS) == 80


@pytest.mark.parametrize(
    ("declared", "detected", "expected"),
    [
        (["gear"], ["gear", "tray"], {"gear"}),  # the checkpoint's own word first
        (None, ["gear", "tray", "wheel"], {"gear", "tray"}),  # then the detector beside it
        (None, ["wheel"], {"car"}),  # then COCO
        (["wheel"], [], {"car"}),  # a declaration that knows none of them says nothing
    ],
)
def test_which_labels_are_things(declared: list[str] | None, detected: list[str], expected: set[str]) -> None:
    assert thing_names(["gear", "tray", "car"], declared=declared, detected=detected) == expected


def test_all_are_things_where_nobody_knows() -> None:
    assert thing_names(["gear", "tray"], declared=None, detected=[]) == {"gear", "tray"}


def test_a_model_of_surfaces_alone_says_so() -> None:
    assert thing_names(["gear", "car"], declared=[], detected=["gear"]) == frozenset()


def test_the_models_labels_make_a_taxonomy_without_placeholders() -> None:
    taxonomy = taxonomy_of_models(
        ["N/A", "bolt", "Nut", "LABEL_12"], ["bolt", "nut", "belt", "no-object", "gear"], ["bolt", "gear"]
    )
    assert [(cls.name, cls.kind) for cls in taxonomy.classes] == [
        ("bolt", "thing"),
        ("Nut", "thing"),
        ("LABEL_12", "thing"),
        ("gear", "thing"),
        ("belt", "stuff"),
    ]


def test_labels_meet_classes_by_name_and_alias() -> None:
    labels = map_labels({0: "N/A", 1: "car", 2: "Truck", 3: "road", 4: "moose"}, TAXONOMY, boxes=False)
    assert {i: cls.name for i, cls in labels.classes.items()} == {1: "vehicle", 2: "vehicle", 3: "road"}
    assert labels.unmapped == ("moose",)


def test_a_detectors_label_cannot_be_stuff() -> None:
    labels = map_labels({0: "car", 1: "road"}, TAXONOMY, boxes=True)
    assert list(labels.classes) == [0]
    assert labels.unmapped == ("road",)


def test_a_strict_project_names_what_it_does_not_know() -> None:
    require_mapped(map_labels({0: "car", 1: "N/A"}, TAXONOMY, boxes=True), model="m", boxes=True)
    names = {i: f"moose {i}" for i in range(10)}
    with pytest.raises(
        ModelError, match=r"m: the taxonomy has no thing for 10 of its labels \(moose 0, .*\.\.\.\)"
    ):
        require_mapped(map_labels(names, TAXONOMY, boxes=True), model="m", boxes=True)
