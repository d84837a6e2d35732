"""A predictor that finds patches of pure colours: it looks at pixels, so it sees views of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from detseg.geometry.masks import bitmap_to_mask, mask_to_box
from detseg.images import image_id
from detseg.models.predictor import Abilities, ordered
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import DecodedImage, ImageRef, Instance, ModelVersion, SeenBy, Size

TAXONOMY = Taxonomy((LabelClass("nut"), LabelClass("bolt", aliases=("screw",)), LabelClass("belt", "stuff")))
COLOURS = {"nut": (255, 0, 0), "bolt": (0, 255, 0), "belt": (0, 0, 255)}
VERSION = ModelVersion("colours@00000000")
SEEN_BY: Mapping[str, SeenBy] = {"box": "detector", "mask": "segmenter", "both": "both"}


@dataclass
class ColourPredictor(Abilities):
    """Every patch of a label's colour is a thing with that label's score; all of the belt's is one surface.

    ``form`` says whether things get a box, a mask or both. ``blind`` are labels that it does not see.
    """

    form: str = "both"
    scores: Mapping[str, float] = field(default_factory=lambda: {"nut": 0.9, "bolt": 0.7, "belt": 0.8})
    blind: frozenset[str] = frozenset()
    taxonomy: Taxonomy = TAXONOMY
    version: ModelVersion = VERSION
    detector: str = "boxes"
    segmenter: str = "masks"
    unmapped: Mapping[str, int] = field(default_factory=dict)
    seen: list[list[Size]] = field(default_factory=list)

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        self.seen.append([image.size for image in batch])
        return tuple(ordered(self._find(image)) for image in batch)

    def _find(self, image: DecodedImage) -> list[Instance]:
        found = []
        for label in COLOURS.keys() - self.blind:
            of_colour = np.all(np.abs(image.rgb.astype(int) - COLOURS[label]) < 120, axis=2)
            stuff = label == "belt"
            pieces, n = (of_colour * 1, int(of_colour.any())) if stuff else ndimage.label(of_colour)
            for piece in range(1, n + 1):
                mask = bitmap_to_mask(pieces == piece)
                form = "mask" if stuff else self.form
                found.append(
                    Instance(
                        label,
                        "stuff" if stuff else "thing",
                        box=mask_to_box(mask) if form != "mask" else None,
                        mask=mask if form != "box" else None,
                        score=self.scores[label],
                        seen_by=SEEN_BY[form],
                    )
                )
        return found


def painted(
    width: int, height: int, patches: Sequence[tuple[str, int, int, int, int]], *, uri: str = "painted.png"
) -> DecodedImage:
    """A white image with rectangles ``(label, x0, y0, x1, y1)`` in their labels' colours."""
    rgb = np.full((height, width, 3), 255, dtype=np.uint8)
    for label, x0, y0, x1, y1 in patches:
        rgb[y0:y1, x0:x1] = COLOURS[label]
    rgb.flags.writeable = False  # as read_image gives it
    return DecodedImage(ImageRef(image_id(rgb.tobytes()), uri), Size(width, height), rgb)
