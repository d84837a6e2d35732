"""Tasks as a Label Studio exports them (JSON), and as ``detseg dataset export`` writes them, read as labels.

``label_config.xml`` beside the tasks says which classes there are; without one they are the labels in the
results, all things. Of a task with several annotations the last one counts. Tasks without one are unlabeled
and skipped ones say nothing: both are left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from detseg.errors import FormatError
from detseg.files import read_json
from detseg.formats import ImageLabels
from detseg.formats.dataset import Opened, cut_box
from detseg.formats.folders import named_size, read_text, size_of
from detseg.labelstudio.interface import read_interface
from detseg.labelstudio.label_config import config_to_taxonomy
from detseg.labelstudio.regions import read_regions
from detseg.labelstudio.values import SHAPES, drawn_box
from detseg.taxonomy import Taxonomy, taxonomy_of_labels
from detseg.types import ImageId, Instance, Region, Size

TASKS = "tasks.json"
CONFIG = "label_config.xml"

Json = Mapping[str, Any]

_LABELED = {"labels", *(f"{shape}labels" for shape in SHAPES)}
"""The types of results that have a region's label."""


def read_tasks(path: Path) -> Opened:
    """Open a JSON file of tasks, or a folder with ``tasks.json`` or with one such file.

    Raises FormatError for what is none, and while images are read for a task or region that is wrong.
    """
    file = path if path.is_file() else _find_file(path)
    reader = _open(file, read_json(file))
    return Opened(reader.taxonomy.classes, reader.images, reader.left_out)


def has_tasks(data: Any) -> bool:
    """Tell whether JSON looks like the tasks of an export, or of an import."""
    return isinstance(data, list) and any(isinstance(one, dict) and "data" in one for one in data)


def read_predicted(file: Path, data: Any) -> tuple[ImageLabels, ...]:
    """The last prediction of each task in a file's ``data``; if no task has one, the last annotation.

    A region without a score has that of its prediction, else 1. Raises FormatError as ``read_tasks`` does.
    """
    predicted = [task.get("predictions") for task in data if isinstance(task, dict)]
    if any(isinstance(some, list) and any(isinstance(one, dict) for one in some) for some in predicted):
        data = [
            {**task, "annotations": task.get("predictions") or []} if isinstance(task, dict) else task
            for task in data
        ]
    return tuple(replace(_open(file, data), scored=True).images())


def _open(file: Path, tasks: Any) -> _Reader:
    if not isinstance(tasks, list) or not all(map(_is_task, tasks)):
        raise FormatError(
            f"{file} has no tasks of Label Studio: expected a list of objects with data and annotations, as "
            "its export JSON has them (not JSON-MIN)"
        )
    config = file.with_name(CONFIG)
    text = read_text(config) if config.exists() else None
    taxonomy = config_to_taxonomy(text) if text is not None else taxonomy_of_labels(sorted(_labels_in(tasks)))
    field = read_interface(text).image_field if text is not None else ""
    return _Reader(file, tasks, taxonomy, field or "image", Counter())


@dataclass(frozen=True, slots=True)
class _Reader:
    """``field`` is that of a task's data that names its image. ``scored``: what is read are predictions."""

    file: Path
    tasks: Sequence[Json]
    taxonomy: Taxonomy
    field: str
    left_out: Counter[str]
    scored: bool = False

    def images(self) -> Iterator[ImageLabels]:
        self.left_out.clear()
        for position, task in enumerate(self.tasks):
            where = f"{self.file}, task {task.get('id', position)}"
            annotations = task["annotations"]
            if not annotations:
                self.left_out["images without an annotation"] += 1
                continue
            self.left_out["annotations before the last of their image"] += len(annotations) - 1
            last = max(annotations, key=_age)
            if last.get("was_cancelled"):
                self.left_out["skipped images"] += 1
                continue
            yield self._image(task["data"], last, where)

    def _image(self, data: Json, annotation: Json, where: str) -> ImageLabels:
        url = data.get(self.field)
        if not isinstance(url, str) or not url:
            raise FormatError(f"{where}: its data names no image under {self.field!r}")
        place = _local_path(url)
        picture = self._find_picture(place)
        results = annotation.get("result")
        size = _stated_size(data, results, where) or (size_of(picture) if picture is not None else None)
        if size is None:
            raise FormatError(f"{where}: neither it nor a result says its image's size, and it is not there")
        read = read_regions(results, size, self.taxonomy, sent={}, where=where)
        if read.unread:
            raise FormatError(read.unread[0])
        self.left_out["results without a shape"] += read.n_answers
        if read.n_empty:
            self.left_out["regions without area"] += read.n_empty
        for drawn in _rectangles(results):
            cut_box(drawn_box(drawn, size), size, self.left_out)
        instances = tuple(region.instance for region in read.regions)
        if self.scored:
            instances = tuple(_scored(region, annotation) for region in read.regions)
        split, image = (
            value if isinstance(value := data.get(key), str) else "" for key in ("split", "image_id")
        )
        return ImageLabels(
            str(place).removeprefix("images/"),
            size,
            instances,
            split,
            str(picture.absolute()) if picture is not None else url if "://" in url else "",
            ImageId(image) if image.startswith("sha256:") else None,
        )

    def _find_picture(self, place: PurePosixPath) -> Path | None:
        """The image's file beside the tasks: by its path, or the end of that."""
        if ".." in place.parts:
            return None
        ends = (PurePosixPath(*place.parts[start:]) for start in range(len(place.parts)))
        tried = (self.file.parent / folder / end for end in ends for folder in ("", "images"))
        return next((one for one in tried if one.is_file()), None)


