"""The images that a source holds, by content. Only what is new or changed is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from detseg.catalog import Catalog, FoundImage, Quarantined
from detseg.paging import pages
from detseg.pipeline import progress
from detseg.pipeline.changed_sources import withdraw_overwritten
from detseg.pipeline.experiments.gold import schedule_gold
from detseg.pipeline.reading import ReadEntry, open_sources, read_entry, source_location
from detseg.types import Entry, Failure, ImageId, ImageRef

if TYPE_CHECKING:
    from detseg.config import Settings

_PAGE = 500  # entries looked up, read and recorded in one transaction
_READERS = 8  # most of their time goes to waiting, for a disk or a network


@dataclass(frozen=True, slots=True)
class Scan:
    """``images`` are the contents found, each once, in the order of the listing; ``n_new`` of them were
    never seen before. Files with equal bytes are one image, found at the first of their addresses. Gold
    images are among them when it is their turn; ``n_waiting`` are not, nor are the ``n_imported`` ones that
    an import labeled."""

    n_files: int
    n_new: int
    images: tuple[ImageRef, ...]
    failures: tuple[Failure, ...]
    n_waiting: int = 0
    n_imported: int = 0

    def shards(self, size: int) -> tuple[tuple[ImageRef, ...], ...]:
        """The images in groups of at most ``size``."""
        return tuple(pages(self.images, size))


@dataclass(slots=True)
class _Found:
    n_files: int = 0
    n_new: int = 0
    refs: dict[ImageId, ImageRef] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def scan(settings: Settings, catalog: Catalog, *, record: bool = True) -> Scan:
    """List the images of the source, read those that are new, and record them in the catalog.

    With ``record=False`` nothing is written. Files that cannot be used are in the ``failures`` of the answer.
    Raises SourceError if there is no source, FormatError for a bad file of gold images.
    """
    found = _Found()
    if record:
        withdraw_overwritten(settings, catalog)
    with open_sources(settings) as sources, ThreadPoolExecutor(_READERS) as pool:
        for page in pages(sources.entries(source_location(settings)), _PAGE):
            found.n_files += len(page)
            progress.report("scan", total=found.n_files)
            entries = [one for one in page if isinstance(one, Entry)]
            failed = [one for one in page if isinstance(one, Failure)]
            known = catalog.images.known(entries)
            read = partial(read_entry, sources)
            outcomes = list(pool.map(read, (entry for entry in entries if entry.uri not in known)))
            new = [one.outcome for one in outcomes if isinstance(one.outcome, FoundImage)]
            failed += [one.outcome for one in outcomes if isinstance(one.outcome, Failure)]
            if record:
                _forget_overwritten(catalog, outcomes)
            _record(catalog, new, failed, found=found, record=record)
            ids = known | {image.entry.uri: image.id for image in new}
            for entry in entries:
                if entry.uri in ids:
                    found.refs.setdefault(ids[entry.uri], ImageRef(ids[entry.uri], entry.uri))
            progress.report("scan", advance=len(page))
    failures = tuple(sorted(found.failures, key=lambda one: one.uri))
    unlabeled = _without_imported(settings.queue.project, catalog, found.refs)
    images = schedule_gold(settings, catalog, unlabeled)
    n_waiting, n_imported = len(unlabeled) - len(images), len(found.refs) - len(unlabeled)
    return Scan(found.n_files, found.n_new, images, failures, n_waiting, n_imported)


def _without_imported(title: str, catalog: Catalog, refs: Mapping[ImageId, ImageRef]) -> tuple[ImageRef, ...]:
    project = catalog.projects.latest(title)
    imported = catalog.imports.among(project.key, refs) if project is not None else ()
    return tuple(ref for image, ref in refs.items() if image not in imported)


def _forget_overwritten(catalog: Catalog, outcomes: Iterable[ReadEntry]) -> None:
    """Images whose places hold bytes now that are no image are not there any more."""
    failed = {one.uri: one.id for one in outcomes if one.id is not None and isinstance(one.outcome, Failure)}
    before = catalog.images.at(failed)
    catalog.images.forget(uri for uri, image in before.items() if image != failed[uri])


def _record(
    catalog: Catalog, new: list[FoundImage], failed: list[Failure], *, found: _Found, record: bool
) -> None:
    found.failures += failed
    if record:
        found.n_new += catalog.images.record(new)
        catalog.quarantine.record(Quarantined(one.uri, one.reason, "read") for one in failed)
    else:
        ids: Iterable[ImageId] = {image.id for image in new} - found.refs.keys()
        found.n_new += len(set(ids) - catalog.images.sizes(ids).keys())
