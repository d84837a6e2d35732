"""Checks of a dataset version before anything is learned from it. Knows no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detseg.datasets.splits import CHOSEN_BY, JUDGED, LEARNED, USUAL_SHARES
from detseg.datasets.version import Version
from detseg.errors import TrainingError
from detseg.plurals import format_count
from detseg.taxonomy import LabelClass

_FEW_IMAGES, _FEW_OBJECTS = 20, 10


def check_version(version: Version, classes: Sequence[LabelClass]) -> Iterator[str]:
    """Yield a warning about each oddity; raise TrainingError for what cannot be learned from.

    ``classes`` are those that the model will answer.
    """
    counts = version.counts
    for side, use in ((LEARNED, "to learn from"), (CHOSEN_BY, "to choose the best weights by")):
        if not counts.splits.get(side):
            raise TrainingError(
                f"{version.name} has no split {side!r} {use} (it has {counts.split_names}): make a version "
                f"with `detseg dataset create NAME --split {USUAL_SHARES}`"
            )
    if not classes:
        raise TrainingError(
            f"{version.name} has no class of things, and surfaces have no boxes: give --base a model of "
            "masks, such as sample-segmenter"
        )
    objects = {
        side: {cls.name: counts.regions_by_split.get(side, {}).get(cls.name, 0) for cls in classes}
        for side in (LEARNED, CHOSEN_BY)
    }
    for side, by_class in objects.items():
        if not any(by_class.values()):
            names = ", ".join(by_class)
            raise TrainingError(
                f"the split {side!r} of {version.name} has no object of {names}: label more images, or make "
                f"a version with other shares"
            )
    if not counts.splits.get(JUDGED):
        yield (
            f"{version.name} has no split {JUDGED!r}: nothing is left to judge the model by, for the images "
            f"of {CHOSEN_BY!r} have chosen it; --split {USUAL_SHARES} keeps some"
        )
    if counts.splits[LEARNED] < _FEW_IMAGES:
        images = format_count(counts.splits[LEARNED], "image")
        yield f"the split {LEARNED!r} of {version.name} has {images} only: expect little of the model"
    yield from _describe_rare(version, objects)


def _describe_rare(version: Version, objects: dict[str, dict[str, int]]) -> Iterator[str]:
    learned, chosen_by = objects[LEARNED], objects[CHOSEN_BY]
    if never := [name for name, n in learned.items() if not n]:
        yield f"the split {LEARNED!r} of {version.name} has no {', no '.join(never)}: that will not be found"
    if rare := [f"{name} {n}" for name, n in learned.items() if 0 < n < _FEW_OBJECTS]:
        yield f"few objects to learn from: {', '.join(rare)}"
    if unmeasured := [name for name, n in chosen_by.items() if not n and learned[name]]:
        names = ", no ".join(unmeasured)
        yield f"the split {CHOSEN_BY!r} of {version.name} has no {names}: that is learned, but not measured"


def describe_crowds(most_objects: int, n_queries: int | None, *, base: str, masks: bool) -> Iterator[str]:
    """Yield a warning where an image has more objects than the model, of ``masks`` or boxes, finds in one."""
    if n_queries is not None and most_objects > n_queries:
        without = ', and training.head = "upernet" has no such limit' if masks else ""
        yield (
            f"an image has {most_objects:,} objects, and {base} finds at most {n_queries:,} in one: "
            f"training.queries = {most_objects} lets it find all{without}"
        )
