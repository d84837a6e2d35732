"""A folder of images, and a catalog in which people have labeled them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from detseg.catalog import Catalog, FoundImage, Project, ReviewRecord
from detseg.config import ClassSettings, Settings
from detseg.geometry.masks import bitmap_to_mask
from detseg.pipeline.workspace import opened_catalog
from detseg.types import (
    Annotation,
    Box,
    Entry,
    ImageId,
    Instance,
    Mask,
    ModelVersion,
    Region,
    RegionId,
    Size,
    State,
)

SIZE = Size(60, 40)
VERSION = ModelVersion("fixed@00000001")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLASSES = (ClassSettings(name="bolt"), ClassSettings(name="nut"), ClassSettings(name="belt", kind="stuff"))


def disc(x: float, y: float, radius: float, size: Size = SIZE) -> Mask:
    """A filled circle with a hole in its middle."""
    rows, columns = np.mgrid[: size.height, : size.width]
    distance = np.hypot(columns - x, rows - y)
    return bitmap_to_mask((distance < radius) & (distance >= radius / 3))


def bolt(name: str, x0: float = 2, *, label: str = "bolt") -> Region:
    return Region(RegionId(name), "model", Instance(label, "thing", Box(x0, 3, x0 + 10, 20.5)))


def ring(name: str, x: float = 30, *, label: str = "nut") -> Region:
    return Region(RegionId(name), "person", Instance(label, "thing", mask=disc(x, 20, 9)))


def belt(name: str) -> Region:
    bitmap = np.zeros((SIZE.height, SIZE.width), dtype=bool)
    bitmap[30:] = True
    return Region(RegionId(name), "model", Instance("belt", "stuff", mask=bitmap_to_mask(bitmap)))


@dataclass
class LabeledProject:
    """A project whose images are files of a folder. Images are named by their numbers."""

    settings: Settings
    images: dict[int, FoundImage] = field(default_factory=dict)
    n_reviews: int = 0

    def add(self, numbers: Iterable[int], *, metadata: str = "", **options: int) -> None:
        """Pictures of noise, which become tasks."""
        with opened_catalog(self.settings) as catalog:
            for number in numbers:
                self.images[number] = self._write(number, metadata, **options)
            found = [self.images[number] for number in self.images]
            catalog.images.record(found)
            project = self.project(catalog)
            new = [image.id for image in found if not catalog.tasks.of_images(project.key, [image.id])]
            catalog.tasks.open_push(project.key, new, VERSION)
            numbers_of = {image.id: 100 + number for number, image in self.images.items()}
            catalog.tasks.confirm_push(project.key, {image: numbers_of[image] for image in new})

    def review(
        self,
        number: int,
        regions: Sequence[Region] = (),
        *,
        state: State | None = None,
        author: str = "person 1",
        simulated: bool = False,
    ) -> None:
        """What a person says of an image, later than everything before."""
        self.n_reviews += 1
        image = self.images[number]
        record = ReviewRecord(
            annotation_id=self.n_reviews,
            created_at=NOON,
            task_id=100 + number,
            annotation=Annotation(
                image=image.id,
                size=image.size,
                author=author,
                state=state or ("labeled" if regions else "empty"),
                regions=tuple(regions),
                lead_time_s=3.5,
                updated_at=NOON + timedelta(minutes=self.n_reviews),
            ),
            simulated=simulated,
        )
        with opened_catalog(self.settings) as catalog:
            catalog.reviews.record(self.project(catalog).key, [record])

    def move(self, number: int, path: Path) -> None:
        """The image's file is at another place now, and the catalog knows."""
        image = self.images[number]
        entry = replace(image.entry, uri=str(path))
        with opened_catalog(self.settings) as catalog:
            catalog.images.forget([image.entry.uri])
            catalog.images.record([replace(image, entry=entry)])
        self.images[number] = replace(image, entry=entry)

    def project(self, catalog: Catalog) -> Project:
        return catalog.projects.record(
            1,
            url="http://127.0.0.1:8080",
            title=self.settings.queue.project,
            created_at=NOON,
            label_config="<View></View>",
        )

    def path(self, number: int) -> Path:
        return Path(self.images[number].entry.uri)

    def _write(self, number: int, metadata: str, *, orientation: int = 1) -> FoundImage:
        folder = self.settings.root / "photos"
        folder.mkdir(exist_ok=True)
        path = folder / f"photo {number}.jpg"
        pixels = np.random.default_rng(number).integers(0, 256, (SIZE.height, SIZE.width, 3), dtype=np.uint8)
        stored = pixels if orientation == 1 else np.rot90(pixels)
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(stored).save(path, quality=95, exif=exif)
        data = path.read_bytes()
        image = ImageId("sha256:" + hashlib.sha256(data).hexdigest())
        return FoundImage(image, SIZE, Entry(str(path), len(data), "1", metadata))


def make_project(root: Path, **changes: object) -> LabeledProject:
    """An empty project of three classes below that folder."""
    return LabeledProject(Settings(root=root, classes=CLASSES).updated(**changes))


def write_coco(
    path: Path,
    boxes_of: dict[str, Sequence[tuple[str, list[float]]]],
    names: Sequence[str] = ("bolt", "nut"),
    size: tuple[int, int] = (60, 40),
) -> Path:
    """A COCO file of boxes [x, y, width, height] by file name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"id": i, "file_name": name, "width": size[0], "height": size[1]} for i, name in enumerate(boxes_of)
    ]
    entries = [(i, label, box) for i, name in enumerate(boxes_of) for label, box in boxes_of[name]]
    annotations = [
        {
            "id": n,
            "image_id": i,
            "category_id": names.index(label) + 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for n, (i, label, box) in enumerate(entries, start=1)
    ]
    categories = [{"id": n, "name": name} for n, name in enumerate(names, start=1)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path
