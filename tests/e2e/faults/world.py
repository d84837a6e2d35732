"""The small world of a fault: images, a model that knows what it says, and settings of a project's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from detseg.config import Settings, load_settings
from detseg.geometry.masks import bitmap_to_mask
from detseg.images import image_id
from detseg.models.predictor import Abilities
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, DecodedImage, ImageId, Instance, ModelVersion, Size

TAXONOMY = Taxonomy((LabelClass("bolt", colour="#e4572e"), LabelClass("belt", "stuff", "#5c6b73")))
VERSIONS = (ModelVersion("first@00000001"), ModelVersion("second@00000002"))
SIZE = Size(48, 32)
N_REGIONS = 3
N_FIRST, N_MORE = 12, 8
TASKS_PER_REQUEST = 4
CONTROL_SHARE = DECOY_SHARE = 0.2
PATIENCE_S = 3.5
"""The server needs a tenth of a second for such a batch, and 3 s more if another writer was in its way."""


@dataclass
class KnownPredictor(Abilities):
    """Two bolts and a belt on every image; the second version sees the bolts a little further right."""

    version: ModelVersion
    taxonomy: Taxonomy = TAXONOMY
    detector: str = "known"
    segmenter: str = "known"
    unmapped: Counter[str] = field(default_factory=Counter)

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        return tuple(self._instances() for _ in batch)

    def _instances(self) -> tuple[Instance, ...]:
        dx = VERSIONS.index(self.version)
        left = np.zeros((SIZE.height, SIZE.width), dtype=bool)
        left[:, : SIZE.width // 2] = True
        return (
            Instance("bolt", "thing", Box(2 + dx, 2, 14 + dx, 12), None, 0.9, "detector"),
            Instance("bolt", "thing", Box(20 + dx, 4, 30 + dx, 28), None, 0.8, "detector"),
            Instance("belt", "stuff", None, bitmap_to_mask(left), 0.7, "segmenter"),
        )


def make_plugin(*, taxonomy: Taxonomy | None, **_: object) -> KnownPredictor:
    """The first version, as ``plugin:known``."""
    return KnownPredictor(VERSIONS[0], taxonomy or TAXONOMY)


@dataclass(frozen=True, slots=True)
class Images:
    """A folder with the subfolder ``first``, which is there from the beginning, and more beside it."""

    folder: Path
    first: frozenset[ImageId]
    all: frozenset[ImageId]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one fault happens: a project, a catalog, a state folder; ``url`` is the proxy's."""

    title: str
    state_dir: Path
    catalog: str
    url: str
    token: str = field(repr=False)
    source: Path
    files: Path
    predictions: str = "add"

    def elsewhere(self, number: int) -> Place:
        """The same project and catalog, seen from another machine."""
        return replace(self, state_dir=self.state_dir.with_name(f"{self.state_dir.name}-{number}"))

    def settings(self) -> Settings:
        """What a run is told."""
        return load_settings(None, environ={"DETSEG_LABEL_STUDIO__TOKEN": self.token}, **self.given)

    @property
    def given(self) -> dict[str, str | int | float | bool | None]:
        """The settings without the secret; tasks go in small batches, so that there are several."""
        return {
            "source__location": str(self.source),
            "state_dir": str(self.state_dir),
            "catalog": self.catalog,
            "queue__project": self.title,
            "label_studio__url": self.url,
            "label_studio__files": str(self.files),
            "run__shard_size": 8,
            "label_studio__batch_tasks": TASKS_PER_REQUEST,
            "label_studio__patience_s": PATIENCE_S,
            "queue__predictions": self.predictions,
            "queue__predict_reviewed": True,  # so that every task has every version, whatever people do
            "experiments__control_share": CONTROL_SHARE,
            "experiments__decoy_share": DECOY_SHARE,
        }


def make_images(folder: Path) -> Images:
    """Noise, each image another, the same in every run."""
    ids: dict[str, set[ImageId]] = {"first": set(), "more": set()}
    for name, seeds in (("first", range(N_FIRST)), ("more", range(N_FIRST, N_FIRST + N_MORE))):
        (folder / name).mkdir(parents=True)
        for seed in seeds:
            pixels = np.random.default_rng(seed).integers(0, 256, (SIZE.height, SIZE.width, 3), np.uint8)
            path = folder / name / f"{seed}.png"
            Image.fromarray(pixels).save(path)
            ids[name].add(image_id(path.read_bytes()))
    return Images(folder, frozenset(ids["first"]), frozenset(ids["first"] | ids["more"]))
