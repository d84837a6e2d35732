"""The pages of dataset versions: what is in one, and what differs between two, with pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from functools import partial

from detseg.datasets.differences import CHANGES, Change, Difference
from detseg.datasets.figures import DatasetFigures, VersionSize
from detseg.datasets.sample import Sample
from detseg.datasets.version import Version
from detseg.errors import ImageError
from detseg.metrics.edits import find_edits
from detseg.plurals import format_count
from detseg.report.cells import by_class, count_cell, in_order, table
from detseg.report.corrected import EDIT_COLOURS, corrected_panel
from detseg.report.data import ImageMap
from detseg.report.gallery import changes_of, fit_pictures, image_name
from detseg.report.page import FOOTER, MOST_PICTURE_BYTES, Page
from detseg.report.pictures import View, instances_panel
from detseg.report.sheet import Panel
from detseg.report.tabs.labels import label_sections, losses_section
from detseg.report.tabs.map import map_tab
from detseg.report.views import Block, Card, Cell, Column, Key, Picture, Row, Section, Tab
from detseg.taxonomy import Taxonomy
from detseg.types import EDIT_KINDS, DecodedImage, Edit, EditKind

_MEANINGS: Mapping[EditKind, str] = {
    "kept": "the same in both",
    "moved": "its box is another",
    "reshaped": "its mask is another",
    "relabeled": "it has another class",
    "deleted": "only in the first",
    "added": "only in the second",
}


@dataclass(frozen=True, slots=True)
class Side:
    """An image in one of two versions."""

    sample: Sample
    split: str


@dataclass(frozen=True, slots=True)
class Pair:
    """An image that differs; it is in one version at least."""

    before: Side | None
    after: Side | None

    @property
    def change(self) -> Change:
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


def version_page(
    version: Version,
    labels: DatasetFigures,
    growth: Sequence[VersionSize],
    lost: Mapping[str, Mapping[str, int]],
    *,
    images: ImageMap,
) -> Page:
    """The page of one version, with the map of its images."""
    taxonomy = Taxonomy(version.recipe.classes)
    sections = (*label_sections(labels, taxonomy, growth), losses_section(lost))
    left_out = ", ".join(f"{n:,} {reason}" for reason, n in version.counts.left_out.items())
    facts = (*_facts(version), f"Left out: {left_out}" if left_out else "")
    return _page(
        "Dataset version", version.name, facts, (Tab("labels", "Labels", sections), map_tab(images, taxonomy))
    )


def difference_page(
    versions: tuple[Version, Version],
    found: Difference,
    pairs: Sequence[Pair],
    read: Callable[[Sample], DecodedImage],
) -> Page:
    """The page of what differs between two versions. ``pairs`` are the images that have pictures.

    ``read`` gives the upright image that was labeled, or raises ImageError, which its card shows.
    """
    before, after = versions
    taxonomy = Taxonomy(after.recipe.classes)
    cards = tuple(_cards(pairs, taxonomy, read, max_bytes=MOST_PICTURE_BYTES))
    labels = in_order(taxonomy, {change.label for card in cards for change in card.changes})
    pictures = Tab("pictures", "Pictures", (_head(found, cards),), cards=cards, labels=tuple(labels))
    facts = tuple(f"{one.name}: {', '.join(_facts(one)[:2])}" for one in versions)
    tabs = (Tab("numbers", "Numbers", tuple(_numbers(found, taxonomy))), pictures)
    return _page("Difference of two versions", f"{before.name} → {after.name}", facts, tabs)


def _page(kind: str, title: str, facts: Sequence[str], tabs: tuple[Tab, ...]) -> Page:
    keys = tuple(Key(kind, _MEANINGS[kind], EDIT_COLOURS[kind]) for kind in EDIT_KINDS)
    return Page(kind, title, False, tuple(filter(None, facts)), tabs, keys, FOOTER)


def _facts(version: Version) -> tuple[str, ...]:
    made = version.created_at.astimezone(UTC)
    images, objects = version.counts.images, version.counts.regions
    where = version.recipe.where
    return (
        f"{format_count(images, 'image')}, {format_count(objects, 'object')}",
        f"made {made.day} {made:%B %Y, %H:%M} UTC",
        f"id {version.id[:12]}",
        f"project {version.recipe.project}",
        f"where {where}" if where else "",
    )


def _numbers(found: Difference, taxonomy: Taxonomy) -> Iterator[Section]:
    named: list[tuple[Cell, Mapping[Change, int]]] = [
        (Cell("Images"), {change: found.n_images(change) for change in CHANGES}),
        (Cell("Objects"), found.regions),
        *by_class(taxonomy, found.by_class),
    ]
    rows = [
        Row((cell, *(count_cell(counts[change]) for change in CHANGES)), total=n < 2)
        for n, (cell, counts) in enumerate(named)
    ]
    columns = (Column("What", "name"), *(Column(change.capitalize()) for change in CHANGES))
    note = "An object is changed if its id is in both versions, with another class or shape."
    yield Section("counts", "What differs", (Block(table=table("What differs", columns, rows)),), note)
    for id_, what, moves in (("states", "state", found.states), ("splits", "split", found.splits)):
        if moves:
            moved = [Row((Cell(move.replace(" > ", " → ")), count_cell(n))) for move, n in moves.items()]
            columns = (Column(what.capitalize(), "name"), Column("Images"))
            title = f"Images with another {what}"
            yield Section(id_, title, (Block(table=table(title, columns, moved)),))


def _head(found: Difference, cards: Sequence[Card]) -> Section:
    title = "What differs, in pictures"
    if not found.images:
        return Section("gallery", title, (Block(missing="No image differs."),))
    keys = tuple(Key(kind, _MEANINGS[kind], EDIT_COLOURS[kind]) for kind in EDIT_KINDS)
    failed = sum(card.failure is not None for card in cards)
    note = f"{len(cards)} of {format_count(len(found.images), 'image')} that differ, each change in its turn."
    if failed:
        note += f" {format_count(failed, 'image')} cannot be read, and the card says why."
    note += (
        " In the last picture of a changed image what is the same has thin lines; what differs has the "
        "colour of the change, a white ghost of what was there, and a cross where it is gone."
    )
    return Section("gallery", title, (Block(keys=keys),), note)


def _cards(
    pairs: Sequence[Pair], taxonomy: Taxonomy, read: Callable[[Sample], DecodedImage], *, max_bytes: int
) -> Iterator[Card]:
    """The cards; their pictures take about ``max_bytes`` together at most."""
    left = max_bytes
    for n, pair in enumerate(pairs):
        card = _card(pair, taxonomy, read, max_bytes=left // (len(pairs) - n))
        left -= sum(len(picture.uri) for picture in card.pictures)
        yield card


def _card(pair: Pair, taxonomy: Taxonomy, read: Callable[[Sample], DecodedImage], *, max_bytes: int) -> Card:
    side = pair.after or pair.before
    assert side is not None  # it is in one of the two
    sample = side.sample
    edits = _edits(pair)
    pictures: tuple[Picture, ...] = ()
    failure: str | None = None
    try:
        image = read(sample)
        draw = partial(_panels, pair, edits, taxonomy)
        pictures = fit_pictures(image, draw, name=image_name(sample.uri), max_bytes=max_bytes)
    except ImageError as error:
        failure = str(error)
    return Card(
        name=image_name(sample.uri) or sample.image,
        reason=pair.change,
        pictures=pictures,
        changes=tuple(changes_of(edits)),
        n_kept=sum(edit.kind == "kept" for edit in edits),
        facts=" · ".join(_moves(pair)),
        task_url=None,
        failure=failure,
    )


def _edits(pair: Pair) -> tuple[Edit, ...]:
    """The change of each object; those of an image that came or went are added or deleted."""
    side = pair.after or pair.before
    assert side is not None
    nothing = replace(side.sample.annotation(), state="empty", regions=())
    before, after = (one.sample.annotation() if one else nothing for one in (pair.before, pair.after))
    return find_edits(before, after)


def _moves(pair: Pair) -> Iterator[str]:
    """What else is another: state, split, people."""
    if pair.before is None or pair.after is None:
        return
    for before, after in zip(_words(pair.before), _words(pair.after), strict=True):
        if before != after:
            yield f"{before} → {after}"


def _words(side: Side) -> tuple[str, str, str]:
    return side.sample.state, side.split or "no split", ", ".join(side.sample.authors)


def _panels(pair: Pair, edits: Sequence[Edit], taxonomy: Taxonomy, view: View) -> tuple[Panel, ...]:
    panels = [Panel("Original", view.picture)]
    for title, side in (("Before", pair.before), ("After", pair.after)):
        if side is not None:
            instances = [region.instance for region in side.sample.annotation().regions]
            panels.append(instances_panel(view, instances, taxonomy, show="both", title=title, scores=False))
    if pair.change == "changed":
        panels.append(corrected_panel(view, edits, taxonomy, title="What changed"))
    return tuple(panels)
