"""A folder of images, a predictor that knows what it says, and settings for the shared Label Studio."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detseg.catalog import Catalog, open_catalog
from detseg.config import Settings, load_settings
from detseg.errors import ImageError
from detseg.geometry.masks import bitmap_to_mask
from detseg.labelstudio.server import Connection
from detseg.models.predictor import Abilities
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, DecodedImage, Instance, Mask, ModelVersion, Size

TAXONOMY = Taxonomy((LabelClass("bolt", colour="#e4572e"), LabelClass("belt", "stuff", "#5c6b73")))

VERSION = ModelVersion("fixed@00000001")


def half_mask(size: Size) -> Mask:
    """The left half of an image."""
    bitmap = np.zeros((size.height, size.width), dtype=bool)
    bitmap[:, : size.width // 2] = True
    return bitmap_to_mask(bitmap)


@dataclass
class FixedPredictor(Abilities):
    """Says the same of every image: a bolt with box and mask, one with a box alone, and a belt.

    Refuses images of ``refused_width``. Counts the images that it was asked about.
    """

    version: ModelVersion = VERSION
    refused_width: int = 13
    n_asked: int = 0
    taxonomy: Taxonomy = TAXONOMY
    detector: str = "fixed"
    segmenter: str = "fixed"
    unmapped: Counter[str] = field(default_factory=Counter)

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        if any(image.size.width == self.refused_width for image in batch):
            raise ImageError("is too unlucky")
        self.n_asked += len(batch)
        self.unmapped["cat"] += len(batch)
        return tuple(self._instances(image.size) for image in batch)

    def _instances(self, size: Size) -> tuple[Instance, ...]:
        half = half_mask(size)
        left = Box(0, 0, size.width // 2, size.height)
        right = Box(size.width / 2, 0, size.width, size.height / 2)
        return (
            Instance("bolt", "thing", left, half, 0.9, "both"),
            Instance("bolt", "thing", right, None, 0.8, "detector"),
            Instance("belt", "stuff", None, half, 0.7, "segmenter"),
        )


def write_image(path: Path, *, seed: int, width: int = 40, height: int = 30) -> None:
    """A picture of noise; seeds make different bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six files, five contents."""
    images = tmp_path / "my photos 🔩"
    for number in range(5):
        write_image(images / f"{number}.png", seed=number)
    (images / "again.png").write_bytes((images / "0.png").read_bytes())
    return images


@pytest.fixture
def settings(folder: Path, tmp_path: Path) -> Settings:
    """Without a server. Every task gets its prediction, unless a test says otherwise."""
    return load_settings(
        None,
        environ={},
        source__location=str(folder),
        state_dir=str(tmp_path / "state"),
        engine__batch_size=2,
        experiments__control_share=0.0,
    )


@pytest.fixture
def catalog(settings: Settings, empty_catalog: Path) -> Iterator[Catalog]:
    settings.state_path.mkdir()
    shutil.copy(empty_catalog, settings.state_path / "catalog.sqlite3")
    with open_catalog(settings.catalog_url) as opened:
        yield opened


@pytest.fixture
def predictor() -> FixedPredictor:
    return FixedPredictor()


@pytest.fixture
def queue(
    settings: Settings, label_studio: Connection, document_root: Path, new_title: Callable[[], str]
) -> Settings:
    """The settings with the shared server and a project of the test's own."""
    return settings_for(
        settings, label_studio.url, label_studio.token, title=new_title(), files=document_root
    )


def settings_for(
    settings: Settings, url: str, token: str, *, title: str, files: Path | None = None
) -> Settings:
    """The settings with that server, which has that document root: some folder, where nothing is served."""
    return load_settings(
        None,
        environ={"DETSEG_LABEL_STUDIO__TOKEN": token},
        source__location=settings.source.location,
        state_dir=str(settings.state_dir),
        engine__batch_size=settings.engine.batch_size,
        label_studio__url=url,
        label_studio__files=str(files or settings.state_path.parent / "files"),
        queue__project=title,
        labels__annotate=settings.labels.annotate,
        experiments__control_share=settings.experiments.control_share,
    )
