"""The images that a training reads: where they lie, which are gone, and copies of those that are far away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detseg.datasets.sample import Sample, decode_sample
from detseg.errors import ImageError, TrainingError
from detseg.files import replacing
from detseg.images import decode_image, image_id
from detseg.pipeline import progress
from detseg.pipeline.reading import read_labeled
from detseg.plurals import format_count
from detseg.sources.registry import LOCAL, scheme_of
from detseg.training.checks import CHOSEN_BY, LEARNED

if TYPE_CHECKING:
    from detseg.datasets.store import DatasetStore
    from detseg.datasets.version import Version
    from detseg.sources.registry import Sources
    from detseg.types import DecodedImage


@dataclass(slots=True)
class LabeledImages:
    """The images of a version where they lie. ``missing`` are the places and reasons of those that do not;
    at most ``most_missing`` of all, a share, may be.

    Those that come over a network are kept in the folder ``kept``, up to ``most_kept`` bytes.
    """

    sources: Sources
    kept: Path
    most_missing: float
    most_kept: int = 4 * 2**30
    n_seen: int = 0
    most_objects: int = 0
    missing: list[str] = field(default_factory=list)
    _n_kept: int | None = field(default=None, init=False)  # bytes

    def read(self, sample: Sample) -> DecodedImage:
        """The upright image of a sample. TrainingError where it went away or changed since the check."""
        try:
            data = self._labeled(sample)
            return decode_image(data, sample.uri, max_pixels=self.sources.limits.max_pixels)
        except ImageError as error:
            raise TrainingError(
                f"{sample.uri or sample.image} {error}: put it back, or let it be left out, and run the same "
                "command again, which goes on from the last checkpoint"
            ) from error

    def readable(self, store: DatasetStore, version: Version, side: str) -> Iterator[dict[str, Any]]:
        """The rows of one split whose images are still what was labeled; the others are noted."""
        wanted = {image for image, split in store.splits(version).items() if split == side}
        progress.report("check", total=version.counts.splits[LEARNED] + version.counts.splits[CHOSEN_BY])
        for row in store.rows(version, wanted):
            sample = decode_sample(row)
            self.n_seen += 1
            self.most_objects = max(self.most_objects, len(sample.annotation().regions))
            try:
                self._labeled(sample)
                yield row
            except ImageError as error:
                self.missing.append(f"{sample.uri or sample.image} {error}")
            progress.report("check", advance=1)

    def describe_missing(self, version: Version) -> list[str]:
        """A line about the images that are left out. TrainingError if they are too many."""
        if not self.missing:
            return []
        gone = format_count(len(self.missing), "image")
        said = (
            f"{gone} of {self.n_seen} of {version.name} cannot be read any more, the first: {self.missing[0]}"
        )
        if len(self.missing) > self.most_missing * self.n_seen:
            raise TrainingError(
                f"{said}: put them back, or make a version of what is there (run.max_quarantined_share is "
                f"{self.most_missing:g})"
            )
        return [f"{said}; left out"]

    def _labeled(self, sample: Sample) -> bytes:
        """The bytes that were labeled. Raises ImageError where they are gone or others."""
        if scheme_of(sample.uri) == LOCAL:
            return read_labeled(self.sources, sample.uri, sample.image)
        copy = self.kept / sample.image.removeprefix("sha256:")
        with suppress(OSError):
            data = copy.read_bytes()
            if image_id(data) == sample.image:
                return data
        data = read_labeled(self.sources, sample.uri, sample.image)
        with suppress(OSError):  # without room for copies, images are fetched whenever they are needed
            self.kept.mkdir(exist_ok=True)
            if self._n_kept is None:
                self._n_kept = sum(file.stat().st_size for file in self.kept.iterdir())
            if self._n_kept + len(data) <= self.most_kept:
                with replacing(copy, binary=True) as file:
                    file.write(data)
                self._n_kept += len(data)
        return data
