"""One annotation from several people's: what enough of them say, in a shape between theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median

import numpy as np

from detseg.geometry.extent import instance_iou_matrix
from detseg.geometry.runs import vote
from detseg.metrics.matched import MIN_IOU
from detseg.types import Annotation, Box, Instance, Mask, Region

CONSENSUS_AUTHOR = "consensus"


@dataclass(frozen=True, slots=True)
class Consensus:
    """``disputed`` regions, one of each object, have a quorum neither for nor against them."""

    annotation: Annotation
    disputed: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class _Said:
    """A region, who drew it (by number), and its place in their list."""

    person: int
    place: int
    region: Region


def find_consensus(reviews: Sequence[Annotation], *, quorum: int | None = None) -> Consensus | None:
    """Find what ``quorum`` people say alike of one image; without one, more than half of those who judged it.

    Regions of different people are one object if they have one label and overlap by ``MIN_IOU`` or more: the
    pairs that overlap most come first, and nobody means one object twice. An object that a quorum lacks is
    not there. Boxes are the median of each side, masks the pixels of at least half of them. None where fewer
    than a quorum judged the image. The order of the reviews does not matter.
    """
    judged = sorted((one for one in reviews if one.state in ("labeled", "empty")), key=lambda one: one.author)
    needed = quorum if quorum is not None else len(judged) // 2 + 1
    if not judged or len(judged) < needed:
        return None
    accepted: list[Region] = []
    disputed: list[Region] = []
    for objects in _objects(judged):
        if len(objects) >= needed:
            accepted.append(_between([said.region for said in objects]))
        elif len(judged) - len(objects) < needed:
            disputed.append(objects[0].region)
    latest = max((one.updated_at for one in judged if one.updated_at is not None), default=None)
    annotation = Annotation(
        image=judged[0].image,
        size=judged[0].size,
        author=CONSENSUS_AUTHOR if len(judged) > 1 else judged[0].author,
        state="labeled" if accepted else "empty",
        regions=tuple(accepted),
        updated_at=latest,
    )
    return Consensus(annotation, tuple(disputed))


def _objects(judged: Sequence[Annotation]) -> list[list[_Said]]:
    """Regions that mean one object, by the first person who drew it and the order of their regions."""
    groups = {
        (person, place): [_Said(person, place, region)]
        for person, review in enumerate(judged)
        for place, region in enumerate(review.regions)
    }
    said = [group[0] for group in groups.values()]
    for i, j in _likely(said):
        first, second = groups[said[i].person, said[i].place], groups[said[j].person, said[j].place]
        if {one.person for one in first} & {one.person for one in second}:
            continue
        first += second
        for one in second:
            groups[one.person, one.place] = first
    unique = {id(group): sorted(group, key=lambda one: one.person) for group in groups.values()}
    return sorted(unique.values(), key=lambda group: (group[0].person, group[0].place))


def _likely(said: Sequence[_Said]) -> list[tuple[int, int]]:
    """Pairs that may be one object, those that overlap most first."""
    of_class = defaultdict[str, defaultdict[int, list[int]]](lambda: defaultdict(list))
    for i, one in enumerate(said):
        of_class[one.region.instance.label][one.person].append(i)
    pairs = [
        pair
        for people in of_class.values()
        for first, second in combinations(people.values(), 2)
        for pair in _overlapping(said, first, second)
    ]
    return [(i, j) for _, i, j in sorted(pairs)]


def _overlapping(
    said: Sequence[_Said], first: Sequence[int], second: Sequence[int]
) -> Iterator[tuple[float, int, int]]:
    """Pairs of two people's regions by their places, each after its negative overlap."""
    iou = instance_iou_matrix(*([said[i].region.instance for i in places] for places in (first, second)))
    for row, column in np.argwhere(iou >= MIN_IOU).tolist():
        yield -float(iou[row, column]), first[row], second[column]


def _between(regions: Sequence[Region]) -> Region:
    """One region from several of one object, under the first one's id."""
    if len(regions) == 1:
        return regions[0]
    boxes = [region.instance.box for region in regions if region.instance.box is not None]
    masks = [region.instance.mask for region in regions if region.instance.mask is not None]
    box = _median_box(boxes) if 2 * len(boxes) >= len(regions) else None
    mask = _majority(masks) if 2 * len(masks) >= len(regions) else None
    if box is None and mask is None:
        return regions[0]
    first = regions[0].instance
    return replace(regions[0], instance=Instance(first.label, first.kind, box, mask))


def _median_box(boxes: Sequence[Box]) -> Box:
    x0, y0, x1, y1 = (float(median(side)) for side in zip(*(box.xyxy for box in boxes), strict=True))
    return Box(x0, y0, x1, y1)


def _majority(masks: Sequence[Mask]) -> Mask | None:
    """The pixels of at least half of the masks; None if there is none."""
    mask = vote(masks, [1.0] * len(masks))
    return mask if mask.area else None
