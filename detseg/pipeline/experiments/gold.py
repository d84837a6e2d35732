"""Gold images, whose truth is known: read from their file or imported, and scheduled into the queue.

The file is a COCO detection dataset, its images those of the source: gold images lie among all others, so
that no address tells them apart. An image is found by its ``file_name``: a path below the source's location,
a whole address, or a path beside the file itself. As many are scheduled as their share asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from detseg.catalog.gold import GOLD_AUTHOR
from detseg.errors import ConfigError, FormatError
from detseg.formats.coco import CocoLabels, read_coco_labels, read_instances
from detseg.labelstudio.results import region_id
from detseg.pipeline.experiments.lottery import Lottery, lottery_of
from detseg.pipeline.reading import source_location
from detseg.plurals import format_count
from detseg.taxonomy import Taxonomy
from detseg.types import Annotation, ImageId, ImageRef, Instance, ModelVersion, Region, Size

if TYPE_CHECKING:
    from detseg.catalog import Catalog, ProjectKey
    from detseg.config import Settings


@dataclass(frozen=True, slots=True)
class KnownTruth:
    """The gold file of the settings, if they name one, the names in it of images that the catalog knows, and
    the images whose truth was imported."""

    file: CocoLabels | None
    found: dict[ImageId, str]
    imported: frozenset[ImageId] = frozenset()

    @property
    def images(self) -> frozenset[ImageId]:
        """All images that may be gold ones."""
        return self.imported | self.found.keys()

    def warnings(self) -> Iterator[str]:
        """Names of the file that are no images of the source, in a line."""
        if self.file is None:
            return
        missing = sorted(self.file.images.keys() - set(self.found.values()))
        if missing:
            yield (
                f"{len(missing)} of {len(self.file.images)} images of {self.file.path} are not in the "
                f"source, {missing[0]!r} for one: put them there, where nothing tells them from the others"
            )


def known_truth(settings: Settings, catalog: Catalog) -> KnownTruth | None:
    """Find the gold images of the settings; None where they want none. Raises FormatError for a bad file, and
    ConfigError where a share of gold images is wanted and no truth is known."""
    return _known_truth(settings, catalog, {})


def _known_truth(settings: Settings, catalog: Catalog, listed: Mapping[str, ImageId]) -> KnownTruth | None:
    """As ``known_truth``. ``listed`` are images by address, besides those that the catalog knows."""
    if not settings.experiments.gold_share:
        return None
    file, imported = _read_file(settings.gold_file), catalog.gold.imported()
    if file is None and not imported:
        raise ConfigError(
            "experiments.gold_share needs images whose truth is known: name their file in experiments.gold, "
            "or `detseg import FILE --as gold`"
        )
    found = {} if file is None else _find_images(source_location(settings), catalog, file, listed)
    return KnownTruth(file, found, imported)


def check_gold(path: Path | None, taxonomy: Taxonomy) -> None:
    """Check that a gold file, if there is one, can be read in these classes. Raises FormatError."""
    file = _read_file(path)
    if file is not None:
        _check_labels(file, taxonomy)


def record_truth(catalog: Catalog, known: KnownTruth, ids: Collection[ImageId], taxonomy: Taxonomy) -> None:
    """Records the file's truth of those images, in the place of what was known before. Raises FormatError."""
    if known.file is None:
        return
    _check_labels(known.file, taxonomy)
    sizes = catalog.images.sizes(ids)
    catalog.gold.record(
        _truth(known.file, known.found[image], image, size=sizes[image], taxonomy=taxonomy)
        for image in sorted(ids)
        if image in known.found and image in sizes
    )


def count_late_truth(catalog: Catalog, project: ProjectKey, ids: Iterable[ImageId]) -> int:
    """Count those of the images that are tasks of another arm than gold: their truth measures nobody."""
    tasks = catalog.tasks.of_images(project, ids)
    arms = catalog.arms.of_images(project, tasks)
    return sum(image not in arms or arms[image].arm != "gold" for image in tasks)


