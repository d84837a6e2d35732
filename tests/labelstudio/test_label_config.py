"""The labeling interface of a taxonomy, and whether one fits."""

from __future__ import annotations

from xml.etree import ElementTree

import hypothesis.strategies as st
import pytest
from hypothesis import given

from detseg.errors import ConfigError, FormatError
from detseg.escaping import has_controls
from detseg.labelstudio.label_config import (
    check_config,
    config_to_taxonomy,
    missing_labels,
    offered_kinds,
    taxonomy_to_config,
)
from detseg.labelstudio.shapes import ShapePolicy
from detseg.taxonomy import LabelClass, Taxonomy

NASTY = """a "quoted" & <tagged> 'name' é🙂"""
TAXONOMY = Taxonomy(
    (
        LabelClass("bolt", "thing", "#e6194b", ("screw", "hex bolt")),
        LabelClass(NASTY, "thing", "#3cb44b"),
        LabelClass("belt", "stuff", "#4363d8"),
    )
)
NAMES = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc", "Cn")), min_size=1).filter(
    lambda name: name.strip() == name and name and not has_controls(name)
)


def labels(config: str, tag: str) -> list[dict[str, str]]:
    return [
        label.attrib for label in ElementTree.fromstring(config).iter(tag) for label in label.iter("Label")
    ]


def test_things_have_boxes_and_masks_stuff_has_masks() -> None:
    config = taxonomy_to_config(TAXONOMY)
    boxes, masks = labels(config, "RectangleLabels"), labels(config, "BrushLabels")
    assert [label["value"] for label in boxes] == ["bolt", NASTY]
    assert [label["value"] for label in masks] == ["bolt", NASTY, "belt"]
    assert [label["background"] for label in masks] == ["#e6194b", "#3cb44b", "#4363d8"]
    assert boxes[0]["predicted_values"] == "screw,hex bolt"
    assert "predicted_values" not in boxes[1]


@pytest.mark.parametrize(
    ("policy", "tags"),
    [
        (ShapePolicy(), ["RectangleLabels", "BrushLabels", "PolygonLabels"]),
        (ShapePolicy(mask_as="brush"), ["RectangleLabels", "BrushLabels"]),
        (ShapePolicy(mask_as="bitmask"), ["RectangleLabels", "BitmaskLabels"]),
        (ShapePolicy(mask_as="polygon"), ["RectangleLabels", "PolygonLabels", "BrushLabels"]),
        (ShapePolicy(annotate="boxes"), ["RectangleLabels"]),
        (ShapePolicy(annotate="masks", mask_as="bitmask"), ["BitmaskLabels"]),
    ],
)
def test_the_interface_offers_what_annotators_are_asked_for(policy: ShapePolicy, tags: list[str]) -> None:
    config = taxonomy_to_config(TAXONOMY, policy)
    offered = [one.tag for one in ElementTree.fromstring(config).iter() if one.tag.endswith("Labels")]
    assert offered == tags
    assert missing_labels(config, TAXONOMY, policy) == ()
    assert {f"{kind.capitalize()}Labels" for kind in offered_kinds(config, TAXONOMY)} == {
        tag for tag in tags if tag != "RectangleLabels"
    }
    taxonomy = config_to_taxonomy(config)
    asked_for = TAXONOMY.of_kind("thing") if policy.annotate == "boxes" else TAXONOMY.classes
    assert taxonomy.classes == asked_for  # things stay things, even without rectangles


def test_boxes_of_stuff_alone_are_nothing_to_ask_for() -> None:
    with pytest.raises(ConfigError, match=r'labels.annotate = "boxes" asks for nothing'):
        taxonomy_to_config(Taxonomy((LabelClass("sky", "stuff"),)), ShapePolicy(annotate="boxes"))


def test_a_kind_that_lacks_one_class_is_not_offered() -> None:
    config = taxonomy_to_config(TAXONOMY)
    polygons = config.index("<PolygonLabels")
    cut = config[:polygons] + config[polygons:].replace('value="belt"', 'value="strap"')
    assert offered_kinds(cut, TAXONOMY) == {"brush"}
    assert missing_labels(cut, TAXONOMY) == ()


def test_only_stuff_asks_for_no_boxes() -> None:
    assert labels(taxonomy_to_config(Taxonomy((LabelClass("sky", "stuff"),))), "RectangleLabels") == []


@given(st.lists(NAMES, unique_by=str.casefold))
def test_any_names_survive(names: list[str]) -> None:
    taxonomy = Taxonomy(tuple(LabelClass(name, "thing", "#123456") for name in names))
    config = taxonomy_to_config(taxonomy)
    assert missing_labels(config, taxonomy) == ()
    assert config_to_taxonomy(config) == taxonomy


def test_a_taxonomy_comes_back() -> None:
    assert config_to_taxonomy(taxonomy_to_config(TAXONOMY)) == TAXONOMY


def test_what_is_missing_is_named() -> None:
    config = taxonomy_to_config(Taxonomy((LabelClass("bolt"), LabelClass("tray", "stuff"))))
    wanted = Taxonomy((LabelClass("bolt"), LabelClass("nut"), LabelClass("tray", "thing")))
    assert missing_labels(config, wanted) == ("box: nut", "box: tray", "mask: nut")
    with pytest.raises(FormatError, match="of project 'x' lacks box: nut, box: tray, mask: nut: add"):
        check_config(config, wanted, where="project 'x'")


def test_more_than_asked_for_is_fine() -> None:
    config = taxonomy_to_config(TAXONOMY).replace("</View>", '<Choices name="c" toName="image"/></View>')
    check_config(config, Taxonomy((LabelClass("bolt"),)), where="a project")


def test_a_tag_of_another_kind_offers_no_boxes() -> None:
    config = taxonomy_to_config(TAXONOMY).replace("RectangleLabels", "PolygonLabels")
    assert missing_labels(config, TAXONOMY) == ("box: bolt", f"box: {NASTY}")


def test_what_is_no_xml_is_refused() -> None:
    with pytest.raises(FormatError, match="is XML, this is not"):
        missing_labels("<View>", TAXONOMY)


@pytest.mark.parametrize("name", ["", "  ", "a&#10;bolt", "a&#x2028;bolt", "turned&#x202e;", "esc&#x9b;2J"])
def test_what_can_be_no_class_is_none(name: str) -> None:
    config = taxonomy_to_config(TAXONOMY)
    more = config.replace(
        "<Label ", f'<Label value="{name}"/><Label value="gear" predicted_values=" ,{name},cog"/><Label ', 1
    )
    gear, *others = config_to_taxonomy(more).classes
    assert (gear.name, gear.aliases) == ("gear", ("cog",))
    assert [one.name for one in others] == list(TAXONOMY.names)
