"""Datasets that people already have, out of their files into the catalog: labels, known truth, predictions.

Labels become reviews by ``import:NAME``, truth becomes gold, predictions wait for the push of
``results:PATH``. Doing it again changes nothing, and what came under a name can be taken back.
"""

from __future__ import annotations

import gc
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from detseg.catalog import IMPORTED_BY, FoundImage, Project
from detseg.catalog.gold import GOLD_AUTHOR
from detseg.errors import ConfigError, FormatError, ImageError, SourceError
from detseg.escaping import has_controls
from detseg.images import image_id
from detseg.labelstudio.label_config import config_to_taxonomy, taxonomy_to_config
from detseg.models.recorded import PREFIX
from detseg.paging import pages
from detseg.pipeline import predictors, progress, shards
from detseg.pipeline.experiments.gold import as_regions, count_late_truth
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.formats import find_format, readable_formats
from detseg.pipeline.near_duplicates import read_features
from detseg.pipeline.predictors import predictor_settings
from detseg.pipeline.reading import open_sources, read_entry
from detseg.pipeline.scan import scan
from detseg.pipeline.workspace import opened_catalog
from detseg.sources.folder import is_inside, stat_entry
from detseg.taxonomy import Taxonomy
from detseg.types import (
    Annotation,
    Entry,
    Failure,
    ImageFeatures,
    ImageId,
    ImageRef,
    ModelVersion,
    Size,
    State,
)

if TYPE_CHECKING:
    from detseg.catalog import Catalog
    from detseg.config import Settings
    from detseg.formats import ImageLabels
    from detseg.formats.dataset import Opened
    from detseg.sources.registry import Sources

ImportAs = Literal["labels", "gold", "predictions"]

_SCORED = ("coco", "yolo", "yolo-segment", "voc", "label-studio")
"""The formats that ``results:PATH`` reads."""

_HAS_TRUTH = "has its truth from the file of experiments.gold, which goes before imports: change it there"

_READERS = 8  # most of their time goes to waiting, for a disk or a network


@dataclass(frozen=True, slots=True)
class Import:
    """A dataset that is to be imported: its file or folder, what it is, and what it becomes.

    ``images`` is a folder in which its images are looked for, besides the places beside the file. ``name`` is
    what the import is called, by default as the file or folder is.
    """

    path: Path
    format_name: str
    as_: ImportAs
    images: Path | None = None
    name: str = ""

    @property
    def title(self) -> str:
        return self.name or self.path.absolute().stem


@dataclass(slots=True)
class Imported:
    """The outcome of an import: images with ``regions``, of which ``new`` ones and ``updated`` ones were not
    there as they are now.

    ``late`` is the number of images whose truth came when they were tasks already, where it measures nobody.
    ``unmatched`` are the file's names of images that are nowhere; ``failures`` those that are there, and what
    is wrong with them. ``left_out`` counts regions that were not taken, by reason.
    """

    name: str
    as_: ImportAs
    images: int = 0
    regions: int = 0
    new: int = 0
    updated: int = 0
    late: int = 0
    unmatched: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@contextmanager
