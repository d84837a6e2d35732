"""Interfaces that others made: Label Studio's own templates, read from the installed server's package."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from detseg.errors import FormatError
from detseg.labelstudio.install import ensure_installed
from detseg.labelstudio.interface import address, read_interface
from detseg.labelstudio.label_config import check_config, config_to_taxonomy, fit_policy, missing_labels
from detseg.labelstudio.shapes import Annotate, ShapePolicy
from detseg.taxonomy import LabelClass, Taxonomy

DRAWN: dict[str, tuple[str, set[str], str]] = {
    "object-detection-with-bounding-boxes": ("image", {"rectangle"}, "boxes"),
    "medical-image-classification-with-bboxes": ("image", {"rectangle"}, "boxes"),
    "semantic-segmentation-with-masks": ("image", {"brush"}, "masks"),
    "semantic-segmentation-with-polygons": ("image", {"polygon"}, "masks"),
    "optical-character-recognition": ("ocr", {"rectangle", "polygon"}, "both"),
}
"""The field of a task's data that a template shows, the shapes that it draws, and what it asks for."""

NOT_DRAWN = {
    "image-captioning": 'add <RectangleLabels name="box" toName="image"><Label value="bolt"/>',
    "image-classification": 'add <RectangleLabels name="box" toName="image">',
    "inventory-tracking": 'add <Label value="bolt"/> to <PolygonLabels name="objects">',
    "keypoints": 'add <RectangleLabels name="box" toName="img-1">',
    "multipage-documents": "it shows a list of images in one task, detseg works with one",
    "pdf_ocr": 'it shows no image: add <Image name="image" value="$image"/>',
    "visual-genome": 'add <Label value="bolt"/> to <RectangleLabels name="regions">',
    "visual-question-answering": 'add <RectangleLabels name="box" toName="image">',
}
"""What the others lack."""

BOLT = Taxonomy((LabelClass("bolt"),))


def templates() -> dict[str, str]:
    """The interface of each computer-vision template, by its folder."""
    folder = ensure_installed(print).resolve().parent.parent
    files = folder.glob(
        "lib/python3*/site-packages/label_studio/annotation_templates/computer-vision/*/config.yml"
    )
    return {
        file.parent.name: textwrap.dedent(file.read_text(encoding="utf-8").partition("config: |\n")[2])
        for file in files
    }


def test_all_templates_are_known() -> None:
    assert templates().keys() == DRAWN.keys() | NOT_DRAWN.keys()


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_templates_with_boxes_or_masks_are_used_as_they_are(name: str) -> None:
    config, (field, shapes, annotate) = templates()[name], DRAWN[name]
    interface, taxonomy = read_interface(config), config_to_taxonomy(config)
    assert (interface.image_field, {tool.shape for tool in interface.tools}) == (field, shapes)
    assert {cls.kind for cls in taxonomy.classes} == {"thing"}
    wanted: tuple[Annotate, ...] = ("both", "pairs")
    for one in wanted:
        policy = fit_policy(ShapePolicy(annotate=one), config, taxonomy)
        assert policy.annotate == (one if annotate == "both" else annotate)
        assert missing_labels(config, taxonomy, policy) == ()


@pytest.mark.parametrize("name", sorted(NOT_DRAWN))
def test_of_the_others_it_is_said_what_they_lack(name: str) -> None:
    config = templates()[name]
    with pytest.raises(FormatError) as caught:
        check_config(config, BOLT, fit_policy(ShapePolicy(), config, BOLT), where="project 'x'")
    assert NOT_DRAWN[name] in str(caught.value)


def a_result(type_: str, **value: Any) -> dict[str, Any]:
    about = {"from_name": "box", "to_name": "image", "original_width": 4, "original_height": 3}
    return {"id": "r", "type": type_, **about, "value": {**value, type_: ["bolt"]}}


def test_results_go_by_the_names_of_the_project() -> None:
    config = """<View><Image name="photo" value="$url"/>
        <RectangleLabels name="label" toName="photo"><Label value="bolt"/></RectangleLabels>
        <Labels name="what" toName="photo"><Label value="bolt"/></Labels>
        <Polygon name="poly" toName="photo"/></View>"""
    box, polygon = a_result("rectanglelabels", x=1), a_result("polygonlabels", points=[])
    assert address([box, polygon], read_interface(config)) == [
        {**box, "from_name": "label", "to_name": "photo"},
        {**polygon, "type": "polygon", "from_name": "poly", "to_name": "photo", "value": {"points": []}},
        {
            **polygon,
            "type": "labels",
            "from_name": "what",
            "to_name": "photo",
            "value": {"points": [], "labels": ["bolt"]},
        },
    ]


def test_of_several_tags_with_a_label_ours_comes_first_and_of_several_images_the_one_that_is_drawn_on() -> (
    None
):
    config = """<View><Image name="other" value="$other"/><Image name="image" value="$image"/>
        <RectangleLabels name="a" toName="image"><Label value="bolt"/><Label value="nut"/></RectangleLabels>
        <RectangleLabels name="box" toName="image"><Label value="bolt"/></RectangleLabels>
        <BrushLabels name="b" toName="other"><Label value="bolt"/></BrushLabels></View>"""
    interface = read_interface(config)
    assert (interface.image_name, interface.image_field) == ("image", "image")
    found = [interface.find("rectangle", label) for label in ("bolt", "nut")]
    assert [tool.name for tool in found if tool] == ["box", "a"]
    assert interface.find("brush", "bolt") is None


def test_a_class_that_is_not_there_is_said_with_its_tag() -> None:
    config = templates()["object-detection-with-bounding-boxes"]
    wanted = Taxonomy((LabelClass("Car"), LabelClass('a "big" truck')))
    with pytest.raises(
        FormatError, match=r"lacks box: a .big. truck: add <Label value='a .big. truck'/> to "
    ):
        check_config(config, wanted, fit_policy(ShapePolicy(), config, wanted), where="project 'x'")