def _rectangles(results: Any) -> Iterator[Json]:
    """Yield the values of the rectangles on a task's first image, of results that were read."""
    for one in results or ():
        if one["type"].removesuffix("labels") == "rectangle" and one.get("item_index") in (None, 0):
            yield one["value"]


def _scored(region: Region, prediction: Json) -> Instance:
    """The region with its score, else that of its prediction, else 1."""
    results = [one for one in prediction.get("result") or () if isinstance(one, dict)]
    told: list[Any] = [one.get("score") for one in results if one.get("id") == region.id]
    numbers = [one for one in (*told, prediction.get("score")) if isinstance(one, int | float)]
    score = next((float(one) for one in numbers if 0 <= one <= 1), 1.0)
    return replace(region.instance, score=score)


def _local_path(url: str) -> PurePosixPath:
    """The path in the address of a task's image, below a server's document root where it is one of those.

    >>> [str(_local_path(url)) for url in ("/data/local-files/?d=images/a%20b.png", "s3://c/d/e.png?v=1")]
    ['images/a b.png', 'd/e.png']
    """
    parts = urlsplit(url)
    named = parse_qs(parts.query).get("d", [])
    path = named[0] if named else unquote(parts.path)
    return PurePosixPath(path.lstrip("/") or "image")


def _age(annotation: Json) -> tuple[str, int]:
    updated_at, number = annotation.get("updated_at"), annotation.get("id")
    return (updated_at if isinstance(updated_at, str) else "", number if isinstance(number, int) else 0)


def _stated_size(data: Json, results: Any, where: str) -> Size | None:
    """The size in the task's data, else the one that its results were drawn on."""
    drawn = [one for one in results if isinstance(one, dict)] if isinstance(results, list) else []
    pairs = [(data.get("width"), data.get("height"))]
    pairs += [(one.get("original_width"), one.get("original_height")) for one in drawn]
    sides = ((w, h) for w, h in pairs if type(w) is int and type(h) is int and min(w, h) > 0)
    return next((named_size(w, h, where) for w, h in sides), None)


def _labels_in(tasks: Sequence[Json]) -> set[str]:
    """The labels of all shapes."""
    results = (
        result
        for task in tasks
        for annotation in task["annotations"]
        if isinstance(annotation.get("result"), list)
        for result in annotation["result"]
        if isinstance(result, dict) and isinstance(result.get("value"), dict)
    )
    lists = (one["value"].get(one["type"]) for one in results if one.get("type") in _LABELED)
    return {
        label for labels in lists if isinstance(labels, list) for label in labels if isinstance(label, str)
    }


def _is_task(task: Any) -> bool:
    return (
        isinstance(task, dict)
        and isinstance(task.get("data"), dict)
        and isinstance(task.get("annotations"), list)
        and all(isinstance(one, dict) for one in task["annotations"])
    )


def _find_file(folder: Path) -> Path:
    found = [folder / TASKS] if (folder / TASKS).exists() else sorted(folder.glob("*.json"))
    if len(found) != 1:
        what = "has several JSON files, name one" if found else f"expected {TASKS}"
        raise FormatError(f"{folder} has no tasks of Label Studio: {what}")
    return found[0]