def _rarely_collecting_garbage() -> Iterator[None]:
    """Let Python look for cycles of objects 70 times less often.

    An import makes millions of objects and no cycles, beside the index of the whole file, which each full
    collection goes through: a sixth of its time and more.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


@_rarely_collecting_garbage()
def import_dataset(
    settings: Settings, chosen: Import, *, warn: Callable[[str], None] = lambda _: None
) -> Imported:
    """Import a dataset's labels, truth or predictions into the catalog of the settings.

    Images meet by their bytes where their files are at hand, else by path or file name among those of the
    source. Raises FormatError for what cannot be read, ConfigError for a class that the project lacks.
    """
    opened = _open(chosen)
    done = Imported(chosen.title, chosen.as_)
    with opened_catalog(settings) as catalog, open_sources(settings) as sources:
        finder = _Finder(settings, catalog, sources, chosen, opened, warn)
        if chosen.as_ == "predictions":
            _import_predictions(finder, opened, done)
        else:
            _import_truth(finder, opened, done)
    done.left_out.update({what: n for what, n in opened.left_out.items() if n})
    return done


def forget_import(settings: Settings, name: str) -> int:
    """Take back the labels and the truth that came under a name; how many images had them."""
    with opened_catalog(settings) as catalog:
        n_removed = catalog.gold.remove(name)
        project = catalog.projects.latest(settings.queue.project)
        if project is not None:
            with catalog.locks.hold(f"queue {settings.queue.project}"):
                n_removed += catalog.imports.remove(project.key, name)
    if not n_removed:
        raise ConfigError(f"nothing was imported under the name {name!r} into {settings.queue.project!r}")
    return n_removed


def _open(chosen: Import) -> Opened:
    read = find_format(chosen.format_name).read
    if read is None:
        raise ConfigError(
            f"nothing here reads {chosen.format_name}: import one of {', '.join(readable_formats())}"
        )
    if chosen.as_ == "predictions" and chosen.format_name not in _SCORED:
        raise ConfigError(
            f"predictions are read from {', '.join(_SCORED)}, not from {chosen.format_name}: make one of "
            f"them with `detseg convert {chosen.path} --from {chosen.format_name} --to coco`"
        )
    if not chosen.path.exists():
        raise FormatError(f"{chosen.path} does not exist: name a file or folder of {chosen.format_name}")
    if chosen.images is not None and not chosen.images.is_dir():
        raise ConfigError(f"{chosen.images} is no folder: name the one that has the images")
    if has_controls(chosen.title) or not chosen.title.strip():
        raise ConfigError(f"an import cannot be called {chosen.title!r}: give it another --name")
    return read(chosen.path)


def _import_truth(finder: _Finder, opened: Opened, done: Imported) -> None:
    """Record labels or gold, a page at a time: what a killed run left is the beginning of the next one's."""
    settings, catalog, chosen = finder.settings, finder.catalog, finder.chosen
    declared = settings.declared_taxonomy
    project = _find_project(settings.queue.project, catalog, declared or opened.taxonomy)
    taxonomy = declared or config_to_taxonomy(project.label_config)
    _check_classes(chosen, opened, taxonomy)
    author = GOLD_AUTHOR if chosen.as_ == "gold" else IMPORTED_BY + done.name
    keeps = chosen.as_ == "gold" and settings.experiments.gold is not None
    of_file = catalog.gold.of_file() if keeps else frozenset()
    seen: set[ImageId] = set()
    for page in pages(opened.images()):
        labels = []
        for label, image, size in finder.met(page, done):
            if image in seen:
                done.failures.append(Failure(label.name, "is there twice: the first one counts"))
                continue
            seen.add(image)
            if image in of_file:
                done.failures.append(Failure(label.name, _HAS_TRUTH))
                continue
            regions = as_regions(label.instances, image, ModelVersion(author), taxonomy)
            if left := len(label.instances) - len(regions):
                done.left_out["surfaces without a mask"] += left
            state: State = "labeled" if regions else "empty"
            labels.append(Annotation(image, size, author, state, regions))
        failpoint("import.before_page")
        if chosen.as_ == "gold":
            counts = catalog.gold.record(labels, done.name)
            done.late += count_late_truth(catalog, project.key, [one.image for one in labels])
        else:
            counts = catalog.imports.record(project.key, done.name, labels)
        done.new, done.updated = done.new + counts.new, done.updated + counts.updated
        done.images += len(labels)
        done.regions += sum(len(one.regions) for one in labels)
        failpoint("import.after_page")
        progress.report("import", advance=len(page))


