"""Which images a source holds, by content. Only what is new or changed is read."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detseg.catalog import Catalog, FoundImage, Quarantined
from detseg.errors import ImageError
from detseg.images import BROWSER_FORMATS, image_id, read_bytes, upright_size
from detseg.paging import pages
from detseg.pipeline import progress
from detseg.sources.folder import list_images
from detseg.types import Failure, FileStamp, ImageId, ImageRef

if TYPE_CHECKING:
    from detseg.config import Settings

_PAGE = 500  # files read and recorded in one transaction
_READERS = 4


@dataclass(frozen=True, slots=True)
class Scan:
    """``images`` are the contents found, each once, in the order of their paths; ``n_new`` of them were
    never seen before. Files with equal bytes are one image, found at the first of their paths."""

    n_files: int
    n_new: int
    images: tuple[ImageRef, ...]
    failures: tuple[Failure, ...]

    def shards(self, size: int) -> tuple[tuple[ImageRef, ...], ...]:
        """The images in groups of at most ``size``."""
        return tuple(pages(self.images, size))


def scan(settings: Settings, catalog: Catalog, *, record: bool = True) -> Scan:
    """Lists the source and records in the catalog what is new, unless ``record`` is False.

    Raises SourceError if there is no source.
    """
    stamps = list_images(settings.path(settings.source))
    progress.report("scan", total=len(stamps))
    found: dict[str, ImageId] = {}
    failures: list[Failure] = []
    n_new = 0
    for page in pages(stamps, _PAGE):
        known = catalog.images.known(page)
        progress.report("scan", advance=len(known))
        new, failed = _read([stamp for stamp in page if stamp.uri not in known], settings.max_pixels)
        ids = {image.id for image in new}
        n_new += catalog.images.record(new) if record else len(ids - catalog.images.sizes(ids).keys())
        if record:
            catalog.quarantine.record(Quarantined(one.uri, one.reason, "read") for one in failed)
        found |= known | {image.stamp.uri: image.id for image in new}
        failures += failed
    refs: dict[ImageId, ImageRef] = {}
    for stamp in stamps:
        if stamp.uri in found:
            refs.setdefault(found[stamp.uri], ImageRef(found[stamp.uri], stamp.uri))
    return Scan(len(stamps), n_new, tuple(refs.values()), tuple(failures))


def _read(stamps: Iterable[FileStamp], max_pixels: int) -> tuple[list[FoundImage], list[Failure]]:
    found: list[FoundImage] = []
    failed: list[Failure] = []
    with ThreadPoolExecutor(_READERS) as pool:
        for outcome in pool.map(lambda stamp: _read_one(stamp, max_pixels), stamps):
            if isinstance(outcome, Failure):
                failed.append(outcome)
            else:
                found.append(outcome)
            progress.report("scan", advance=1)
    return found, failed


def _read_one(stamp: FileStamp, max_pixels: int) -> FoundImage | Failure:
    try:
        data = read_bytes(stamp.uri)
        return FoundImage(
            image_id(data), upright_size(data, max_pixels=max_pixels, formats=BROWSER_FORMATS), stamp
        )
    except ImageError as error:
        return Failure(stamp.uri, str(error))
