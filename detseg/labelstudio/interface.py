"""A project's labeling interface, ours or anybody's: which of its tags draw which shapes with which labels.

    interface = read_interface(config)
    interface.find("rectangle", "Drone")      # the tag that offers it, or None
    address(results, interface)               # results by the names of that project's tags

A tag draws a shape and gives it its label (``RectangleLabels``), or a shape tag does the one and a ``Labels``
tag beside it the other (``Rectangle``): then a region is two results with one id. Where several tags offer a
label, those with our names come first, then those that do both, then the first in the interface.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args
from xml.etree import ElementTree

from detseg.errors import FormatError

Json = dict[str, Any]

Shape = Literal["rectangle", "brush", "bitmask", "polygon"]
"""The shapes that we draw."""

OWN_NAMES: Mapping[Shape, str] = {
    "rectangle": "box",
    "brush": "mask",
    "bitmask": "bitmask",
    "polygon": "polygon",
}
"""The names of the tags of our own interfaces."""

IMAGE_NAME = "image"


@dataclass(frozen=True, slots=True)
class Tool:
    """A tag that draws a shape, or such a tag and the ``Labels`` beside it.

    ``labels`` are the attributes of each label by what results call it.
    """

    shape: Shape
    name: str
    labels_name: str
    labels: Mapping[str, Mapping[str, str]]

    @property
    def is_pair(self) -> bool:
        return self.name != self.labels_name

    @property
    def tag(self) -> str:
        """The tag that holds the labels, as it stands in the interface."""
        tag = "Labels" if self.is_pair else f"{self.shape.capitalize()}Labels"
        return f'<{tag} name="{self.labels_name}">'


@dataclass(frozen=True, slots=True)
class Interface:
    """``image_name`` is the image's tag, ``image_field`` the field of a task's data that it shows."""

    image_name: str
    image_field: str
    tools: tuple[Tool, ...]

    @property
    def is_own(self) -> bool:
        """Tell whether all its tags have our names."""
        return all(tool.name == OWN_NAMES[tool.shape] for tool in self.tools)

    def find(self, shape: Shape, label: str) -> Tool | None:
        """Find the tool that draws that shape with that label."""
        return next((tool for tool in self.tools if tool.shape == shape and label in tool.labels), None)

    def offered(self, shape: Shape) -> frozenset[str]:
        """The labels that the shape can get."""
        return frozenset(label for tool in self.tools if tool.shape == shape for label in tool.labels)


def read_interface(config: str) -> Interface:
    """The tools for the image that most of them draw on. Raises FormatError for what is no XML.

    An interface without an image that a task's data names has no tools.

    >>> read_interface('<View><Image name="i" value="$photo"/></View>').image_field
    'photo'
    """
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise FormatError(f"a labeling interface is XML, this is not ({error}): {config[:80]!r}") from error
    fields = {
        image.get("name", ""): image.get("value", "")[1:]
        for image in root.iter("Image")
        if image.get("value", "").startswith("$")
    }
    tools = [(tool, names) for tool, names in _tools(root) if names & fields.keys()]
    n_of = Counter(name for _, names in tools for name in names if name in fields)
    image = max(fields, key=lambda name: n_of[name], default="")
    mine = [tool for tool, names in tools if image in names]
    mine.sort(key=lambda tool: (tool.name != OWN_NAMES[tool.shape], tool.is_pair))
    return Interface(image, fields.get(image, ""), tuple(mine))


def address(results: Iterable[Json], interface: Interface) -> list[Json]:
    """Results of our own interface by the names of that one, which offers their shapes and labels."""
    return [one for result in results for one in _address(result, interface)]


def _address(result: Json, interface: Interface) -> Sequence[Json]:
    shape: Shape = result["type"].removesuffix("labels")
    value = dict(result["value"])
    (label,) = value.pop(result["type"])
    tool = interface.find(shape, label)
    if tool is None:
        raise FormatError(f"the labeling interface has no {shape} with the label {label!r}")
    common = {**result, "to_name": interface.image_name}
    if not tool.is_pair:
        return [{**common, "from_name": tool.name}]
    return [
        {**common, "type": shape, "from_name": tool.name, "value": value},
        {**common, "type": "labels", "from_name": tool.labels_name, "value": {**value, "labels": [label]}},
    ]


def _tools(root: ElementTree.Element) -> Iterable[tuple[Tool, set[str]]]:
    """The tools, and the names of what each draws on."""
    labels_tags = [(tag.get("name", ""), _drawn_on(tag), _labels(tag)) for tag in root.iter("Labels")]
    for tag in root.iter():
        shape = _SHAPES.get(tag.tag.removesuffix("Labels"))
        if shape is None:
            continue
        name, drawn_on = tag.get("name", ""), _drawn_on(tag)
        if tag.tag.endswith("Labels"):
            yield Tool(shape, name, name, _labels(tag)), drawn_on
        else:
            for labels_name, on, labels in labels_tags:
                if on & drawn_on:
                    yield Tool(shape, name, labels_name, labels), on & drawn_on


def _drawn_on(tag: ElementTree.Element) -> set[str]:
    return set(tag.get("toName", "").split(","))


def _labels(tag: ElementTree.Element) -> dict[str, dict[str, str]]:
    return {label.get("alias", label.get("value", "")): dict(label.attrib) for label in tag.iter("Label")}


_SHAPES: Mapping[str, Shape] = {shape.capitalize(): shape for shape in get_args(Shape)}
