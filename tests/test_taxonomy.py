"""Classes meet models' names exactly, by alias or by case, and nothing is guessed."""

from __future__ import annotations

import itertools

import pytest

from detseg.errors import ConfigError
from detseg.taxonomy import LabelClass, Taxonomy, distinct_colour, taxonomy_of_labels


def test_names_aliases_and_case_find_a_class_and_nothing_else_does() -> None:
    taxonomy = Taxonomy((LabelClass("Bolt", aliases=("screw",)), LabelClass("belt", "stuff")))
    assert taxonomy["bolt"] is taxonomy["SCREW"] is taxonomy.classes[0]
    assert taxonomy.find("bolts") is None
    assert [cls.name for cls in taxonomy.of_kind("stuff")] == ["belt"]
    with pytest.raises(ConfigError, match=r"'bolts' is not in the taxonomy \(Bolt, belt\)"):
        taxonomy["bolts"]


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="without a name"):
        Taxonomy((LabelClass("  "),))


def test_colours_of_neighbours_differ() -> None:
    colours = [distinct_colour(i) for i in range(100)]
    assert len(set(colours)) == 100
    for colour, after in itertools.pairwise(colours):
        distance = sum(abs(int(colour[i : i + 2], 16) - int(after[i : i + 2], 16)) for i in (1, 3, 5))
        assert distance > 60


def test_a_models_labels_make_a_taxonomy_things_first() -> None:
    taxonomy = taxonomy_of_labels(["a", "b"], ["b", "c"])
    assert [(cls.name, cls.kind) for cls in taxonomy.classes] == [
        ("a", "thing"),
        ("b", "thing"),
        ("c", "stuff"),
    ]


def test_a_name_is_in_the_taxonomy_as_find_finds_it() -> None:
    taxonomy = Taxonomy((LabelClass("bolt", aliases=("screw",)),))
    assert "BOLT" in taxonomy
    assert "screw" in taxonomy
    assert "nut" not in taxonomy
    assert 7 not in taxonomy
