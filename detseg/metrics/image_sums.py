"""The part of each image in the sums of each class, kept so that images can be resampled."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class ImageSums:
    """A table of ``n_columns`` numbers for each class of each image; classes that an image lacks have zeros.

    Only what is there is kept: 8 bytes a number, 8 more for each class of an image.
    """

    def __init__(self, n_columns: int) -> None:
        self._n_columns = n_columns
        self._classes: dict[str, int] = {}
        self._at = array("i")  # image, class, image, class, ...
        self._values = array("d")
        self.n_images = 0

    def add(self, rows: Mapping[str, Sequence[float]]) -> None:
        """One more image: the numbers of each of its classes."""
        for name, values in rows.items():
            self._at.append(self.n_images)
            self._at.append(self._classes.setdefault(name, len(self._classes)))
            self._values.extend(values)
        self.n_images += 1

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes, sorted."""
        return tuple(sorted(self._classes))

    def totals(self) -> dict[str, Floats]:
        """The sums over all images of each class, sorted by name, (n_columns,) each, in any order alike."""
        of_class, rows = self._places()[:, 1], self._rows()
        return {
            name: np.array([math.fsum(column) for column in rows[of_class == self._classes[name]].T])
            for name in sorted(self._classes)
        }

    def table(self, names: Sequence[str], columns: Sequence[int]) -> Floats:
        """Those columns of those classes, image by image: (n_images, len(names) * len(columns))."""
        place = np.full(len(self._classes), -1)
        for n, name in enumerate(names):
            if name in self._classes:  # others have zeros
                place[self._classes[name]] = n
        at, rows = self._places(), self._rows()
        wanted = place[at[:, 1]] >= 0
        table = np.zeros((self.n_images, len(names), len(columns)))
        table[at[wanted, 0], place[at[wanted, 1]]] = rows[wanted][:, list(columns)]
        return table.reshape(self.n_images, len(names) * len(columns))

    def columns(self, names: Sequence[str], n: int) -> list[Floats]:
        """The first ``n`` columns of those classes, (n_images, len(names)) each."""
        table = self.table(names, range(n)).reshape(self.n_images, len(names), n)
        return [table[:, :, j] for j in range(n)]

    def _places(self) -> npt.NDArray[np.int32]:
        return np.array(self._at, dtype=np.int32).reshape(-1, 2)

    def _rows(self) -> Floats:
        return np.array(self._values, dtype=np.float64).reshape(-1, self._n_columns)
