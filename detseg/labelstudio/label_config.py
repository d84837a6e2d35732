"""The labeling interface that a taxonomy makes, and whether a project's interface fits it, whoever made that.

Things get rectangles (``box``) and masks, stuff gets masks only; ``annotate`` takes one of the two away.
Masks are painted with a brush (``mask``) unless ``mask_as`` says ``bitmask``. Beside the brush there are
polygons where masks may come as such; with "auto" in a panel that can be folded. Bitmasks bring a second
brush and a second eraser that look like the first, so they are offered alone, or where people add them.

The labels stand in a column beside the picture, which has a scroll bar of its own: below the picture, where
Label Studio's templates have them, they are off the screen for any picture that is as high as the page. In a
narrow window they are below it: there the width is the picture's.

Aliases travel in ``predicted_values``, which tools that connect a model to Label Studio read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from detseg.errors import ConfigError, FormatError
from detseg.escaping import has_controls
from detseg.labelstudio.interface import IMAGE_NAME, OWN_NAMES, Interface, read_interface
from detseg.labelstudio.shapes import DEFAULT_POLICY, Annotate, MaskKind, ShapePolicy
from detseg.taxonomy import LabelClass, Taxonomy, distinct_colour
from detseg.types import Kind


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


BOXES = Control(OWN_NAMES["rectangle"], "RectangleLabels", "Boxes")
MASKS: dict[MaskKind, Control] = {
    "brush": Control(OWN_NAMES["brush"], "BrushLabels", "Masks"),
    "bitmask": Control("bitmask", "BitmaskLabels", "Bitmasks"),
    "polygon": Control("polygon", "PolygonLabels", "Polygons"),
}

_LET_PICTURE_SHINE = ".konvajs-content canvas[style*=opacity] { opacity: 0.4 !important; }"
"""Brush masks alone are drawn with an opacity of their own (0.6), and no attribute of a tag changes it."""

_SIDE_BY_SIDE = "display: flex; flex-wrap: wrap; align-items: flex-start; gap: 8px"
_PICTURE = "flex: 1000 1 640px; min-width: 0"
_COLUMN = "flex: 1 1 190px; min-width: 0; max-height: calc(100vh - 194px); overflow-y: auto"
"""As high as Label Studio lets a picture be; below the picture where that would have less than 640 px."""


def taxonomy_to_config(taxonomy: Taxonomy, policy: ShapePolicy = DEFAULT_POLICY) -> str:
    """Label Studio's XML for that taxonomy, classes in their order.

    Raises ConfigError if nothing is left to ask for: boxes of stuff alone.
    """
    things = taxonomy.of_kind("thing")
    if policy.annotate == "boxes" and taxonomy.classes and not things:
        raise ConfigError('labels.annotate = "boxes" asks for nothing: all [[classes]] are stuff, with masks')
    view = ElementTree.Element("View", style=_SIDE_BY_SIDE)
    picture = ElementTree.SubElement(view, "View", style=_PICTURE)
    ElementTree.SubElement(
        picture,
        "Image",
        name=IMAGE_NAME,
        value="$image",
        zoom="true",
        zoomControl="true",
        rotateControl="false",
    )
    column = ElementTree.SubElement(view, "View", style=_COLUMN)
    if things and policy.annotate != "masks":
        _add_control(column, BOXES, things)
    if taxonomy.classes and policy.annotate != "boxes":
        ElementTree.SubElement(view, "Style").text = _LET_PICTURE_SHINE
        kinds = taxonomy.classes
        if policy.mask_as == "polygon":
            _add_control(column, MASKS["polygon"], kinds, policy)
        _add_control(column, mask_control(policy), kinds, policy)
        if policy.mask_as == "auto":
            collapse = ElementTree.SubElement(column, "Collapse")
            panel = ElementTree.SubElement(collapse, "Panel", value="Other shapes")
            _add_control(panel, MASKS["polygon"], kinds, policy)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode")


def mask_control(policy: ShapePolicy) -> Control:
    """The control that every mask can be given to; what others take is up to ``offered_kinds``."""
    return MASKS["bitmask" if policy.mask_as == "bitmask" else "brush"]


def missing_labels(config: str, taxonomy: Taxonomy, policy: ShapePolicy = DEFAULT_POLICY) -> tuple[str, ...]:
    """List what that interface lacks, as ``box: bolt``, in the taxonomy's order; empty if it fits.

    More than the taxonomy asks for (further tags, further labels) is fine.
    Raises FormatError if it is no XML.
    """
    interface = read_interface(config)
    missing: list[str] = []
    if policy.annotate != "masks":
        boxes = interface.offered("rectangle")
        missing += [f"box: {cls.name}" for cls in taxonomy.of_kind("thing") if cls.name not in boxes]
    if policy.annotate != "boxes":
        masks = interface.offered(_main_kind(interface, taxonomy, policy))
        missing += [f"mask: {cls.name}" for cls in taxonomy.classes if cls.name not in masks]
    return tuple(missing)


def offered_kinds(config: str, taxonomy: Taxonomy) -> frozenset[MaskKind]:
    """Return what masks may be drawn as in that interface: the kinds that have every class.

    Raises FormatError if it is no XML.
    """
    interface, names = read_interface(config), set(taxonomy.names)
    return frozenset(kind for kind in MASKS if names <= interface.offered(kind))


def fit_policy(policy: ShapePolicy, config: str, taxonomy: Taxonomy) -> ShapePolicy:
    """Reduce a policy to what annotators can be asked in that interface.

    An interface that others made may ask for boxes alone, or for masks alone: then so do we.
    """
    interface = read_interface(config)
    kinds = offered_kinds(config, taxonomy) | {_main_kind(interface, taxonomy, policy)}
    annotate = policy.annotate
    if annotate in ("both", "pairs") and not interface.is_own:
        boxes = interface.offered("rectangle") & set(taxonomy.names)
        masks = {name for kind in MASKS for name in interface.offered(kind)} & set(taxonomy.names)
        if bool(boxes) != bool(masks):
            annotate = "boxes" if boxes else "masks"
    return replace(policy, annotate=annotate, kinds=kinds)


def _main_kind(interface: Interface, taxonomy: Taxonomy, policy: ShapePolicy) -> MaskKind:
    """The kind that has the most classes; brush masks if several do, or bitmasks where they are wanted."""
    preferred: tuple[MaskKind, ...] = ("brush", "bitmask", "polygon")
    if policy.mask_as == "bitmask":
        preferred = ("bitmask", "brush", "polygon")
    return max(preferred, key=lambda kind: len(interface.offered(kind) & set(taxonomy.names)))


def config_to_taxonomy(config: str) -> Taxonomy:
    """The classes that an interface offers: what has a box is a thing, what has only a mask is stuff, unless
    its label says which it is. Where others made an interface of masks alone, all are things. Labels and
    aliases that are blank or have control characters are no classes.

    Raises FormatError if it is no XML.
    """
    interface = read_interface(config)
    boxes = interface.offered("rectangle")
    names = {name for tool in interface.tools for name in tool.labels}
    classes: dict[str, LabelClass] = {}
    for tool in sorted(interface.tools, key=lambda tool: tool.shape != "rectangle"):
        for name, label in tool.labels.items():
            if not _is_class_name(name):
                continue
            others = label.get("predicted_values", "").split(",")
            # a name that ended is both
            aliases = tuple(one for one in others if _is_class_name(one) and one not in names)
            is_thing = name in boxes or label.get("kind") == "thing" or not (boxes or interface.is_own)
            kind: Kind = "thing" if is_thing else "stuff"
            colour = label.get("background", "#888888")
            if not re.fullmatch("#[0-9a-fA-F]{6}", colour):  # names, rgba(...)
                colour = distinct_colour(len(classes))
            classes.setdefault(name, LabelClass(name, kind, colour, aliases))
    return Taxonomy(tuple(classes.values()))


def _is_class_name(name: str) -> bool:
    return bool(name.strip()) and not has_controls(name)


def check_config(
    config: str, taxonomy: Taxonomy, policy: ShapePolicy = DEFAULT_POLICY, *, where: str
) -> None:
    """Raise FormatError, naming everything that is missing, if that interface does not fit the taxonomy."""
    missing = missing_labels(config, taxonomy, policy)
    if missing:
        raise FormatError(
            f"the labeling interface of {where} lacks {', '.join(missing)}: {_what_mends(config, missing)}, "
            "or take them out of [[classes]]"
        )


def describe_misfit(
    config: str, policy: ShapePolicy, missing: Collection[str], *, wanted: Annotate, where: str
) -> Iterator[str]:
    """Yield what an interface does not take of what is pushed, a line each. ``missing`` is what it lacks, by
    ``missing_labels``; ``policy`` is what it can be asked for, where ``wanted`` was."""
    if missing:
        lacking = sorted(missing)
        yield (
            f"the labeling interface of {where} lacks {', '.join(lacking)}: such regions are left out; "
            f"{_what_mends(config, lacking)}"
        )
    if policy.annotate != wanted:
        yield (
            f"the labeling interface of {where} asks for {policy.annotate} alone: no more is pushed: set "
            f'labels.annotate = "{policy.annotate}", or add tags for the others'
        )


def _what_mends(config: str, missing: Sequence[str]) -> str:
    """Say what to do about what an interface lacks, by ``missing_labels``.

    Where it has the same names in another letter case, a second label of each would only confuse people.
    """
    offered = {name for tool in read_interface(config).tools for name in tool.labels}
    in_other_case = {name.casefold(): name for name in sorted(offered)}
    others, rest = dict[str, None](), list[str]()
    for one in missing:
        _, name = one.split(": ", 1)
        if name.casefold() in in_other_case and name not in offered:
            others[in_other_case[name.casefold()]] = None
        else:
            rest.append(one)
    mends = [f"it has {', '.join(others)}: name the classes so in [[classes]]"] if others else []
    mends += [f"{_what_to_add(config, rest)} (Settings, Labeling Interface)"] if rest else []
    return ", and ".join(mends)


def _what_to_add(config: str, missing: Sequence[str]) -> str:
    """The XML that an interface needs for what it lacks, by ``missing_labels``, and where it belongs."""
    interface = read_interface(config)
    lists = [element for element in ElementTree.fromstring(config).iter("Image") if element.get("valueList")]
    if lists:
        return 'it shows a list of images in one task, detseg works with one: use <Image value="$image">'
    if not interface.image_name:
        return f'it shows no image: add <Image name="{IMAGE_NAME}" value="$image"/>, and draw on it'
    lines: list[str] = []
    for role, control, shapes in (("box: ", BOXES, ("rectangle",)), ("mask: ", MASKS["brush"], tuple(MASKS))):
        names = [one.removeprefix(role) for one in missing if one.startswith(role)]
        labels = "".join(f"<Label value={quoteattr(name)}/>" for name in names)
        tool = next((tool for tool in interface.tools if tool.shape in shapes), None)
        if names and tool is not None:
            lines.append(f"add {labels} to {tool.tag}")
        elif names:
            head = f'{control.tag} name="{control.name}" toName="{interface.image_name}"'
            lines.append(f"add <{head}>{labels}</{control.tag}>")
    return " and ".join(lines)


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
    element.extend(label_of(cls, policy) for cls in classes)


def label_of(cls: LabelClass, policy: ShapePolicy) -> ElementTree.Element:
    """The tag of a class within a control."""
    label = ElementTree.Element("Label", value=cls.name, background=cls.colour)
    if policy.annotate == "masks" and cls.kind == "thing":
        label.set("kind", "thing")  # ours: no rectangle says it
    if cls.aliases:
        label.set("predicted_values", ",".join(cls.aliases))
    return label
