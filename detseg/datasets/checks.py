"""The check that a version is still what it was: every file is read again, every hash computed anew."""

from __future__ import annotations

from collections.abc import Iterator

from detseg.datasets.sample import digest_row, image_of
from detseg.datasets.store import DatasetStore
from detseg.datasets.version import Version, version_id
from detseg.errors import DatasetError


def find_problems(store: DatasetStore, version: Version) -> Iterator[str]:
    """Say in a line each what of a version is damaged or gone; nothing where it is whole."""
    try:
        index = store.index(version)
        if version_id(version.recipe, index) != version.id:
            yield f"the index of {version.name} is not the one that its id {version.id[:12]} was made of"
        for pack in version.packs:
            if store.file_sha256(pack) != pack:
                yield f"the bytes of pack {pack[:12]} have changed: restore packs/{pack}.parquet from a copy"
        digests = {row.image: row.digest for row in index}
        for row in store.rows(version):
            if digest_row(row) != digests[row["image"]]:
                yield f"{image_of(row['image'])} ({row['uri']}) is not what it was"
    except DatasetError as error:
        yield str(error)
