"""The meaning of a checkpoint's label ids in the project's taxonomy. Knows no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from detseg.errors import ModelError
from detseg.taxonomy import LabelClass, Taxonomy, taxonomy_of_labels
from detseg.types import Kind

PLACEHOLDERS = frozenset({"", "n/a", "no-object", "no_object", "background", "__background__"})
"""Names (without case) that stand for no class at all: COCO's holes, DETR's empty answer, VOC's rest."""

_COCO_THINGS = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,"
    "parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,"
    "tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,"
    "tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,"
    "hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,"
    "keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,"
    "hair drier,toothbrush"
)
COCO_THINGS = frozenset(_COCO_THINGS.split(","))
"""The 80 thing classes of COCO."""


@dataclass(frozen=True, slots=True)
class LabelMap:
    """``names`` and, for what the taxonomy takes, ``classes`` by label id."""

    names: Mapping[int, str]
    classes: Mapping[int, LabelClass]

    def name(self, label_id: int) -> str:
        return self.names.get(label_id, f"label {label_id}")

    @property
    def unmapped(self) -> tuple[str, ...]:
        """The labels that no class takes, placeholders aside, in the checkpoint's order."""
        return tuple(
            name for i, name in self.names.items() if i not in self.classes and not is_placeholder(name)
        )


def is_placeholder(name: str) -> bool:
    return name.strip().casefold() in PLACEHOLDERS


def thing_names(
    labels: Iterable[str], *, declared: Iterable[str] | None, detected: Iterable[str]
) -> frozenset[str]:
    """Choose the things among a segmenter's labels, by the first of these that knows one of them.

    The checkpoint's own ``thing_labels`` (``declared``), the labels of the detector beside it, the 80 things
    of COCO. If none does, all are things: a person can drop a thing, but cannot split fused stuff. A
    checkpoint that declares an empty list knows surfaces alone.
    """
    names = frozenset(labels)
    declared = None if declared is None else tuple(declared)
    if declared == ():
        return frozenset()
    for known in (declared or (), detected, COCO_THINGS):
        if things := names & frozenset(known):
            return things
    return names


def taxonomy_of_models(detected: Iterable[str], segmented: Iterable[str], things: Iterable[str]) -> Taxonomy:
    """The taxonomy that the models' own labels make: a name of either is one class, without placeholders."""
    thing_set = frozenset(things)
    kinds: dict[str, tuple[str, Kind]] = {}
    for name in detected:
        kinds.setdefault(name.casefold(), (name, "thing"))
    for name in segmented:
        kinds.setdefault(name.casefold(), (name, "thing" if name in thing_set else "stuff"))
    kept = [(name, kind) for name, kind in kinds.values() if not is_placeholder(name)]
    return taxonomy_of_labels(
        (name for name, kind in kept if kind == "thing"), (name for name, kind in kept if kind == "stuff")
    )


def map_labels(names: Mapping[int, str], taxonomy: Taxonomy, *, boxes: bool) -> LabelMap:
    """The classes of a checkpoint's labels. With ``boxes``, things only: stuff has masks, never boxes."""
    found = {i: taxonomy.find(name) for i, name in names.items() if not is_placeholder(name)}
    classes = {i: cls for i, cls in found.items() if cls is not None and (cls.kind == "thing" or not boxes)}
    return LabelMap(dict(names), classes)


def require_mapped(labels: LabelMap, *, model: str, boxes: bool) -> None:
    """ModelError that names the labels which the taxonomy does not know; for strict projects."""
    if labels.unmapped:
        shown = ", ".join(labels.unmapped[:8]) + (", ..." if len(labels.unmapped) > 8 else "")
        raise ModelError(
            f"{model}: the taxonomy has no {'thing' if boxes else 'class'} for {len(labels.unmapped)} "
            f"of its labels ({shown}): add them to [[classes]] as names or aliases, or turn strict off"
        )
