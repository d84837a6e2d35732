"""Predictions that somebody's own program made, read from files: ``results:PATH``. Knows no torch.

A file is what ``detseg predict`` writes, a COCO dataset whose annotations may have scores, or COCO results
with the dataset that they are on: ``results:found.json@instances.json``. A folder has YOLO's text files, with
or without a score at the end of a row (``results:labels@data.yaml`` names the classes), or Pascal VOC's XML
files. Rooms below read more: tasks of Label Studio. Images meet by file name or path.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from detseg.errors import FormatError, ImageError, ModelError
from detseg.files import open_regular, read_json
from detseg.formats import ImageLabels
from detseg.formats.coco import CocoLabels, labels_by_name, read_coco_labels, read_instances
from detseg.formats.coco_entries import FileNames, file_names
from detseg.formats.coco_results import read_coco_files
from detseg.formats.folders import SUFFIXES, read_text
from detseg.formats.predictions import is_predictions, read_predictions
from detseg.formats.voc_files import read_voc
from detseg.formats.yolo_files import read_names, read_rows
from detseg.models.labels import is_placeholder
from detseg.models.predictor import Abilities, PredictorOptions, named_version, ordered
from detseg.taxonomy import Taxonomy, taxonomy_of_labels
from detseg.types import DecodedImage, ImageId, Instance, ModelVersion, SeenBy

PREFIX = "results:"
"""The text that a user writes before the path of a file of predictions."""

_SEPARATOR = "@"
_REVISION = 1
_MOST_NUMBERS = 10_000
"""Classes without names that a folder of YOLO's may number."""

_LABELS = frozenset((".txt", ".xml", ".yaml", ".yml", ".png"))
_RESULT_OPTIONS = ("box_threshold", "mask_threshold", "class_box_thresholds", "class_mask_thresholds")


def is_recorded(name: str | None) -> bool:
    """Tell whether a name stands for a file of predictions."""
    return bool(name and name.startswith(PREFIX))


def recorded_files(name: str) -> tuple[Path, ...]:
    """The file or folder of predictions that is named, and the dataset that it is on, if one is named too.

    >>> [str(path) for path in recorded_files("results:found.json@truth/instances.json")]
    ['found.json', 'truth/instances.json']
    """
    return tuple(map(Path, name.removeprefix(PREFIX).split(_SEPARATOR, 1)))


ReadOthers = Callable[[Path, Any], Sequence[ImageLabels] | None]
"""A reader of what JSON from a file means to rooms below; None for what they do not know either."""


