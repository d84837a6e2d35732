"""Gold images scheduled into the queue: as many as their share asks for, and looking like any other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detseg.pipeline.experiments.assignment import Lottery, lottery_of
from detseg.pipeline.experiments.gold_file import (
    GoldFile,
    Record,
    check_labels,
    find_gold,
    read_gold,
    read_truth,
)
from detseg.taxonomy import Taxonomy
from detseg.types import ImageId, ImageRef

if TYPE_CHECKING:
    from detseg.catalog import Catalog
    from detseg.config import Settings


@dataclass(frozen=True, slots=True)
class KnownTruth:
    """The gold file of the settings, and its images among those that the catalog knows."""

    file: GoldFile
    found: dict[ImageId, Record]

    def warnings(self) -> Iterator[str]:
        """Names of the file that are no images of the source, in a line."""
        found = {str(record["file_name"]) for record in self.found.values()}
        missing = sorted(self.file.images.keys() - found)
        if missing:
            yield (
                f"{len(missing)} of {len(self.file.images)} images of {self.file.path} are not in the "
                f"source, {missing[0]!r} for one: put them there, where nothing tells them from the others"
            )


def known_truth(settings: Settings, catalog: Catalog) -> KnownTruth | None:
    """What the settings know of gold images; None where none are asked for. Raises FormatError."""
    file = read_gold(settings)
    return None if file is None else KnownTruth(file, find_gold(settings, catalog, file, {}))


def check_gold(settings: Settings, taxonomy: Taxonomy) -> None:
    """Whether the gold file of the settings can be read in these classes. Raises FormatError."""
    file = read_gold(settings)
    if file is not None:
        check_labels(file, taxonomy)


def record_truth(catalog: Catalog, known: KnownTruth, ids: Collection[ImageId], taxonomy: Taxonomy) -> None:
    """Records the truth of those images, in the place of what was known before. Raises FormatError."""
    check_labels(known.file, taxonomy)
    sizes = catalog.images.sizes(ids)
    catalog.gold.record(
        read_truth(known.file, known.found[image], image, size=sizes[image], taxonomy=taxonomy)
        for image in sorted(ids)
        if image in known.found and image in sizes
    )


def schedule_gold(settings: Settings, catalog: Catalog, refs: Sequence[ImageRef]) -> tuple[ImageRef, ...]:
    """The images that may go into the queue now, in order: of the gold ones, only those whose turn it is."""
    file = read_gold(settings)
    if file is None:
        return tuple(refs)
    gold = find_gold(settings, catalog, file, {ref.uri: ref.id for ref in refs}).keys()
    project = next(
        (one.key for one in reversed(catalog.projects.all()) if one.title == settings.queue.project), None
    )
    queued = catalog.tasks.of_images(project, (ref.id for ref in refs)) if project is not None else {}
    return tuple(
        scheduled(
            refs,
            gold=gold,
            queued=queued,
            share=settings.experiments.gold_share,
            lottery=lottery_of(settings),
        )
    )


def scheduled(
    refs: Sequence[ImageRef],
    *,
    gold: Collection[ImageId],
    queued: Collection[ImageId],
    share: float,
    lottery: Lottery,
) -> Iterator[ImageRef]:
    """Images that are new to the queue bring a gold one along, by lot, until none is left."""
    waiting = [ref for ref in refs if ref.id in gold and ref.id not in queued]
    waiting.sort(key=lambda ref: lottery.draw(ref.id, "gold turn"), reverse=True)
    brings = share / (1.0 - share)  # so that gold images are that share of all, themselves included
    for ref in refs:
        if ref.id in queued:
            yield ref
        elif ref.id not in gold:
            if waiting and lottery.draw(ref.id, "brings gold") < brings:
                yield waiting.pop()
            yield ref
