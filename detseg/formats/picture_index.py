"""Image files of a large folder, found by a name that each has: by default its own without ending.

A path below the folder, and 24 bytes, are kept of each: less than 100 bytes; a dictionary of paths takes
660.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt

from detseg.formats.folders import images_below


def _stem(below: PurePath) -> str:
    return below.stem


@dataclass(frozen=True, slots=True, eq=False)
class PictureIndex:
    """The images below a folder.

    Image i is at ``paths[ends[i]:ends[i + 1]]`` below it. ``hashes`` are those of the names, ascending, and
    ``order`` has the image of each, ascending where hashes are equal. ``name_of`` tells the name of a path.
    """

    folder: Path
    paths: bytes
    ends: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    name_of: Callable[[PurePath], str] = _stem

    def find(self, name: str, parts: Sequence[str] = ()) -> Path | None:
        """Find the image of that name; None for none.

        Of several, it is the one in the first of those parts (folders right below this one) that has it, else
        the last.
        """
        found = dict(self._named(name))
        return next((found[part] for part in (*parts, "") if part in found), None)

    def count_without(self, names: Iterable[str]) -> int:
        """Count the images of other names than these; those of one name are one."""
        return len(np.setdiff1d(self.hashes, np.fromiter(map(hash, names), np.int64)))

    def _named(self, name: str) -> Iterator[tuple[str, Path]]:
        """Yield the images of that name by their part, and by an empty one."""
        first, end = (int(np.searchsorted(self.hashes, hash(name), side)) for side in ("left", "right"))
        for i in self.order[first:end].tolist():
            path = PurePath(self.paths[self.ends[i] : self.ends[i + 1]].decode(errors="surrogateescape"))
            if self.name_of(path) == name:
                if len(path.parts) > 1:
                    yield path.parts[0], self.folder / path
                yield "", self.folder / path


def index_pictures(
    folder: Path, *, without: str = "", name_of: Callable[[PurePath], str] = _stem
) -> PictureIndex:
    """Go through the images of a folder and those below it, but for the part of that name.

    ``name_of`` gives the name of a path below the folder. A folder that is not there has no images. Raises
    FormatError for one that cannot be listed.
    """
    paths, ends, hashes = bytearray(), array("q", [0]), array("q")
    for path in images_below(folder) if folder.is_dir() else ():
        below = path.relative_to(folder)
        if below.parts[0] != without:
            paths += str(below).encode(errors="surrogateescape")
            ends.append(len(paths))
            hashes.append(hash(name_of(below)))
    of_names = np.array(hashes, dtype=np.int64)
    order = np.argsort(of_names, kind="stable")
    return PictureIndex(folder, bytes(paths), np.array(ends, dtype=np.int64), of_names[order], order, name_of)
