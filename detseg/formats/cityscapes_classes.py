"""The classes of Cityscapes and of KITTI's semantic benchmarks, with their numbers.

From https://github.com/mcordts/cityscapesScripts, ``helpers/labels.py``. Datasets with other classes name
theirs in ``label_colors.txt``, a line ``red green blue name`` for each number from 0, as datumaro writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from detseg.errors import FormatError
from detseg.files import write_whole
from detseg.formats.folders import read_text
from detseg.taxonomy import LabelClass, classes_of
from detseg.types import Kind

_NAMES = [
    "unlabeled",
    "ego vehicle",
    "rectification border",
    "out of roi",
    "static",
    "dynamic",
    "ground",
    "road",
    "sidewalk",
    "parking",
    "rail track",
    "building",
    "wall",
    "fence",
    "guard rail",
    "bridge",
    "tunnel",
    "pole",
    "polegroup",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "caravan",
    "trailer",
    "train",
    "motorcycle",
    "bicycle",
]
_FIRST_THING = _NAMES.index("person")

OFFICIAL: Mapping[int, str] = dict(enumerate(_NAMES))
OFFICIAL_THINGS = frozenset((*_NAMES[_FIRST_THING:], "license plate"))
"""Classes whose objects are apart; their pixels without an object are a group."""

NOTHING = 0
"""The number of pixels without a label."""

_FILE = "label_colors.txt"
_BACKGROUND = "background"


def label_problem(label: str) -> str | None:
    """The problem of a label that a line of ``label_colors.txt`` cannot name."""
    if not label.split() or label.startswith("#") or label != " ".join(label.split()):
        return "where spaces around it, several in a row and a # at its beginning mean something else"
    return "which is the name of no class" if label in (_BACKGROUND, OFFICIAL[NOTHING]) else None


def read_names(folder: Path) -> Mapping[int, str]:
    """The names of a dataset's numbers: its own, or those of Cityscapes where it does not say."""
    path = folder / _FILE
    if not path.exists():
        return OFFICIAL
    lines = [line for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")]
    rows = [line.split(maxsplit=3) for line in lines]
    for number, row in enumerate(rows):
        if len(row) < 4 or not all(part.isdecimal() for part in row[:3]):
            raise FormatError(f"{path}: expected red, green, blue and a name, not {lines[number]!r:.60}")
    return {number: row[3].strip() for number, row in enumerate(rows)}


def number_classes(classes: Sequence[LabelClass], folder: Path) -> Mapping[str, int]:
    """The numbers of the classes: Cityscapes' where it has them all, else their own, which are written."""
    official = {name: number for number, name in OFFICIAL.items()}
    if classes and all(cls.name in official for cls in classes):
        return {cls.name: official[cls.name] for cls in classes}
    colours = [
        "0 0 0",
        *(" ".join(str(int(cls.colour[i : i + 2], 16)) for i in (1, 3, 5)) for cls in classes),
    ]
    names = [_BACKGROUND, *(cls.name for cls in classes)]
    write_whole(
        folder / _FILE, "".join(f"{colour} {name}\n" for colour, name in zip(colours, names, strict=True))
    )
    return {cls.name: number for number, cls in enumerate(classes, 1)}


def named_classes(names: Mapping[int, str], kinds: Mapping[str, Kind]) -> tuple[LabelClass, ...]:
    """The classes of a dataset by number; of Cityscapes' own those alone that are there, as ``kinds`` has."""
    order = dict.fromkeys(name for number, name in sorted(names.items()) if number != NOTHING)
    shown = [name for name in order if name in kinds or names is not OFFICIAL]
    shown += sorted(set(kinds) - set(shown))
    return classes_of({name: kinds.get(name, "thing") for name in shown})


def find_name(names: Mapping[int, str], number: int, path: Path) -> str:
    """The name of a number in a PNG. Raises FormatError for none."""
    if number not in names:
        raise FormatError(f"{path} has class {number}, which {_FILE} does not name")
    return names[number]


def is_group(names: Mapping[int, str], label: str) -> bool:
    """Tell whether pixels of a class that belong to no object are a group of objects."""
    return names is OFFICIAL and label in OFFICIAL_THINGS