def say_late_truth(n_images: int) -> str:
    """Say of that many images that their truth measures nobody, as ``count_late_truth`` found.

    >>> say_late_truth(2)
    '2 images were tasks already before their truth came: it measures nobody there'
    """
    images = format_count(n_images, "image", "was a task", "were tasks")
    return (
        f"{images} already before {'its' if n_images == 1 else 'their'} truth came: it measures nobody there"
    )


def schedule_gold(settings: Settings, catalog: Catalog, refs: Sequence[ImageRef]) -> tuple[ImageRef, ...]:
    """The images that may go into the queue now, in order: of the gold ones, only those whose turn it is."""
    known = _known_truth(settings, catalog, {ref.uri: ref.id for ref in refs})
    if known is None:
        return tuple(refs)
    project = next(reversed(catalog.projects.titled(settings.queue.project)), None)
    queued = catalog.tasks.of_images(project.key, (ref.id for ref in refs)) if project is not None else {}
    return tuple(
        scheduled(
            refs,
            gold=known.images,
            queued=queued,
            share=settings.experiments.gold_share,
            lottery=lottery_of(settings.experiments, settings.queue.project),
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


def _read_file(path: Path | None) -> CocoLabels | None:
    return None if path is None else read_coco_labels(path)


def _check_labels(file: CocoLabels, taxonomy: Taxonomy) -> None:
    """Raises FormatError for a category with annotations that is no class of the project."""
    unknown = sorted(label for label in file.used_labels() if not taxonomy.find(label))
    if unknown:
        raise FormatError(
            f"{file.path}: the category {unknown[0]!r} is no class of the project "
            f"({', '.join(taxonomy.names)}): rename it, or make it an alias of one of [[classes]]"
        )


def _find_images(
    source: str, catalog: Catalog, file: CocoLabels, listed: Mapping[str, ImageId]
) -> dict[ImageId, str]:
    """The file's images that a source has, by id. ``listed`` are images by address, besides known ones."""
    places = {name: _addresses(source, file.path, name) for name in file.images}
    known = catalog.images.at(address for addresses in places.values() for address in addresses)
    found: dict[ImageId, str] = {}
    for name, addresses in places.items():
        image = next(
            (id_ for address in addresses if (id_ := listed.get(address) or known.get(address))), None
        )
        if image is not None:
            found.setdefault(image, name)
    return found


def _addresses(source: str, path: Path, name: str) -> tuple[str, ...]:
    below = f"{source.rstrip('/')}/{name}"
    return (below, name, str((path.parent / name).absolute()))


def _truth(file: CocoLabels, name: str, image: ImageId, *, size: Size, taxonomy: Taxonomy) -> Annotation:
    """The file's truth of one image, in the project's classes."""
    version = ModelVersion(f"{GOLD_AUTHOR} {file.path.name}")
    regions = as_regions(read_instances(file, name, size), image, version, taxonomy)
    return Annotation(image, size, GOLD_AUTHOR, "labeled" if regions else "empty", regions)


def as_regions(
    instances: Iterable[Instance], image: ImageId, version: ModelVersion, taxonomy: Taxonomy
) -> tuple[Region, ...]:
    """Labels of a file as regions of the project's classes, as if people had drawn them.

    Left out are surfaces without a mask, and things without a box and a mask. ``version`` makes their ids.
    """
    named = filter(None, (_in_class(instance, taxonomy) for instance in instances))
    return tuple(
        Region(region_id(image, version, rank), "person", instance) for rank, instance in enumerate(named)
    )


def _in_class(instance: Instance, taxonomy: Taxonomy) -> Instance | None:
    cls = taxonomy[instance.label]
    if cls.kind == "stuff":
        return Instance(cls.name, "stuff", None, instance.mask) if instance.mask else None
    is_so = instance.label == cls.name and instance.kind == "thing"
    if is_so and instance.score is None and instance.seen_by is None:
        return instance
    return Instance(cls.name, "thing", instance.box, instance.mask)
