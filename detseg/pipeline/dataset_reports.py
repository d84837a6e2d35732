"""The HTML pages of dataset versions, with images read from where they are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING

from detseg.datasets.differences import CHANGES
from detseg.datasets.sample import decode_sample, image_bytes
from detseg.datasets.store import DatasetStore
from detseg.errors import ImageError
from detseg.images import decode_image
from detseg.pipeline.image_map import map_of_version
from detseg.pipeline.reading import open_sources, read_labeled
from detseg.pipeline.workspace import opened_catalog
from detseg.report.dataset_page import Pair, Side, difference_page, version_page
from detseg.report.page import write_page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from detseg.config import Settings
    from detseg.datasets.differences import ChangedImage, Difference
    from detseg.datasets.sample import Sample
    from detseg.datasets.version import Version
    from detseg.pipeline.dataset_figures import VersionFigures
    from detseg.sources.registry import Sources
    from detseg.types import DecodedImage, ImageId

MOST_PICTURED = 60
"""Images of a page that have pictures."""


def write_version_page(path: Path, settings: Settings, version: Version, figures: VersionFigures) -> None:
    """Write the figures of a version and a map of its images as one HTML file.

    Raises DetsegError if it cannot be written.
    """
    with opened_catalog(settings) as catalog:
        images = map_of_version(
            partial(open_sources, settings),
            catalog,
            DatasetStore(settings.datasets_location),
            version,
            folder=settings.state_path,
        )
    write_page(path, version_page(version, figures.labels, figures.growth, figures.lost, images=images))


def write_difference_page(
    path: Path,
    settings: Settings,
    store: DatasetStore,
    *,
    versions: tuple[Version, Version],
    found: Difference,
    most: int = MOST_PICTURED,
) -> None:
    """Write what differs between two versions of a store as one HTML file, with pictures of ``most`` images.

    An image that cannot be read, or is another now, is named with the reason. Raises DetsegError if the file
    cannot be written.
    """
    pairs = _read_pairs(store, versions, list(islice(_in_turns(found.images), most)))
    with open_sources(settings) as sources:
        write_page(path, difference_page(versions, found, pairs, _reader(sources)))


def _in_turns(images: Sequence[ChangedImage]) -> Iterator[ChangedImage]:
    """One that was added, one removed, one changed, and so on; those whose objects changed come first.

    Images are in the order of their hashes, which is as good as by chance.
    """
    queues = [
        sorted((one for one in images if one.change == change), key=lambda one: not any(one.regions.values()))
        for change in CHANGES
    ]
    return (one for one in chain.from_iterable(zip_longest(*queues)) if one is not None)


def _read_pairs(
    store: DatasetStore, versions: tuple[Version, Version], chosen: Sequence[ChangedImage]
) -> tuple[Pair, ...]:
    """Both sides of each image, in the order of ``chosen``."""
    before, after = (_read_sides(store, version, chosen) for version in versions)
    return tuple(Pair(before.get(one.image), after.get(one.image)) for one in chosen)


def _read_sides(store: DatasetStore, version: Version, chosen: Sequence[ChangedImage]) -> dict[ImageId, Side]:
    wanted = {image_bytes(one.image) for one in chosen}
    splits = store.splits(version)
    rows = store.rows(version, wanted)
    return {
        sample.image: Side(sample, splits[image_bytes(sample.image)]) for sample in map(decode_sample, rows)
    }


def _reader(sources: Sources) -> Callable[[Sample], DecodedImage]:
    """A way to the upright image of a sample; it raises ImageError for one that is not what was labeled."""

    def read(sample: Sample) -> DecodedImage:
        data = read_labeled(sources, sample.uri, sample.image)
        image = decode_image(data, sample.uri, max_pixels=sources.limits.max_pixels)
        if image.size != sample.size:
            raise ImageError(f"is read as {image.size} now and was labeled as {sample.size}")
        return image

    return read
