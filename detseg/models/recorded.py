"""Predictions that somebody's own program made, read from a file: ``results:PATH``. Knows no torch.

The file is what ``detseg predict`` writes, a COCO dataset whose annotations may have scores, or COCO results
with the dataset that they are on: ``results:found.json@instances.json``. Images meet by file name or path.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from detseg.errors import FormatError, ImageError, ModelError
from detseg.files import open_regular, read_json
from detseg.formats import ImageLabels
from detseg.formats.coco import CocoLabels, read_coco_labels, read_instances
from detseg.formats.coco_entries import FileNames, file_names
from detseg.formats.coco_results import read_coco_files
from detseg.formats.predictions import is_predictions, read_predictions
from detseg.models.labels import is_placeholder
from detseg.models.predictor import Abilities, PredictorOptions, named_version, ordered
from detseg.taxonomy import Taxonomy, taxonomy_of_labels
from detseg.types import DecodedImage, Instance, ModelVersion, SeenBy

PREFIX = "results:"
"""The text that a user writes before the path of a file of predictions."""

_SEPARATOR = "@"
_REVISION = 1
_RESULT_OPTIONS = ("box_threshold", "mask_threshold", "class_box_thresholds", "class_mask_thresholds")


def is_recorded(name: str | None) -> bool:
    """Tell whether a name stands for a file of predictions."""
    return bool(name and name.startswith(PREFIX))


def recorded_files(name: str) -> tuple[Path, ...]:
    """The file of predictions that is named, and the dataset that it is on, if one is named too.

    >>> [str(path) for path in recorded_files("results:found.json@truth/instances.json")]
    ['found.json', 'truth/instances.json']
    """
    return tuple(map(Path, name.removeprefix(PREFIX).split(_SEPARATOR, 1)))


def load_recorded(name: str, *, options: PredictorOptions, taxonomy: Taxonomy | None) -> RecordedPredictor:
    """Read the predictions that ``results:PATH`` names. ModelError for a file that is none."""
    files = recorded_files(name)
    try:
        contents = _read(files)
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
    contents: _Contents
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


@dataclass(frozen=True, slots=True)
class _Contents:
    """The content of a file, by the numbers that its images' names lead to."""

    path: Path
    labels: frozenset[str]
    names: FileNames
    images: Mapping[int, ImageLabels | str]
    coco: CocoLabels | None = None

    def find(self, image: DecodedImage) -> Iterable[Instance]:
        number = self.names.find(image.ref.uri)
        if number is None:
            raise ImageError(f"is not in {self.path}: name it there by its file name or path, once")
        found = self.images[number]
        try:
            if self.coco is not None:
                return tuple(read_instances(self.coco, str(found), image.size, scored=True))
        except FormatError as error:
            raise ImageError(f"is not as {error}") from error
        assert isinstance(found, ImageLabels)
        if found.size != image.size:
            raise ImageError(f"is {image.size} (upright), and {found.size} in {self.path}")
        return found.instances


def _read(files: tuple[Path, ...]) -> _Contents:
    if len(files) == 2:
        return _coco_contents(_on_dataset(*files), files[0])
    data = read_json(files[0])
    if is_predictions(data):
        images = dict(enumerate(read_predictions(data, files[0])))
        names = file_names([{"id": number, "file_name": image.name} for number, image in images.items()])
        labels = frozenset(one.label for image in images.values() for one in image.instances)
        return _Contents(files[0], labels, names, images)
    if isinstance(data, list):
        raise FormatError(
            f"{files[0]} is a list of COCO results, whose images are numbers: name the dataset that has "
            f"these, as {PREFIX}{files[0]}{_SEPARATOR}instances.json"
        )
    return _coco_contents(read_coco_labels(files[0]), files[0])


def _coco_contents(file: CocoLabels, path: Path) -> _Contents:
    names = file_names(list(file.images.values()))
    images = {int(image["id"]): name for name, image in file.images.items()}
    return _Contents(path, frozenset(file.labels.values()), names, images, file)


def _on_dataset(results: Path, dataset: Path) -> CocoLabels:
    """COCO results in the place of the annotations of the dataset that they are on."""
    annotations: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in read_coco_files(dataset, results, "bbox").results:
        annotations[entry["image_id"]].append({"iscrowd": 0, **entry})
    return replace(read_coco_labels(dataset), path=results, annotations=annotations)


def _digest(path: Path) -> str:
    hashed = hashlib.sha256()
    with open_regular(path) as file:
        while data := file.read(1 << 20):
            hashed.update(data)
    return hashed.hexdigest()
