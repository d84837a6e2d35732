"""The content that every format reads and writes: images with what is on them, and their classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from detseg.errors import ConfigError, DatasetError
from detseg.escaping import has_controls
from detseg.formats import ImageLabels
from detseg.geometry.boxes import clip_box
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, Size

Loss = Literal[
    "masks left out",
    "stuff left out",
    "regions without area left out",
    "boxes cut at the image's border",
    "boxes beside masks left out",
    "boxes written as their four corners",
    "masks with holes filled",
    "masks in several pieces",
    "pieces written as objects of their own",
    "stuff written as things",
    "stuff regions joined with others of their class",
    "regions without a mask left out",
    "masks cut where others cover them",
    "masks hidden by others left out",
    "boxes moved to whole pixels",
    "boxes of stuff left out",
    "regions hidden by others left out",
    "images that are refused",
]
"""The kinds of things that a format cannot hold; a count of regions (of pieces) goes with it."""

_ROUNDING = 0.05
"""Pixels: shares of an image's side with six digits miss a place by less, in images of 50,000 pixels."""

_REGIONS_LEFT_OUT: tuple[Loss, ...] = (
    "stuff left out",
    "regions without area left out",
    "regions without a mask left out",
    "regions hidden by others left out",
)


def count_left_out(lost: Mapping[Loss, int]) -> int:
    """The regions among the losses that are not written at all."""
    return sum(lost.get(loss, 0) for loss in _REGIONS_LEFT_OUT)


@dataclass(frozen=True, slots=True)
class Contents:
    """A dataset to be written.

    ``images`` goes through its images, anew each time it is called; ``read`` gives the encoded bytes of one,
    None for one that cannot be had and is left out. ``images_inside``: formats that can hold the bytes of
    images are to do so.
    """

    classes: tuple[LabelClass, ...]
    images: Callable[[], Iterable[ImageLabels]]
    read: Callable[[ImageLabels], bytes | None]
    images_inside: bool = True


def cut_box(box: Box, size: Size, left_out: Counter[str]) -> Box | None:
    """The part of a box that lies inside the image, as a reader gives it; counts a box of which more is left
    out than what rounding explains. None if the part inside has no area.

    >>> counts = Counter()
    >>> cut_box(Box(-3, 2, 5, 9), Size(8, 8), counts), counts["parts of boxes outside of the image"]
    (Box(x0=0.0, y0=2, x1=5, y1=8.0), 1)
    """
    inside = clip_box(box, size)
    if inside is not None and any(
        abs(side - cut) > _ROUNDING for side, cut in zip(box.xyxy, inside.xyxy, strict=True)
    ):
        left_out["parts of boxes outside of the image"] += 1
    return inside


def _no_notes(splits: Mapping[str, int]) -> Sequence[str]:  # noqa: ARG001
    return ()


def controls_problem(label: str) -> str | None:
    """The problem of a label that has line breaks or other control characters."""
    return "it has control characters" if has_controls(label) else None


@dataclass(frozen=True, slots=True)
class Opened:
    """A dataset that is read: its classes, and its images, lazily and anew at each call.

    ``left_out`` counts what the last time through did not give. ``read`` gives the bytes of an image that is
    inside the dataset's own files, or raises ImageError; it is None where images are files of their own.
    """

    classes: tuple[LabelClass, ...]
    images: Callable[[], Iterator[ImageLabels]]
    left_out: Mapping[str, int]
    read: Callable[[ImageLabels], bytes] | None = None

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes as those of a project. Raises ConfigError for names that none can have."""
        if broken := [one.name for one in self.classes if has_controls(one.name)]:
            raise ConfigError(
                f"the dataset's class {broken[0]!r} has control characters, which no page and no terminal "
                "shows: rename it in its files"
            )
        return Taxonomy(self.classes)


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a dataset into a folder, and to read one.

    ``image_path`` is where an image's file is to be, relative to the folder; None where ``write`` holds the
    images itself. ``losses`` counts what the format cannot hold of an image; None where it holds everything.
    ``write`` gets a folder that is there and empty but for the images; it returns the files that it wrote, or
    the folders of such as there is one of for each image. ``label_problem`` says why a label cannot be
    spelled. ``unsplit`` is where images without a split go; ``notes`` are lines about what else becomes of
    the splits, from the number of images in each. ``read`` opens a folder or a file; it, and going through
    the images, raise FormatError with file and place. It is None where nothing of ours reads the format.
    ``without_images`` says why a dataset whose images are not copied might not be read again; empty where it
    can be.
    """

    name: str
    image_path: Callable[[ImageLabels], str] | None
    losses: Callable[[ImageLabels], Mapping[Loss, int]] | None
    write: Callable[[Contents, Path], tuple[Path, ...]]
    label_problem: Callable[[str], str | None] = controls_problem
    notes: Callable[[Mapping[str, int]], Sequence[str]] = _no_notes
    read: Callable[[Path], Opened] | None = None
    without_images: str = ""
    unsplit: str = ""


def describe_splits(format_: Format, splits: Mapping[str, int]) -> Iterator[str]:
    """Yield a line about each thing that becomes of the splits, from the number of images in each."""
    if format_.unsplit and splits.get(""):
        yield f"images without a split are in {format_.unsplit}"
    yield from format_.notes(splits)


def check_names(format_: Format, classes: Sequence[LabelClass], splits: Iterable[str]) -> None:
    """Raises DatasetError, which says what to rename, for a class or a split that cannot be spelled."""
    for cls in classes:
        if problem := format_.label_problem(cls.name):
            raise DatasetError(
                f"{format_.name} cannot spell the class {cls.name!r}, {problem}: rename it in [[classes]] "
                "and keep the old name as an alias, or, to convert files, rename it in them"
            )
    for split in splits:
        if "/" in split or "\\" in split or split.startswith(".") or has_controls(split):
            raise DatasetError(
                f"the split {split!r} cannot be the name of a folder: give it letters, digits, dashes and "
                "underscores"
            )


def check_new(path: Path) -> None:
    """Raises DatasetError for a file that another image has got."""
    if path.exists():
        raise DatasetError(f"two images would have the file {path.name}: give one of them another name")


def stem_of(name: str) -> str:
    """The name of an image without its ending."""
    return str(PurePosixPath(name).with_suffix(""))


def take_stem(taken: set[str], stem: str) -> str:
    """A name without ending, by which some formats know an image; ``taken`` has those of the others.

    Raises DatasetError for one that another image has got.
    """
    if stem in taken:
        raise DatasetError(f"two images would be called {stem}: give one of them another name")
    taken.add(stem)
    return stem
