"""The labeling interface that a taxonomy makes, and whether a project's interface still fits it.

Things get rectangles (``box``) and masks, stuff gets masks only; ``annotate`` takes one of the two away.
Masks are painted with a brush (``mask``) unless ``mask_as`` says ``bitmask``. Beside the brush there are
polygons where masks may come as such; with "auto" in a panel that can be folded. Bitmasks bring a second
brush and a second eraser that look like the first, so they are offered alone, or where people add them.

Aliases travel in ``predicted_values``, which tools that connect a model to Label Studio read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from detseg.errors import ConfigError, FormatError
from detseg.labelstudio.shapes import DEFAULT_POLICY, MaskKind, ShapePolicy
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Kind

IMAGE_NAME = "image"
BOX_NAME = "box"
MASK_NAME = "mask"


@dataclass(frozen=True, slots=True)
class Control:
    """A tag of the interface that draws one kind of shape. ``name`` is what results call it."""

    name: str
    tag: str
    header: str

    @property
    def type(self) -> str:
        """The ``type`` of its results, and the key of the labels in their values."""
        return self.tag.lower()


BOXES = Control(BOX_NAME, "RectangleLabels", "Boxes")
MASKS: dict[MaskKind, Control] = {
    "brush": Control(MASK_NAME, "BrushLabels", "Masks"),
    "bitmask": Control("bitmask", "BitmaskLabels", "Bitmasks"),
    "polygon": Control("polygon", "PolygonLabels", "Polygons"),
}


def taxonomy_to_config(taxonomy: Taxonomy, policy: ShapePolicy = DEFAULT_POLICY) -> str:
    """Label Studio's XML for that taxonomy, classes in their order.

    Raises ConfigError if nothing is left to ask for: boxes of stuff alone.
    """
    things = taxonomy.of_kind("thing")
    if policy.annotate == "boxes" and taxonomy.classes and not things:
        raise ConfigError('annotate = "boxes" asks for nothing: all [[classes]] are stuff, which has masks')
    view = ElementTree.Element("View")
    ElementTree.SubElement(
        view, "Image", name=IMAGE_NAME, value="$image", zoom="true", zoomControl="true", rotateControl="false"
    )
    if things and policy.annotate != "masks":
        _add_control(view, BOXES, things)
    if taxonomy.classes and policy.annotate != "boxes":
        kinds = taxonomy.classes
        if policy.mask_as == "polygon":
            _add_control(view, MASKS["polygon"], kinds, policy)
        _add_control(view, mask_control(policy), kinds, policy)
        if policy.mask_as == "auto":
            collapse = ElementTree.SubElement(view, "Collapse")
            panel = ElementTree.SubElement(collapse, "Panel", value="Other shapes")
            _add_control(panel, MASKS["polygon"], kinds, policy)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode")


def mask_control(policy: ShapePolicy) -> Control:
    """The control that every mask can be given to; what others take is up to ``offered_kinds``."""
    return MASKS["bitmask" if policy.mask_as == "bitmask" else "brush"]


def missing_labels(config: str, taxonomy: Taxonomy, policy: ShapePolicy = DEFAULT_POLICY) -> tuple[str, ...]:
    """What that interface lacks, as ``box: bolt``, in the taxonomy's order; empty if it fits.

    More than the taxonomy asks for (further tags, further labels) is fine.
    Raises FormatError if it is no XML.
    """
    wanted: list[tuple[Control, LabelClass]] = []
    if policy.annotate != "masks":
        wanted += [(BOXES, cls) for cls in taxonomy.of_kind("thing")]
    if policy.annotate != "boxes":
        wanted += [(mask_control(policy), cls) for cls in taxonomy.classes]
    offered = {control: _offered(config, control) for control in (BOXES, mask_control(policy))}
    return tuple(f"{control.name}: {cls.name}" for control, cls in wanted if cls.name not in offered[control])


def offered_kinds(config: str, taxonomy: Taxonomy) -> frozenset[MaskKind]:
    """What masks may be drawn as in that interface: the controls that have every class.

    Raises FormatError if it is no XML.
    """
    names = set(taxonomy.names)
    return frozenset(kind for kind, control in MASKS.items() if names <= _offered(config, control))


def config_to_taxonomy(config: str) -> Taxonomy:
    """The classes that an interface of ours offers: what has a box is a thing, what has only a mask is stuff,
    unless its label says which it is.

    Raises FormatError if it is no XML.
    """
    classes: dict[str, LabelClass] = {}
    for control in (BOXES, *MASKS.values()):
        for label in _labels(config, control):
            name = label.get("value", "")
            aliases = tuple(filter(None, label.get("predicted_values", "").split(",")))
            kind: Kind = "thing" if control is BOXES or label.get("kind") == "thing" else "stuff"
            classes.setdefault(name, LabelClass(name, kind, label.get("background", "#888888"), aliases))
    return Taxonomy(tuple(classes.values()))


def check_config(
    config: str, taxonomy: Taxonomy, policy: ShapePolicy = DEFAULT_POLICY, *, where: str
) -> None:
    """Raise FormatError, naming everything that is missing, if that interface does not fit the taxonomy."""
    missing = missing_labels(config, taxonomy, policy)
    if missing:
        raise FormatError(
            f"the labeling interface of {where} lacks {', '.join(missing)}: add the labels there (Settings, "
            "Labeling Interface), or take them out of [[classes]]"
        )


def _add_control(
    parent: ElementTree.Element,
    control: Control,
    classes: tuple[LabelClass, ...],
    policy: ShapePolicy = DEFAULT_POLICY,
) -> None:
    ElementTree.SubElement(parent, "Header", value=control.header, size="5")
    element = ElementTree.SubElement(parent, control.tag, name=control.name, toName=IMAGE_NAME)
    if control is BOXES:
        element.set("strokeWidth", "2")
        element.set("opacity", "0.1")
        element.set("canRotate", "false")
    for cls in classes:
        label = ElementTree.SubElement(element, "Label", value=cls.name, background=cls.colour)
        if policy.annotate == "masks" and cls.kind == "thing":
            label.set("kind", "thing")  # ours: no rectangle says it
        if cls.aliases:
            label.set("predicted_values", ",".join(cls.aliases))


def _offered(config: str, control: Control) -> set[str]:
    return {label.get("value", "") for label in _labels(config, control)}


def _labels(config: str, control: Control) -> Iterator[ElementTree.Element]:
    """The labels of our control of that name; a control of another type under our name offers nothing."""
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise FormatError(f"a labeling interface is XML, this is not ({error}): {config[:80]!r}") from error
    for element in root.iter(control.tag):
        if element.get("name") == control.name:
            yield from element.iter("Label")
