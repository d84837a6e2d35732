"""A dataset as the tasks of another Label Studio: a JSON list that any project of the same classes imports.

``tasks.json`` has a task with one annotation for each image, ``label_config.xml`` the labeling interface. An
image is ``/data/local-files/?d=images/<image>``: a server whose document root for local files is the folder,
and a project with a local storage at its ``images``, show it. Masks are brush strokes, which are exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from detseg.files import replacing, write_whole
from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Format, Loss
from detseg.geometry.boxes import clip_box
from detseg.labelstudio.client import LOCAL_FILES
from detseg.labelstudio.codec import prediction_regions
from detseg.labelstudio.exported import CONFIG, TASKS, read_tasks
from detseg.labelstudio.json_body import encode_json
from detseg.labelstudio.label_config import taxonomy_to_config
from detseg.labelstudio.results import encode_asked
from detseg.labelstudio.shapes import ShapePolicy
from detseg.taxonomy import Taxonomy
from detseg.types import ImageId, Instance, ModelVersion

_EXACT = ShapePolicy("pairs", "brush", max_masks=1_000_000, max_bytes=1 << 40)
_MADE_BY = ModelVersion("detseg export")


def image_path(image: ImageLabels) -> str:
    return f"images/{image.name}"


def losses(image: ImageLabels) -> Mapping[Loss, int]:
    """Count what the page cannot show: boxes of stuff, and what has no area in the image."""
    lost: Counter[Loss] = Counter()
    for one in image.instances:
        lost["boxes of stuff left out"] += one.kind == "stuff" and one.box is not None
        if (shown := _shown(one, image)) is None:
            lost["regions without area left out"] += 1
        elif shown.box is not None:
            lost["boxes cut at the image's border"] += shown.box != one.box
    return +lost


def write(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Write a task for each image, in one pass over the images, and the labeling interface."""
    taxonomy = Taxonomy(contents.classes)
    tasks, config = folder / TASKS, folder / CONFIG
    with replacing(tasks, binary=True) as file:
        file.write(b"[")
        for position, image in enumerate(contents.images()):
            task = _encode_task(image, taxonomy, _url(image, contents))
            file.write((b",\n" if position else b"\n") + encode_json(task))
        file.write(b"\n]\n")
    write_whole(config, taxonomy_to_config(taxonomy, _EXACT))
    return (tasks, config)


def notes(splits: Mapping[str, int]) -> Sequence[str]:
    sides = sorted(filter(None, splits))
    return ('the split of an image is "split" in its task\'s data',) if sides else ()


LABEL_STUDIO = Format("label-studio", image_path, losses, write, notes=notes, read=read_tasks)


def _encode_task(image: ImageLabels, taxonomy: Taxonomy, url: str) -> dict[str, Any]:
    image_id = image.image or ImageId(image.name)
    shown = [one for instance in image.instances if (one := _shown(instance, image)) is not None]
    regions = prediction_regions(image_id, _MADE_BY, shown)
    encoded = encode_asked(regions, image.size, taxonomy, policy=_EXACT, where=image.name)
    data = {"image": url, "image_id": image_id, "width": image.size.width, "height": image.size.height}
    split = {"split": image.split} if image.split else {}
    return {"data": {**data, **split}, "annotations": [{"result": encoded.results}]}


def _shown(instance: Instance, image: ImageLabels) -> Instance | None:
    """The instance as far as the page can show it."""
    box = clip_box(instance.box, image.size) if instance.box is not None else None
    box = None if instance.kind == "stuff" else box
    mask = instance.mask if instance.mask is not None and instance.mask.area else None
    return replace(instance, box=box, mask=mask) if box or mask else None


def _url(image: ImageLabels, contents: Contents) -> str:
    """Return what the annotator's browser loads: the file in the folder, or where an image that is not there
    is."""
    if not contents.images_inside and "://" in image.uri and not image.uri.startswith("file://"):
        return image.uri
    return LOCAL_FILES + quote(image_path(image))