def _import_predictions(finder: _Finder, opened: Opened, done: Imported) -> None:
    """Record what ``preannotate --detector results:PATH`` would predict of the images of the source."""
    path = str(finder.chosen.path.absolute())
    named = finder.settings.updated(model__detector=PREFIX + path, model__segmenter="")
    predictor = predictors.load(predictor_settings(named))
    done.name = predictor.version
    in_source = {ref.id: ref for ref in finder.scanned}
    for page in pages(opened.images()):
        refs: dict[ImageId, ImageRef] = {}
        for label, image, _ in finder.met(page, done):
            if image in in_source:
                refs[image] = in_source[image]
            else:
                done.failures.append(Failure(label.name, "is not in the source, or labeled already"))
        report = shards.predict_shard(named, finder.catalog, predictor, tuple(refs.values()))
        done.failures += report.failures
        failed = {one.uri for one in report.failures}
        done.new += len(report.predicted)
        there = [image for image, ref in refs.items() if ref.uri not in failed]
        done.images += len(there)
        found = finder.catalog.predictions.read(there, predictor.version)
        done.regions += sum(len(one.regions) for one in found)
        done.left_out.update({f"class {label!r}": n for label, n in report.unmapped.items()})
        progress.report("import", advance=len(page))


def _find_project(title: str, catalog: Catalog, taxonomy: Taxonomy) -> Project:
    """The project of that title. Where there is none, one of these classes, which a push takes to its server
    later."""
    found = catalog.projects.latest(title)
    if found is not None:
        return found
    label_config = taxonomy_to_config(taxonomy)
    with catalog.locks.hold(f"queue {title}"):
        return catalog.projects.latest(title) or catalog.projects.record_unserved(
            title, label_config=label_config
        )


def _check_classes(chosen: Import, opened: Opened, taxonomy: Taxonomy) -> None:
    unknown = [cls.name for cls in opened.classes if cls.name not in taxonomy]
    if unknown:
        raise ConfigError(
            f"{chosen.path}: the project has no class for {', '.join(map(repr, unknown[:5]))} (it has "
            f"{', '.join(taxonomy.names)}): add it to [[classes]], or as an alias of one of them"
        )


