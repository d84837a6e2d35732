"""The formats by name, as ``--format`` takes them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal, get_args

from detseg.errors import ConfigError

if TYPE_CHECKING:
    from detseg.formats.dataset import Format

FormatName = Literal[
    "coco",
    "coco-panoptic",
    "yolo",
    "yolo-segment",
    "voc",
    "hf",
    "hf-imagefolder",
    "label-studio",
    "kitti",
    "cityscapes",
    "open-images",
    "ade20k",
    "datumaro",
]

SourceName = FormatName
"""Those that are read: all of them."""

_FORMATS: dict[str, str] = {
    "coco": "formats.coco_dataset.COCO",
    "coco-panoptic": "formats.coco_panoptic_dataset.COCO_PANOPTIC",
    "yolo": "formats.yolo.YOLO",
    "yolo-segment": "formats.yolo.YOLO_SEGMENT",
    "voc": "formats.voc.VOC",
    "hf": "formats.hf.HF",
    "hf-imagefolder": "formats.hf.HF_IMAGEFOLDER",
    "label-studio": "labelstudio.tasks_file.LABEL_STUDIO",
    "kitti": "formats.kitti.KITTI",
    "cityscapes": "formats.cityscapes.CITYSCAPES",
    "open-images": "formats.open_images.OPEN_IMAGES",
    "ade20k": "formats.ade20k.ADE20K",
    "datumaro": "formats.datumaro.DATUMARO",
}


def find_format(name: str) -> Format:
    """The format of that name. Raises ConfigError for none."""
    if name not in _FORMATS:
        raise ConfigError(f"there is no format {name!r}: take one of {', '.join(get_args(FormatName))}")
    module, _, constant = _FORMATS[name].rpartition(".")
    found: Format = getattr(import_module(f"detseg.{module}"), constant)
    return found


def readable_formats() -> tuple[str, ...]:
    """The names of the formats that are read."""
    return get_args(SourceName)
