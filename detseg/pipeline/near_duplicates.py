"""Near duplicates among the catalog's images. What was compared before is kept in the state folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from detseg.datasets.duplicates import (
    NOTHING_COMPARED,
    Compared,
    Duplicates,
    check_compared,
    compare_images,
    confirm_duplicates,
    stack_features,
)
from detseg.errors import ImageError
from detseg.files import keep_arrays, read_arrays
from detseg.images import BROWSER_FORMATS
from detseg.images.fingerprints import fingerprint
from detseg.pipeline.reading import read_from
from detseg.types import ImageFeatures

if TYPE_CHECKING:
    from pathlib import Path

    from detseg.sources.registry import Sources
    from detseg.types import ImageId

_REVISION = 1
"""Part of what is kept: with another number, all images are compared anew."""


def near_duplicates(folder: Path, features: Iterable[ImageFeatures], *, keep: bool = False) -> Duplicates:
    """Find the near duplicates among images; those that were compared before are not compared again.

    ``folder`` is that of the state. ``keep``: these are all images that there are, and what was compared
    now is kept there for the next time.
    """
    path = folder / "near_duplicates.npz"
    table, before = stack_features(features), _read_kept(path)
    compared = compare_images(table, before)
    if keep and not np.array_equal(compared.ids, before.ids):
        _keep(path, compared)
    return confirm_duplicates(table, compared)


def read_features(sources: Sources, image: ImageId, place: str) -> ImageFeatures | None:
    """The fingerprint of an image; None where it is out of reach now, changed, or cannot be decoded."""
    try:
        decoded = read_from(sources, place, formats=BROWSER_FORMATS)
    except ImageError:
        return None
    return ImageFeatures(image, fingerprint(decoded.rgb)) if decoded.ref.id == image else None


def _read_kept(path: Path) -> Compared:
    """What was compared before; nothing where there is no file, a damaged one, or one of another detseg."""
    kept = read_arrays(path)
    try:
        if kept["revision"] == _REVISION:
            return check_compared(Compared(kept["ids"], kept["hashes"], kept["pairs"], kept["alike"]))
    except (KeyError, ValueError):
        pass  # it is only there to save time
    return NOTHING_COMPARED


def _keep(path: Path, compared: Compared) -> None:
    arrays = {name: getattr(compared, name) for name in ("ids", "hashes", "pairs", "alike")}
    keep_arrays(path, revision=_REVISION, **arrays)