def load_recorded(
    name: str,
    *,
    options: PredictorOptions,
    taxonomy: Taxonomy | None,
    read_others: ReadOthers = lambda _path, _data: None,
) -> RecordedPredictor:
    """Read the predictions that ``results:PATH`` names. ModelError for a file that is none."""
    files = recorded_files(name)
    try:
        contents = _read(files, read_others)
        digests = [_digest(path) for path in files]
    except (FormatError, OSError) as error:
        raise ModelError(f"{name} cannot be read: {error}") from error
    labels = sorted(contents.labels)
    chosen = taxonomy or taxonomy_of_labels([one for one in labels if not is_placeholder(one)])
    if options.strict and (unknown := [one for one in labels if chosen.find(one) is None]):
        raise ModelError(
            f"{name}: the taxonomy has no class for {', '.join(unknown[:8])}: add them to [[classes]]"
        )
    facts = {
        "revision": _REVISION,
        "files": digests,
        "options": {key: value for key, value in asdict(options).items() if key in _RESULT_OPTIONS},
        "classes": [(cls.name, cls.kind, cls.aliases) for cls in chosen.classes],
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return RecordedPredictor(name, contents, chosen, options, named_version(files[0].stem, digest))


@dataclass
class RecordedPredictor(Abilities):
    """Answers what a file says. An image that the file lacks, or has in another size, is an ImageError."""

    detector: str
    contents: Contents
    taxonomy: Taxonomy
    options: PredictorOptions
    version: ModelVersion
    unmapped: Counter[str] = field(default_factory=Counter)

    @property
    def segmenter(self) -> str:
        return self.detector

    @property
    def files(self) -> tuple[str, ...]:
        return ()  # beside those that the settings name

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        """See ``Predictor.predict``."""
        answers, unmapped = [], Counter[str]()
        for image in batch:
            found = list(self.contents.find(image))
            classes = [self.taxonomy.find(one.label) for one in found]
            unmapped.update(one.label for one, cls in zip(found, classes, strict=True) if cls is None)
            named = [
                _as_seen(
                    replace(one, label=cls.name, kind=cls.kind, box=one.box if cls.kind == "thing" else None)
                )
                for one, cls in zip(found, classes, strict=True)
                if cls is not None and (cls.kind == "thing" or one.mask is not None)
            ]
            answers.append(ordered([one for one in named if self._is_clear(one)]))
        self.unmapped.update(unmapped)
        return tuple(answers)

    def _is_clear(self, instance: Instance) -> bool:
        """Tell whether it scores enough: as a box where it has one, else as a mask."""
        chosen = self.options
        lowest, of_classes = (
            (chosen.mask_threshold, chosen.class_mask_thresholds)
            if instance.box is None
            else (chosen.box_threshold, chosen.class_box_thresholds)
        )
        return (instance.score or 0.0) >= of_classes.get(instance.label, lowest)


def _as_seen(instance: Instance) -> Instance:
    seen_by: SeenBy = "detector" if instance.mask is None else "segmenter" if instance.box is None else "both"
    return replace(instance, seen_by=seen_by, score=1.0 if instance.score is None else instance.score)


class Contents(Protocol):
    """The predictions in files, image by image."""

    @property
    def labels(self) -> frozenset[str]:
        """All labels that are in them."""

    def find(self, image: DecodedImage) -> Sequence[Instance]:
        """What they say about an image. ImageError for one that they lack, or have otherwise."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """Images that are in memory, by the numbers that their ids, or else their names, lead to."""

    path: Path
    labels: frozenset[str]
    names: FileNames
    images: Sequence[ImageLabels]
    ids: Mapping[ImageId, int]

    def find(self, image: DecodedImage) -> Sequence[Instance]:
        number = self.ids.get(image.ref.id)
        found = self.images[_number(self.names, image, self.path) if number is None else number]
        if found.size != image.size:
            raise ImageError(f"is {image.size} (upright), and {found.size} in {self.path}")
        return found.instances


@dataclass(frozen=True, slots=True)
class _Coco:
    """The entries of a COCO file, whose shapes are read when an image is asked for."""

    path: Path
    labels: frozenset[str]
    names: FileNames
    images: Mapping[int, str]
    file: CocoLabels

    def find(self, image: DecodedImage) -> Sequence[Instance]:
        name = self.images[_number(self.names, image, self.path)]
        try:
            return tuple(read_instances(self.file, name, image.size, scored=True))
        except FormatError as error:
            raise ImageError(f"is not as {error}") from error


@dataclass(frozen=True, slots=True)
class _YoloRows:
    """YOLO's text files, which are read when an image is asked for: its size says where a share of it is."""

    path: Path
    labels: frozenset[str]
    names: FileNames
    files: Sequence[Path | None]
    """None for an image on which nothing was found"""
    classes: Sequence[str]

    def find(self, image: DecodedImage) -> Sequence[Instance]:
        file = self.files[_number(self.names, image, self.path)]
        if file is None:
            return ()
        try:
            return read_rows(file, self.classes, image.size)
        except FormatError as error:
            raise ImageError(f"cannot be predicted: {error}") from error


def _number(names: FileNames, image: DecodedImage, path: Path) -> int:
    """The number of an image, by its path, or its path without its ending."""
    uri = image.ref.uri
    number = names.find(uri)
    if number is None:
        number = names.find(str(PurePosixPath(uri).with_suffix("")) if PurePosixPath(uri).name else uri)
    if number is None:
        raise ImageError(f"is not in {path}: name it there by its file name or path, once")
    return number


def _read(files: tuple[Path, ...], read_others: ReadOthers) -> Contents:
    path = files[0]
    if path.is_dir():
        is_voc = next(path.glob("**/Annotations"), None) is not None
        return _listed(tuple(read_voc(path).images()), path) if is_voc else _read_rows(path, files[1:])
    if len(files) == 2:
        return _by_name(_on_dataset(*files), path)
    data = read_json(path)
    if is_predictions(data):
        return _listed(tuple(read_predictions(data, path)), path)
    if (others := read_others(path, data)) is not None:
        return _listed(others, path)
    if isinstance(data, list):
        raise FormatError(
            f"{path} is a list of COCO results, whose images are numbers: name the dataset that has "
            f"these, as {PREFIX}{path}{_SEPARATOR}instances.json"
        )
    return _by_name(read_coco_labels(path), path)


def _listed(images: Sequence[ImageLabels], path: Path) -> Contents:
    names = file_names([{"id": number, "file_name": image.name} for number, image in enumerate(images)])
    labels = frozenset(one.label for image in images for one in image.instances)
    ids = {image.image: number for number, image in enumerate(images) if image.image is not None}
    return _Listed(path, labels, names, images, ids)


def _read_rows(folder: Path, named: Sequence[Path]) -> Contents:
    """A folder of text files, or one with them in ``labels``. The first row of each is looked at.

    Ultralytics writes none of an image on which it found nothing, but saves every picture beside ``labels``.
    """
    below = folder / "labels" if (folder / "labels").is_dir() else folder
    files = sorted(path for path in below.rglob("*.txt") if path.name != "classes.txt")
    if not files:
        raise FormatError(f"{folder} has neither YOLO's text files nor VOC's Annotations/*.xml")
    data = next(iter([*named, *sorted(folder.glob("*.yaml")), *sorted(folder.glob("*.yml"))]), None)
    classes = read_names(data) if data is not None else tuple(map(str, range(_MOST_NUMBERS)))
    used = frozenset(classes) if data is not None else frozenset(classes[n] for n in _class_numbers(files))
    stems = [path.relative_to(below).with_suffix("").as_posix() for path in files]
    beside = below.parent.iterdir() if below.name == "labels" else ()
    pictures = {path.stem for path in beside if path.suffix.lower() in SUFFIXES and path.is_file()}
    stems += sorted(pictures.difference(stems))
    names = file_names([{"id": number, "file_name": stem} for number, stem in enumerate(stems)])
    return _YoloRows(folder, used, names, [*files, *[None] * (len(stems) - len(files))], classes)


def _class_numbers(files: Iterable[Path]) -> set[int]:
    rows = (row.split(maxsplit=1)[0] for path in files for row in read_text(path).splitlines() if row.strip())
    return {number for row in set(rows) if row.isdecimal() and (number := int(row)) < _MOST_NUMBERS}


def _by_name(file: CocoLabels, path: Path) -> Contents:
    names = file_names(list(file.images.values()))
    images = {int(image["id"]): name for name, image in file.images.items()}
    return _Coco(path, frozenset(file.labels.values()), names, images, file)


def _on_dataset(results: Path, dataset: Path) -> CocoLabels:
    """COCO results in the place of the annotations of the dataset that they are on."""
    files = read_coco_files(dataset, results, "bbox")
    annotations: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in files.results:
        annotations[entry["image_id"]].append({"iscrowd": 0, **entry})
    return replace(labels_by_name(files.truth, dataset), path=results, annotations=annotations)


def _digest(path: Path) -> str:
    """The SHA-256 of a file; of a folder, that of all files of labels below, with their paths."""
    hashed = hashlib.sha256()
    files = [path]
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.suffix in _LABELS and one.is_file())
    for one in files:
        if path.is_dir():
            hashed.update(f"{one.relative_to(path).as_posix()} {one.stat().st_size}\n".encode())
        with open_regular(one) as file:
            while data := file.read(1 << 20):
                hashed.update(data)
    return hashed.hexdigest()
