"""A project's labeling interface after its classes changed, while people's work holds the old names.

Label Studio shows a region whose label is gone without any, and lets go of labels that are in use without a
word. So a name that ended stays in our interface as long as work on the server has it: nobody can choose it
any more, and where it stands it says what became of it. The page shows the text of a ``Label`` and keeps its
``alias``, so results hold the old name as before.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from xml.etree import ElementTree

from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.filters import by_text, with_drafts
from detseg.labelstudio.interface import OWN_NAMES, read_interface
from detseg.labelstudio.label_config import config_to_taxonomy, label_of
from detseg.labelstudio.listing import list_tasks
from detseg.labelstudio.session import Json
from detseg.labelstudio.shapes import ShapePolicy
from detseg.taxonomy import LabelClass, Relabeling, Taxonomy, taxonomy_of_all_times

_LOUD = "#ff0000"
"""Of what people have to look at again."""

_DROPPED = "#9a9a9a"


def follow_changes(
    config: str,
    taxonomy: Taxonomy,
    relabeling: Relabeling,
    *,
    in_use: Collection[str],
    policy: ShapePolicy,
) -> str:
    """The interface with the classes of now in their order, and out of sight the ended ones that are in use.

    What people added stays where it is: other tags, other labels, and what they wrote on labels of ours. An
    interface that others made is returned as it is. Raises FormatError if it is no XML.
    """
    if not relabeling.ended or not read_interface(config).is_own:
        return config
    root = ElementTree.fromstring(config)
    whole = taxonomy_of_all_times(taxonomy, relabeling, config_to_taxonomy(config))
    ended = [cls for cls in whole.classes if cls.name in relabeling.ended and cls.name in in_use]
    for shape, name in OWN_NAMES.items():
        tag = root.find(f".//{shape.capitalize()}Labels[@name='{name}']")
        if tag is not None:
            kinds = ("thing",) if shape == "rectangle" else ("thing", "stuff")
            now, before = ([cls for cls in some if cls.kind in kinds] for some in (taxonomy.classes, ended))
            _follow(tag, now, before, relabeling=relabeling, policy=policy)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def find_in_use(client: LabelStudioClient, project: int, names: Collection[str]) -> frozenset[str]:
    """The names that annotations or predictions of the project have as labels; all of them while there is a
    draft, which the server does not search."""
    if _has_tasks(client, project, with_drafts()):
        return frozenset(names)
    fields = ("annotations_results", "predictions_results")
    return frozenset(
        name
        for name in names
        if any(_has_tasks(client, project, by_text(field, json.dumps(name))) for field in fields)
    )


def _has_tasks(client: LabelStudioClient, project: int, wanted: Json) -> bool:
    params = {"include": "id", "page_size": 1}
    return next(iter(list_tasks(client.session, project, [wanted], params)), None) is not None


def _follow(
    tag: ElementTree.Element,
    classes: Collection[LabelClass],
    ended: Collection[LabelClass],
    *,
    relabeling: Relabeling,
    policy: ShapePolicy,
) -> None:
    known = {label.get("alias", label.get("value", "")): label for label in tag.iter("Label")}
    now = {cls.name: cls for cls in classes}
    for parent in list(tag.iter()):
        for label in [child for child in parent if child.tag == "Label"]:
            parent.remove(label)
    for view in [child for child in tag if child.tag == "View" and child.get("ended")]:
        tag.remove(view)
    tag.extend(known.get(name, label_of(cls, policy)) for name, cls in now.items())
    theirs = [name for name in known if name not in now and name not in relabeling.ended]
    tag.extend(known[name] for name in theirs)
    if ended:
        hidden = ElementTree.SubElement(tag, "View", style="display: none", ended="true")
        hidden.extend(_ended_label(cls, now, relabeling, policy) for cls in ended)


def _ended_label(
    cls: LabelClass, now: Mapping[str, LabelClass], relabeling: Relabeling, policy: ShapePolicy
) -> ElementTree.Element:
    successor = relabeling.successor(cls.name)
    if successor is None:
        words, colour = f"{cls.name} (dropped)", _DROPPED
    elif successor in relabeling.split:
        words, colour = f"{cls.name}: {' or '.join(relabeling.split[successor])}?", _LOUD
    else:
        words = f"{cls.name} (now {successor})"
        colour = now[successor].colour if successor in now else _DROPPED
    label = label_of(replace(cls, name=words, colour=colour), policy)
    label.set("alias", cls.name)
    return label
