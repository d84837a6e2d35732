"""A family of the registry, from a folder to detections; photos beside made-up images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from detseg.images import read_image
from detseg.models.checkpoints import read_architecture
from detseg.models.engine import Engine
from detseg.models.families import FAMILIES
from detseg.models.network import Network, NetworkRequest, RawDetection
from detseg.types import DecodedImage

ENGINE = Engine(torch.device("cpu"))


def wanted(**changed: Any) -> NetworkRequest:
    """Low thresholds, so that there is much to compare."""
    given = {
        "boxes": True,
        "masks": True,
        "box_threshold": 0.3,
        "mask_threshold": 0.3,
        "pixel_threshold": 0.5,
        "overlap_threshold": 0.1,
    }
    return NetworkRequest(**{**given, **changed})


def network_of(folder: Path, asked: NetworkRequest) -> Any:
    """The network that the registry gives for the checkpoint in a folder."""
    architecture = read_architecture(str(folder))
    family = FAMILIES[architecture]
    checkpoint = family.load(str(folder), architecture)
    assert family.kind == checkpoint.config.model_type
    return family.network(checkpoint, asked, ENGINE)


def detections(network: Network, images: Sequence[DecodedImage]) -> tuple[tuple[RawDetection, ...], ...]:
    """What the three steps give for images of one size."""
    return network.read(network.run(network.prepare(images)), [image.size for image in images])


def photo(shared_data: Path) -> DecodedImage:
    """A photo with things in it."""
    return read_image(str(shared_data / "coco20" / "images" / "000000000009.jpg"))
