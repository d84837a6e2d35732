"""The file with the truth of gold images: COCO's detection format, its images those of the source.

Gold images lie among all others, so that no address tells them apart. An image is found by its ``file_name``:
a path below the source's location, a whole address, or a path beside the file itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detseg.catalog.gold import GOLD_AUTHOR
from detseg.errors import FormatError
from detseg.geometry.boxes import clip_box, xywh_to_box
from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap, string_to_counts
from detseg.geometry.polygons import polygon_to_mask
from detseg.labelstudio.results import region_id
from detseg.metrics.coco_entries import entry_check
from detseg.metrics.coco_files import read_coco_truth
from detseg.pipeline.reading import source_location
from detseg.taxonomy import Taxonomy
from detseg.types import Annotation, ImageId, Instance, Mask, ModelVersion, Region, Size

if TYPE_CHECKING:
    from detseg.catalog import Catalog
    from detseg.config import Settings

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GoldFile:
    """``images`` are the file's, by name; ``annotations`` by COCO's image id; ``labels`` by category id."""

    path: Path
    images: Mapping[str, Record]
    annotations: Mapping[int, Sequence[Record]]
    labels: Mapping[int, str]


def read_gold(settings: Settings) -> GoldFile | None:
    """The gold file of the settings; None where no gold images are asked for.

    Raises FormatError for a file that is no COCO data set, or has a name twice.
    """
    if settings.experiments.gold is None or not settings.experiments.gold_share:
        return None
    path = settings.path(settings.experiments.gold)
    data = read_coco_truth(path, "bbox")
    check = entry_check(data["images"], data["categories"], "segm")
    annotations: defaultdict[int, list[Record]] = defaultdict(list)
    for position, entry in enumerate(data["annotations"]):
        if entry.get("segmentation") and (problem := check(entry)):
            raise FormatError(f"{path}, annotations {position}: {problem}")
        annotations[entry["image_id"]].append(entry)
    images: dict[str, Record] = {}
    for position, image in enumerate(data["images"]):
        name = image.get("file_name")
        if not isinstance(name, str) or name in images:
            raise FormatError(f"{path}, images {position}: expected a file_name of its own, not {name!r:.60}")
        images[name] = image
    labels = {category["id"]: category["name"] for category in data["categories"]}
    return GoldFile(path, images, annotations, labels)


def check_labels(gold: GoldFile, taxonomy: Taxonomy) -> None:
    """Raises FormatError for a category with annotations that is no class of the project."""
    used = {entry["category_id"] for entries in gold.annotations.values() for entry in entries}
    unknown = sorted(label for id_, label in gold.labels.items() if id_ in used and not taxonomy.find(label))
    if unknown:
        raise FormatError(
            f"{gold.path}: the category {unknown[0]!r} is no class of the project "
            f"({', '.join(taxonomy.names)}): rename it, or make it an alias of one of [[classes]]"
        )


def find_gold(
    settings: Settings, catalog: Catalog, gold: GoldFile, listed: Mapping[str, ImageId]
) -> dict[ImageId, Record]:
    """The file's images that the source has, by id. ``listed`` are images by address, besides known ones."""
    places = {name: _addresses(settings, gold.path, name) for name in gold.images}
    known = catalog.images.at(address for addresses in places.values() for address in addresses)
    found: dict[ImageId, Record] = {}
    for name, addresses in places.items():
        image = next(
            (id_ for address in addresses if (id_ := listed.get(address) or known.get(address))), None
        )
        if image is not None:
            found.setdefault(image, gold.images[name])
    return found


def _addresses(settings: Settings, path: Path, name: str) -> tuple[str, ...]:
    below = f"{source_location(settings).rstrip('/')}/{name}"
    return (below, name, str((path.parent / name).absolute()))


def read_truth(
    gold: GoldFile, record: Record, image: ImageId, *, size: Size, taxonomy: Taxonomy
) -> Annotation:
    """The truth of one image, in the project's classes. Crowds are left out: they are no single objects.

    Raises FormatError for an image of another size, and ConfigError for a category that is no class.
    """
    where = f"{gold.path}, {record['file_name']}"
    entries = gold.annotations.get(record["id"], ())
    for width, height in _stated_sizes(record, entries):
        if (width or size.width, height or size.height) != (size.width, size.height):
            raise FormatError(f"{where}: the file says {width}x{height}, the upright image is {size}")
    version = ModelVersion(f"{GOLD_AUTHOR} {gold.path.name}")
    regions = [
        Region(region_id(image, version, rank), "person", instance)
        for rank, entry in enumerate(entries)
        if not entry["iscrowd"]
        and (instance := _instance(gold, entry, size=size, taxonomy=taxonomy)) is not None
    ]
    return Annotation(image, size, GOLD_AUTHOR, "labeled" if regions else "empty", tuple(regions))


def _stated_sizes(record: Record, entries: Sequence[Record]) -> Iterator[tuple[int | None, int | None]]:
    """Widths and heights that the file gives the image, itself and by run lengths of masks."""
    yield record.get("width"), record.get("height")
    for entry in entries:
        if isinstance(entry.get("segmentation"), dict):
            height, width = entry["segmentation"]["size"]
            yield width, height


def _instance(gold: GoldFile, entry: Record, *, size: Size, taxonomy: Taxonomy) -> Instance | None:
    """None for what lies outside the image or has no area."""
    cls = taxonomy[gold.labels[entry["category_id"]]]
    mask = _mask(entry.get("segmentation"), size)
    if cls.kind == "stuff":
        return None if mask is None else Instance(cls.name, "stuff", mask=mask)
    box = clip_box(xywh_to_box(entry["bbox"]), size)
    return None if box is None else Instance(cls.name, "thing", box=box, mask=mask)


def _mask(segmentation: Any, size: Size) -> Mask | None:
    """Of polygons all together, or run lengths; None for none and for an empty one."""
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        points = [list(zip(ring[::2], ring[1::2], strict=True)) for ring in segmentation]
        bitmap = mask_to_bitmap(polygon_to_mask(points[0], size))
        for ring in points[1:]:
            bitmap |= mask_to_bitmap(polygon_to_mask(ring, size))
        mask = bitmap_to_mask(bitmap)
    else:
        counts = segmentation["counts"]
        mask = Mask(size, string_to_counts(counts) if isinstance(counts, str) else tuple(counts))
    return mask if mask.area else None
