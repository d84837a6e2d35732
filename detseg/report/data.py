"""The data of the QA page: results that were measured elsewhere, and a way to the images to look at.

The pipeline gives a ``QaReport`` to ``detseg.report.page.write_report``. A result that rests on nothing (no
image with two people, no control arm) is shown as one line that says what to set to get it. ``examples`` come
from an ``ExampleTally``, which sees every case beside the metrics' tallies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from detseg.datasets.figures import DatasetFigures, VersionSize
from detseg.metrics.cases import Case
from detseg.report.examples import Example
from detseg.taxonomy import Taxonomy
from detseg.types import DecodedImage, ImageId, ImageRef

if TYPE_CHECKING:
    from detseg.metrics.qa_result import QaResult


@dataclass(frozen=True, slots=True)
class Images:
    """The images behind the figures: nothing is read that is not shown."""

    cases: Callable[[tuple[ImageId, ...]], Mapping[ImageId, Case]]
    """the cases of a few images; one that is gone is left out"""
    read: Callable[[str], DecodedImage]
    """the upright image at a uri; raises ImageError"""


TILE_PX = 64
"""The sides of a map's thumbnails."""


@dataclass(frozen=True, slots=True)
class MapFacts:
    """The facts by which a point can be coloured; empty for none.

    ``label`` is the class of which the image has most objects, ``suspect`` the rule that finds a label of it
    suspect, ``cluster`` the number of its cluster of near duplicates.
    """

    state: str = "unlabeled"
    label: str = ""
    split: str = ""
    suspect: str = ""
    cluster: str = ""
    link: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MapPoint:
    """An image on the map at (x, y), each in [0, 1]; the thumbnail has sides of ``TILE_PX`` at most."""

    x: float
    y: float
    name: str
    thumbnail: Image.Image
    facts: MapFacts


@dataclass(frozen=True, slots=True)
class ImageMap:
    """The points of a map, and a note that says what is on it and what was left out."""

    points: tuple[MapPoint, ...] = ()
    note: str = ""


NO_MAP = ImageMap()


@dataclass(frozen=True, slots=True)
class Alike:
    """The near duplicates of a project: how many clusters there are, of how many images, and the largest."""

    n_clusters: int = 0
    n_images: int = 0
    largest: tuple[tuple[ImageRef, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class QaReport:
    """Everything on the page. ``notes`` are sentences about what was left out and why.

    ``labels`` are the figures of what a dataset version would hold now, ``growth`` the versions
    that were made, ``map`` places of the project's images.
    """

    result: QaResult
    labels: DatasetFigures
    taxonomy: Taxonomy
    examples: tuple[Example, ...]
    images: Images
    growth: tuple[VersionSize, ...] = ()
    map: ImageMap = NO_MAP
    notes: tuple[str, ...] = ()
    currency: str = "$"
    alike: Alike = Alike()
