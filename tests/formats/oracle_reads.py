"""Run by the oracles' interpreter, see oracles.py: prints what others read in a folder, as JSON."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def read_with_datumaro(folder: Path) -> dict[str, object]:
    """What datumaro reads: folders are called by its formats. Masks are lists of their pixels."""
    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset

    items = {}
    # Of KITTI it reads several splits only where they meet the same classes in the same order.
    parts = sorted(folder.iterdir()) if folder.name == "kitti_detection" else [folder]
    for part in parts:
        if part.is_dir():
            items |= _read_items(Dataset.import_from(str(part), folder.name), AnnotationType)
    return items


def _read_items(dataset: Any, kinds: Any) -> dict[str, object]:
    labels = [one.name for one in dataset.categories()[kinds.label]]
    items: dict[str, object] = {}
    for item in dataset:
        found = []
        for one in item.annotations:
            shape = None
            if one.type == kinds.bbox:
                shape = [one.x, one.y, one.x + one.w, one.y + one.h]
            elif one.type == kinds.mask:
                shape = np.flatnonzero(np.asarray(one.image)).tolist()
            found.append([one.type.name, labels[one.label], one.group, shape])
        items[f"{item.subset}/{item.id}"] = found
    return items


def write_with_datumaro(folder: Path) -> None:
    """Writes Datumaro's dataset beside it, in each of the formats that it writes."""
    from datumaro.components.dataset import Dataset

    dataset = Dataset.import_from(str(folder), "datumaro")
    for name in ("datumaro", "open_images", "kitti_detection", "cityscapes"):
        dataset.export(str(folder.parent / f"written_{name}"), name, save_media=True)


def read_with_cityscapes(folder: Path) -> dict[str, object]:
    """The pixels of the objects of each class, as Cityscapes' evaluation reads instance maps."""
    from cityscapesscripts.evaluation.instances2dict import instances2dict

    paths = sorted(map(str, folder.rglob("*_gtFine_instanceIds.png")))
    found = instances2dict(paths, False)
    return {
        Path(path).name: {
            label: sorted(one["pixelCount"] for one in objects if one["labelID"] >= 0)
            for label, objects in by_label.items()
        }
        for path, by_label in found.items()
    }


def draw_with_cityscapes(folder: Path) -> dict[str, list[list[int]]]:
    """The label of each pixel, as Cityscapes' own scripts draw the polygons."""
    from cityscapesscripts.preparation.json2labelImg import json2labelImg
    from PIL import Image

    drawn = {}
    for path in sorted(folder.rglob("*_gtFine_polygons.json")):
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            json2labelImg(str(path), file.name, "ids")
            drawn[path.name] = np.asarray(Image.open(file.name)).tolist()
    return drawn


def main(question: str, *folders: str) -> None:
    logging.disable(logging.CRITICAL)  # stdout has the answers alone, and stderr what went wrong
    answers: object = None
    if question == "datumaro":
        answers = {Path(folder).name: read_with_datumaro(Path(folder)) for folder in folders}
    elif question == "write":
        write_with_datumaro(Path(folders[0]))
    elif question == "cityscapes":
        answers = {
            "read": read_with_cityscapes(Path(folders[0])),
            "drawn": draw_with_cityscapes(Path(folders[0])),
        }
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