@dataclass
class _Finder:
    """Finds the images that a file speaks of: by their bytes where they are at hand, else by name."""

    settings: Settings
    catalog: Catalog
    sources: Sources
    chosen: Import
    opened: Opened
    warn: Callable[[str], None]

    def met(self, page: Sequence[ImageLabels], done: Imported) -> Iterator[tuple[ImageLabels, ImageId, Size]]:
        """Yield the images of a page that are there, with what they are; the others go into ``done``."""
        paths = [self._local_path(label) for label in page]
        with ThreadPoolExecutor(_READERS) as pool:
            at_hand = self._read_local(pool, [path for path in paths if path is not None])
            read = [None if path is None else at_hand[path] for path in paths]
            self.catalog.images.record(one for one in read if isinstance(one, FoundImage))
            found = [one or self._find_known(label) for label, one in zip(page, read, strict=True)]
            self._record_features(pool, {_id(one): path for one, path in zip(found, paths, strict=True)})
        sizes = self.catalog.images.sizes(image for one in found if (image := _id(one)))
        for label, one in zip(page, found, strict=True):
            image = _id(one)
            size = sizes.get(image) if image is not None else None
            if isinstance(one, Failure):
                done.failures.append(Failure(label.name, one.reason))
            elif image is None or size is None:
                done.unmatched.append(label.name)
            elif size != label.size:
                done.failures.append(
                    Failure(label.name, f"is {size} (upright), and {label.size} in the file")
                )
            else:
                yield label, image, size

    @cached_property
    def scanned(self) -> tuple[ImageRef, ...]:
        """The images of the source, listed when first asked for; none where there is no source."""
        try:
            # of all of them, also of gold ones, which a push keeps back, and before any truth is known
            return scan(self.settings.updated(experiments__gold_share=0.0), self.catalog).images
        except SourceError as error:
            self.warn(f"images are met among those that the catalog knows, for {error}")
            return ()

    @cached_property
    def _by_name(self) -> Mapping[str, Sequence[tuple[str, ImageId]]]:
        """The places of all known images by their last part."""
        _ = self.scanned
        by_name: defaultdict[str, list[tuple[str, ImageId]]] = defaultdict(list)
        for uri, image in self.catalog.images.places():
            by_name[uri.rpartition("/")[2]].append((uri, image))
        return by_name

    @cached_property
    def _places(self) -> Mapping[ImageId, str]:
        """A place of each known image: that of the source, where it is there."""
        known = {image: uri for uri, image in self.catalog.images.places()}
        return known | {one.id: one.uri for one in self.scanned}

    def _record_features(self, pool: Executor, found: Mapping[ImageId | None, Path | None]) -> None:
        """Record the fingerprints of images that can be read, here or at their source: no model sees them."""
        missing = self.catalog.features.missing(image for image in found if image is not None)
        places = [str(found[image] or self._places.get(image, "")) for image in missing]
        features = pool.map(self._fingerprint, missing, places)
        self.catalog.features.record(one for one in features if one is not None)

    def _fingerprint(self, image: ImageId, place: str) -> ImageFeatures | None:
        """As ``read_features``; QA says of an image that cannot be decoded so when it draws it."""
        return read_features(self.sources, image, place)

    def _read_local(
        self, pool: Executor, paths: Sequence[Path]
    ) -> dict[Path, FoundImage | ImageId | Failure]:
        """Read the files that are at hand, unless they are as they were: what they are, or what is wrong."""
        listed = dict(zip(paths, pool.map(stat_entry, map(str, paths)), strict=True))
        known = self.catalog.images.known(one for one in listed.values() if isinstance(one, Entry))

        def look(entry: Entry | Failure) -> FoundImage | ImageId | Failure:
            if isinstance(entry, Failure):
                return entry
            return known.get(entry.uri) or read_entry(self.sources, entry).outcome

        return dict(zip(listed, pool.map(look, listed.values()), strict=True))

    def _local_path(self, label: ImageLabels) -> Path | None:
        """Where the image's file is: in the folder that was named, or beside the dataset's file.

        A name that leads out of these is no file of theirs, whoever wrote it.
        """
        if self.chosen.images is not None:
            root = self.chosen.images
            below = [root / label.name, root / PurePosixPath(label.name).name]
        else:
            root = self._root
            below = [Path(label.uri)] if label.uri and "://" not in label.uri else []
        for path in below:
            if path.is_file() and is_inside(os.path.realpath(path), os.path.realpath(root)):
                return path.absolute()
        return None

    @cached_property
    def _root(self) -> Path:
        """The folder of the dataset: of COCO's files, the one above ``annotations``."""
        path = self.chosen.path.absolute()
        folder = path if path.is_dir() else path.parent
        return folder.parent if folder.name == "annotations" else folder

    def _find_known(self, label: ImageLabels) -> ImageId | Failure | None:
        """Find a known image by what the file says it is, or is called."""
        image = label.image
        if self.opened.read is not None:  # it is inside of the dataset's files
            try:
                image = image_id(self.opened.read(label))
            except ImageError as error:
                return Failure(label.name, str(error))
            _ = self.scanned
            return image if self.catalog.images.sizes([image]) else None
        if image is not None and self.catalog.images.sizes([image]):
            return image
        pure = PurePosixPath(label.name.replace("\\", "/"))
        candidates = self._by_name.get(pure.name, ())
        ending = f"/{str(pure).lstrip('/')}"
        exact = {image for uri, image in candidates if uri.endswith(ending) or uri == label.name}
        images = exact or {image for _, image in candidates}
        if len(images) > 1:
            reason = f"is the name of {len(images)} images: give its path, or the images with --images"
            return Failure(label.name, reason)
        return next(iter(images), None)


def _id(found: FoundImage | ImageId | Failure | None) -> ImageId | None:
    """The id of what was found; None for what was not."""
    if isinstance(found, FoundImage):
        return found.id
    return None if isinstance(found, Failure) else found
