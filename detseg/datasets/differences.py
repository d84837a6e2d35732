"""The differences between two versions: images and regions that came, went and changed, by class."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal, NamedTuple

from detseg.catalog.region_json import relabel_review
from detseg.datasets.sample import Sample, decode_sample
from detseg.datasets.store import DatasetStore
from detseg.datasets.version import Version
from detseg.taxonomy import NO_CHANGES, Relabeling, relabeling_of
from detseg.types import Box, ImageId, Instance, Mask

Row = Mapping[str, Any]
Change = Literal["added", "removed", "changed"]
CHANGES: tuple[Change, ...] = ("added", "removed", "changed")


@dataclass(frozen=True, slots=True)
class ChangedImage:
    """An image that is not the same in both: what became of it as a whole, and of how many of its regions."""

    image: ImageId
    uri: str
    change: Change
    regions: Mapping[Change, int]


@dataclass(frozen=True, slots=True)
class Difference:
    """From one version to another. A changed region has its id in both, and another class or shape; one of
    another id with the same class and shape is the same.

    A region that got another class counts in ``by_class`` as changed in both. ``states`` and ``splits`` count
    the images that are in both and have another one, as "before > after".

    Where one was made under later changes of the classes, both are read by these: ``n_relabeled`` images
    differ by the changes alone, and are not among ``images``. ``taxonomy_note`` says so in a line, or that
    neither taxonomy follows from the other; empty where both have the same changes.
    """

    images: tuple[ChangedImage, ...]
    regions: Mapping[Change, int]
    by_class: Mapping[str, Mapping[Change, int]]
    states: Mapping[str, int]
    splits: Mapping[str, int]
    n_relabeled: int = 0
    taxonomy_note: str = ""

    def n_images(self, change: Change) -> int:
        return sum(image.change == change for image in self.images)


def compare_versions(store: DatasetStore, before: Version, after: Version) -> Difference:
    """Read what differs between two versions of a store; of images that are the same, only the indexes."""
    relabeling, note = _common_taxonomy(before, after)
    old, new = (_marks(store, version) for version in (before, after))
    changed = {i: (_Mark(*old[i]), _Mark(*new[i])) for i in old.keys() & new.keys() if old[i] != new[i]}
    splits = Counter((one.split, other.split) for one, other in changed.values() if one.split != other.split)
    states = Counter((one.state, other.state) for one, other in changed.values() if one.state != other.state)
    differing = (old.keys() ^ new.keys()) | {
        i for i, (one, other) in changed.items() if one.digest != other.digest
    }
    regions: Counter[Change] = Counter()
    by_class: defaultdict[str, Counter[Change]] = defaultdict(Counter)
    images = []
    n_relabeled = 0
    rows = store.rows(before, differing), store.rows(after, differing)
    for left, right in _pairs(*rows, relabeling):
        if left == right:
            n_relabeled += 1
            continue
        counts: Counter[Change] = Counter()
        for change, labels in _region_changes(left, right):
            counts[change] += 1
            for label in labels:
                by_class[label][change] += 1
        regions += counts
        images.append(_changed_image(left, right, counts))
    return Difference(
        images=tuple(images),
        regions={change: regions[change] for change in CHANGES},
        by_class={
            label: {change: one[change] for change in CHANGES} for label, one in sorted(by_class.items())
        },
        states=_moves(states),
        splits=_moves(splits),
        n_relabeled=n_relabeled,
        taxonomy_note=note,
    )


def _common_taxonomy(before: Version, after: Version) -> tuple[Relabeling, str]:
    """The way to read both versions in the classes of the one that was made under more changes, in a line."""
    one, other = before.recipe.changes, after.recipe.changes
    if one == other:
        return NO_CHANGES, ""
    later = before if len(one) > len(other) else after
    shared = min(len(one), len(other))
    if one[:shared] != other[:shared]:
        return NO_CHANGES, (
            f"{before.name} and {after.name} were made under taxonomies of which neither follows from the "
            "other: their classes are compared by name"
        )
    more = "; ".join(str(change) for change in later.recipe.changes[shared:])
    relabeling = relabeling_of(later.recipe.changes, later.recipe.classes)
    return relabeling, f"both are read under the taxonomy of {later.name} ({more})"


class _Mark(NamedTuple):
    digest: bytes
    split: str
    state: str


def _marks(store: DatasetStore, version: Version) -> dict[bytes, tuple[Any, ...]]:
    """The fields of a mark for each image, most of which are compared as they are."""
    images, *fields = store.index_columns(version, "image", *_Mark._fields)
    return dict(zip(images, zip(*fields, strict=True), strict=True))


def _moves(counted: Mapping[tuple[str, str], int]) -> dict[str, int]:
    return {f"{before or 'none'} > {after or 'none'}": n for (before, after), n in sorted(counted.items())}


def _pairs(
    before: Iterable[Row], after: Iterable[Row], relabeling: Relabeling
) -> Iterator[tuple[Sample | None, Sample | None]]:
    """The samples of each image on both sides; both are sorted by image."""
    tagged = heapq.merge(((row, 0) for row in before), ((row, 1) for row in after), key=_image)
    for _, group in groupby(tagged, key=_image):
        sides: list[Sample | None] = [None, None]
        for row, side in group:
            sample = decode_sample(row)
            regions, state = relabel_review(sample.regions, sample.state, relabeling)
            sides[side] = replace(sample, regions=regions, state=state)
        yield sides[0], sides[1]


def _image(tagged: tuple[Row, int]) -> bytes:
    return bytes(tagged[0]["image"])


def _changed_image(left: Sample | None, right: Sample | None, regions: Mapping[Change, int]) -> ChangedImage:
    if left is not None and right is not None:
        return ChangedImage(right.image, right.uri, "changed", dict(regions))
    if right is not None:
        return ChangedImage(right.image, right.uri, "added", dict(regions))
    assert left is not None  # it is in one of the two
    return ChangedImage(left.image, left.uri, "removed", dict(regions))


def _region_changes(left: Sample | None, right: Sample | None) -> Iterator[tuple[Change, set[str]]]:
    """Compare regions: what became of each that is not the same on both sides, and the classes that it had.

    One that is gone where another of its class and shape came is the same: another import brought it.
    """
    old, new = (
        {one.id: one.instance for one in side.annotation().regions} if side else {} for side in (left, right)
    )
    came = Counter(_content(new[region]) for region in new.keys() - old.keys())
    gone = Counter(_content(old[region]) for region in old.keys() - new.keys())
    stayed = came & gone
    yield from (("added", {label}) for label, *_ in (came - stayed).elements())
    yield from (("removed", {label}) for label, *_ in (gone - stayed).elements())
    for region in old.keys() & new.keys():
        before, after = old[region], new[region]
        if before != after:
            yield "changed", {before.label, after.label}


def _content(instance: Instance) -> tuple[str, Box | None, Mask | None]:
    return instance.label, instance.box, instance.mask
