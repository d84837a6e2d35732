"""The labeling interface that a taxonomy makes, and whether a project's interface still fits it.

Things get rectangles (``box``) and masks (``mask``), stuff gets masks only. Aliases travel in
``predicted_values``, which tools that connect a model to Label Studio read.
"""

from __future__ import annotations

from xml.etree import ElementTree

from detseg.errors import FormatError
from detseg.taxonomy import LabelClass, Taxonomy

IMAGE_NAME = "image"
BOX_NAME = "box"
MASK_NAME = "mask"

_TAGS = {BOX_NAME: "RectangleLabels", MASK_NAME: "BrushLabels"}


def taxonomy_to_config(taxonomy: Taxonomy) -> str:
    """Label Studio's XML for that taxonomy, classes in their order."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(
        view, "Image", name=IMAGE_NAME, value="$image", zoom="true", zoomControl="true", rotateControl="false"
    )
    things = taxonomy.of_kind("thing")
    if things:
        ElementTree.SubElement(view, "Header", value="Boxes", size="5")
        _add_control(view, "RectangleLabels", BOX_NAME, things)
    if taxonomy.classes:
        ElementTree.SubElement(view, "Header", value="Masks", size="5")
        _add_control(view, "BrushLabels", MASK_NAME, taxonomy.classes)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode")


def missing_labels(config: str, taxonomy: Taxonomy) -> tuple[str, ...]:
    """What that interface lacks, as ``box: bolt``, in the taxonomy's order; empty if it fits.

    More than the taxonomy asks for (further tags, further labels) is fine.
    Raises FormatError if it is no XML.
    """
    offered = _offered(config)
    wanted = [(BOX_NAME, cls.name) for cls in taxonomy.of_kind("thing")]
    wanted += [(MASK_NAME, cls.name) for cls in taxonomy.classes]
    return tuple(
        f"{control}: {label}" for control, label in wanted if label not in offered.get(control, set())
    )


def config_to_taxonomy(config: str) -> Taxonomy:
    """The classes that an interface of ours offers: what has a box is a thing, what has only a mask is stuff.

    Raises FormatError if it is no XML.
    """
    classes: dict[str, LabelClass] = {}
    for control, kind in ((BOX_NAME, "thing"), (MASK_NAME, "stuff")):
        for label in _labels(config, control):
            name = label.get("value", "")
            aliases = tuple(filter(None, label.get("predicted_values", "").split(",")))
            colour = label.get("background", "#888888")
            classes.setdefault(
                name, LabelClass(name, "thing" if kind == "thing" else "stuff", colour, aliases)
            )
    return Taxonomy(tuple(classes.values()))


def check_config(config: str, taxonomy: Taxonomy, *, where: str) -> None:
    """Raise FormatError, naming everything that is missing, if that interface does not fit the taxonomy."""
    missing = missing_labels(config, taxonomy)
    if missing:
        raise FormatError(
            f"the labeling interface of {where} lacks {', '.join(missing)}: add the labels there (Settings, "
            "Labeling Interface), or take them out of [[classes]]"
        )


def _add_control(view: ElementTree.Element, tag: str, name: str, classes: tuple[LabelClass, ...]) -> None:
    control = ElementTree.SubElement(view, tag, name=name, toName=IMAGE_NAME)
    if tag == "RectangleLabels":
        control.set("strokeWidth", "2")
        control.set("opacity", "0.1")
        control.set("canRotate", "false")
    for cls in classes:
        label = ElementTree.SubElement(control, "Label", value=cls.name, background=cls.colour)
        if cls.aliases:
            label.set("predicted_values", ",".join(cls.aliases))


def _offered(config: str) -> dict[str, set[str]]:
    return {name: {label.get("value", "") for label in _labels(config, name)} for name in _TAGS}


def _labels(config: str, name: str) -> list[ElementTree.Element]:
    """The labels of our control of that name; a control of another type under our name offers nothing."""
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise FormatError(f"a labeling interface is XML, this is not ({error}): {config[:80]!r}") from error
    return [
        label
        for control in root.iter(_TAGS[name])
        if control.get("name") == name
        for label in control.iter("Label")
    ]
