"""One image of a dataset version, as a noun and as a row of Parquet.

A row's ``digest`` is the SHA-256 of its canonical JSON, so equal samples of two versions are one row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from detseg.catalog.region_json import decode_regions, encode_regions
from detseg.types import Annotation, ImageId, Size

_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class Sample:
    """An image with what people said of it, and where both come from.

    ``annotation`` is labeled or empty. ``uri`` is where the image was found and ``metadata`` what its source
    said of it (JSON). ``reviews`` are the annotation ids that ``annotation`` was made from, ``authors`` who
    made them, ``model_versions`` whose predictions they started from. ``n_disputed`` objects were left out
    because people are divided. ``simulated``: a program was among the authors.
    """

    annotation: Annotation
    uri: str
    metadata: str = ""
    authors: tuple[str, ...] = ()
    reviews: tuple[int, ...] = ()
    model_versions: tuple[str, ...] = ()
    n_disputed: int = 0
    simulated: bool = False

    @property
    def image(self) -> ImageId:
        return self.annotation.image


def encode_sample(sample: Sample) -> dict[str, Any]:
    """The sample as a row, with the names and types of ``store.ROW``."""
    annotation = sample.annotation
    row = {
        "image": image_bytes(annotation.image),
        "uri": sample.uri,
        "metadata": sample.metadata,
        "width": annotation.size.width,
        "height": annotation.size.height,
        "state": annotation.state,
        "regions": encode_regions(annotation.regions),
        "author": annotation.author,
        "authors": list(sample.authors),
        "reviews": list(sample.reviews),
        "model_versions": list(sample.model_versions),
        "n_disputed": sample.n_disputed,
        "simulated": sample.simulated,
        "lead_time_s": annotation.lead_time_s,
        "updated_at": annotation.updated_at.astimezone(UTC) if annotation.updated_at else None,
    }
    return {**row, "digest": digest_row(row)}


def decode_sample(row: Mapping[str, Any]) -> Sample:
    """The sample of a row that ``encode_sample`` made. Raises FormatError for regions that are not ours."""
    return Sample(
        Annotation(
            image=image_of(row["image"]),
            size=Size(row["width"], row["height"]),
            author=row["author"],
            state=row["state"],
            regions=decode_regions(row["regions"]),
            lead_time_s=row["lead_time_s"],
            updated_at=row["updated_at"],
        ),
        uri=row["uri"],
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


def image_bytes(image: ImageId) -> bytes:
    """The 32 bytes of an image's hash."""
    return bytes.fromhex(image.removeprefix(_PREFIX))


def image_of(value: bytes) -> ImageId:
    """The image of 32 bytes of hash."""
    return ImageId(_PREFIX + value.hex())
