"""A small image with regions of every shape, for the tests that talk to the real server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageDraw

from detseg.geometry.masks import bitmap_to_mask, mask_to_box
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import encode_task, prediction_regions
from detseg.labelstudio.label_config import taxonomy_to_config
from detseg.labelstudio.project import ensure_project
from detseg.labelstudio.regions import read_regions
from detseg.labelstudio.results import encode_asked
from detseg.labelstudio.served import ServedFolder
from detseg.labelstudio.serving import LocalFiles
from detseg.labelstudio.serving_upload import Uploads
from detseg.labelstudio.session import Json
from detseg.labelstudio.shapes import DEFAULT_POLICY, MaskKind, ShapePolicy
from detseg.sources.registry import Sources
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, ImageId, ImageRef, Instance, Mask, ModelVersion, Region, Size

SIZE = Size(640, 480)
VERSION = ModelVersion("tester@0badcafe")
TAXONOMY = Taxonomy(
    (
        LabelClass("bolt", "thing", "#e6194b", ("screw",)),
        LabelClass("nut", "thing", "#3cb44b"),
        LabelClass("belt", "stuff", "#4363d8"),
    )
)


def disc(x: int, y: int, radius: int, size: Size = SIZE) -> Mask:
    """A disc around an image pixel."""
    rows, columns = np.mgrid[: size.height, : size.width]
    return bitmap_to_mask((columns - x) ** 2 + (rows - y) ** 2 < radius**2)


def instances() -> tuple[Instance, ...]:
    """Two things with box and mask, two with a box only, one surface; by descending score."""
    strip = np.zeros((SIZE.height, SIZE.width), dtype=bool)
    strip[440:] = True
    bolt, nut = disc(150, 150, 60), disc(400, 140, 50)
    return (
        Instance("belt", "stuff", None, bitmap_to_mask(strip), 0.99, "segmenter"),
        Instance("bolt", "thing", mask_to_box(bolt), bolt, 0.93, "both"),
        Instance("nut", "thing", mask_to_box(nut), nut, 0.81, "both"),
        Instance("nut", "thing", Box(250.0, 280.0, 390.0, 420.0), None, 0.55, "detector"),
        Instance("bolt", "thing", Box(500.5, 300.25, 600.0, 400.75), None, 0.52, "detector"),
    )


def write_image(path: Path) -> ImageRef:
    """The picture that the instances are of."""
    image = Image.new("RGB", (SIZE.width, SIZE.height), (90, 90, 100))
    draw = ImageDraw.Draw(image)
    for x, y, radius, colour in (
        (150, 150, 60, "#c0a060"),
        (400, 140, 50, "#909090"),
        (320, 350, 70, "#b0b0c0"),
    ):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    draw.rectangle((500, 300, 600, 400), fill="#a08040")
    draw.rectangle((0, 440, 640, 480), fill="#303030")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return ImageRef(ImageId("sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()), str(path))


@dataclass(frozen=True, slots=True)
class PushedTask:
    """A task on the server, and what was sent."""

    project: int
    id: int
    image: ImageId
    regions: tuple[Region, ...]
    sent: dict[str, Any]


def serve(
    client: LabelStudioClient, project: int, ref: ImageRef, *, document_root: Path | None = None
) -> str:
    """The URL of a picture that the server has a copy of, or reads from its document root."""
    serving = (
        LocalFiles(client, project, ServedFolder(document_root))
        if document_root
        else Uploads(client, project, Sources)
    )
    serving.prepare([ref])
    return serving.url(ref)


def push_scene(
    client: LabelStudioClient,
    title: str,
    path: Path,
    *,
    mask_kinds: Sequence[MaskKind] = (),
    document_root: Path | None = None,
    policy: ShapePolicy = DEFAULT_POLICY,
) -> PushedTask:
    """A project with the picture and its regions as one pre-annotated task; served as ``serve`` says.

    With ``mask_kinds`` the interface offers all shapes, and the masks are drawn as these, in their order.
    """
    ref = write_image(path)
    project = ensure_project(client, title, TAXONOMY, policy=policy)
    regions = prediction_regions(ref.id, VERSION, instances())
    url = serve(client, project, ref, document_root=document_root)
    sent = encode_task(
        ref, SIZE, regions, version=VERSION, taxonomy=TAXONOMY, image_url=url, policy=policy
    ).task
    if mask_kinds:
        client.update_project(project, label_config=config_of_all_shapes())
        sent["predictions"][0]["result"] = draw_masks_as(regions, mask_kinds)
    (task,) = client.import_tasks(project, [sent])
    return PushedTask(project, task, ref.id, regions, sent)


def config_of_all_shapes() -> str:
    """The interface for polygons, with the bitmasks of another beside them."""
    config, other = (
        ElementTree.fromstring(taxonomy_to_config(TAXONOMY, ShapePolicy(mask_as=mask_as)))
        for mask_as in ("polygon", "bitmask")
    )
    column = config.find("View[2]")
    assert column is not None
    column.extend(other.iter("BitmaskLabels"))
    return ElementTree.tostring(config, encoding="unicode")


def draw_masks_as(regions: Sequence[Region], kinds: Sequence[MaskKind]) -> list[Json]:
    """The results of regions, their masks one after another as these kinds, without tolerance."""
    mask_as = dict(zip((region.id for region in regions if region.instance.mask), kinds, strict=True))
    results = [
        result
        for region in regions
        for result in encode_asked(
            [region],
            SIZE,
            TAXONOMY,
            policy=ShapePolicy(mask_as=mask_as.get(region.id, "brush"), polygon_tolerance_px=0.0),
            where="the scene",
        ).results
    ]
    return sorted(results, key=lambda result: result["type"] == "rectanglelabels")  # boxes on top


def decode_results(results: Sequence[Json]) -> tuple[Region, ...]:
    """The regions of results on an image of ``SIZE``, all of which can be read."""
    read = read_regions(list(results), SIZE, TAXONOMY, sent={}, where="here")
    assert read.unread == ()
    return read.regions
