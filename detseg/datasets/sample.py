"""One image of a dataset version, as a noun and as a row of Parquet.

A row's ``digest`` is the SHA-256 of its canonical JSON, so equal samples of two versions are one row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from detseg.catalog.region_json import decode_regions
from detseg.errors import DatasetError
from detseg.types import Annotation, ImageId, Size, State

_PREFIX = "sha256:"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sample:
    """An image with what people said of it, and where both come from.

    ``state`` is labeled or empty, ``regions`` the regions as ``catalog.region_json`` has them, by ``author``.
    ``uri`` is where the image was found and ``metadata`` what its source said of it (JSON). ``reviews`` are
    the annotation ids that the regions are from, ``authors`` who made them, ``model_versions`` whose
    predictions they started from. ``n_disputed`` objects were left out because people are divided.
    ``simulated``: a program was among the authors.
    """

    image: ImageId
    size: Size
    state: State
    regions: str
    author: str
    uri: str = ""
    updated_at: datetime | None = None
    metadata: str = ""
    authors: tuple[str, ...] = ()
    reviews: tuple[int, ...] = ()
    model_versions: tuple[str, ...] = ()
    n_disputed: int = 0
    simulated: bool = False

    def annotation(self) -> Annotation:
        """Decode what people said. Raises FormatError for regions that are not the catalog's."""
        return Annotation(
            image=self.image,
            size=self.size,
            author=self.author,
            state=self.state,
            regions=decode_regions(self.regions),
            updated_at=self.updated_at,
        )


def encode_sample(sample: Sample) -> dict[str, Any]:
    """The sample as a row, with the names and types of ``store.ROW``."""
    row = {
        "image": image_bytes(sample.image),
        "uri": sample.uri,
        "metadata": sample.metadata,
        "width": sample.size.width,
        "height": sample.size.height,
        "state": sample.state,
        "regions": sample.regions,
        "author": sample.author,
        "authors": list(sample.authors),
        "reviews": list(sample.reviews),
        "model_versions": list(sample.model_versions),
        "n_disputed": sample.n_disputed,
        "simulated": sample.simulated,
        "updated_at": sample.updated_at.astimezone(UTC) if sample.updated_at else None,
    }
    return {**row, "digest": digest_row(row)}


def decode_sample(row: Mapping[str, Any]) -> Sample:
    """The sample of a row that ``encode_sample`` made. Raises DatasetError for an image without pixels."""
    image = image_of(row["image"])
    if min(row["width"], row["height"]) < 1:
        raise DatasetError(f"{image} ({row['uri']}) has no size: restore the dataset version from a copy")
    return Sample(
        image=image,
        size=Size(row["width"], row["height"]),
        state=row["state"],
        regions=row["regions"],
        author=row["author"],
        uri=row["uri"],
        updated_at=row["updated_at"],
        metadata=row["metadata"],
        authors=tuple(row["authors"]),
        reviews=tuple(row["reviews"]),
        model_versions=tuple(row["model_versions"]),
        n_disputed=row["n_disputed"],
        simulated=row["simulated"],
    )


def digest_row(row: Mapping[str, Any]) -> bytes:
    """The SHA-256 of a row, 32 bytes; of its ``digest``, if it has one, nothing."""
    content = {name: _plain(value) for name, value in row.items() if name != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else value


def moment_to_us(moment: datetime | None) -> int | None:
    """The microseconds since 1970 of a moment, as Parquet keeps them."""
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)


def us_to_moment(microseconds: int | None) -> datetime | None:
    """The moment, in UTC, of microseconds since 1970."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def image_bytes(image: ImageId) -> bytes:
    """The 32 bytes of an image's hash."""
    return bytes.fromhex(image.removeprefix(_PREFIX))


def image_of(value: bytes) -> ImageId:
    """The image of 32 bytes of hash."""
    return ImageId(_PREFIX + value.hex())
