"""Images that are copied to Label Studio, once each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from detseg.errors import FormatError, ImageError
from detseg.images import image_format, image_id
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.served import SUFFIXES
from detseg.labelstudio.serving import check_bytes
from detseg.labelstudio.session import Json
from detseg.sources.registry import Sources
from detseg.types import ImageId, ImageRef

_FILES_PER_REQUEST = 50  # the server takes 100
_BYTES_PER_REQUEST = 64_000_000  # it takes 250 MB


@dataclass(slots=True)
class Uploads:
    """Copies on the server, named after the image's id, by which an upload is found again.

    So an upload whose answer got lost is not made twice, and a task that is made anew takes the old copy.
    ``sources`` opens what images are read from. Remembers what is on the server, once it was asked.
    """

    client: LabelStudioClient
    project: int
    sources: Callable[[], Sources]
    _paths: dict[ImageId, str] = field(default_factory=dict, repr=False)
    _failed: dict[ImageId, str] = field(default_factory=dict, repr=False)
    _listed: bool = field(default=False, repr=False)

    def prepare(self, refs: Iterable[ImageRef]) -> None:
        """Uploads those that are not on the server. What cannot be read is said by ``url``."""
        wanted = list(refs)
        if wanted and not self._listed:
            self._paths.update(_by_image(self.client.uploads(self.project)))
            self._listed = True
        missing = [ref for ref in wanted if ref.id not in self._paths]
        if not missing:
            return
        with self.sources() as sources:
            for batch in self._batches(sources, missing):
                ids = self.client.upload(self.project, batch)
                self._paths.update(_by_image(self.client.uploads(self.project, ids)))

    def renew(self, refs: Iterable[ImageRef]) -> None:
        """Nothing: what was copied is on the server."""

    def url(self, ref: ImageRef) -> str:
        """A URL relative to the server."""
        if ref.id in self._failed:
            raise ImageError(self._failed[ref.id])
        if ref.id not in self._paths:
            raise FormatError(f"{ref.uri} was not uploaded: run again")
        return f"/data/{self._paths[ref.id]}"

    def check(self, task: Json) -> None:
        """Fetches the copy."""
        mend = "look whether the server's media folder is kept where it was, and has room"
        check_bytes(task, lambda: self.client.fetch(str(task["data"]["image"])), mend=mend)

    def _batches(self, sources: Sources, refs: Iterable[ImageRef]) -> Iterator[list[tuple[str, bytes]]]:
        batch: list[tuple[str, bytes]] = []
        n_bytes = 0
        for ref in refs:
            try:
                data = sources.read(ref.uri)
                name = _name(ref, data)
            except ImageError as error:
                self._failed[ref.id] = str(error)
                continue
            if batch and (len(batch) == _FILES_PER_REQUEST or n_bytes + len(data) > _BYTES_PER_REQUEST):
                yield batch
                batch, n_bytes = [], 0
            batch.append((name, data))
            n_bytes += len(data)
        if batch:
            yield batch


def _name(ref: ImageRef, data: bytes) -> str:
    if image_id(data) != ref.id:
        raise ImageError("changed since it was predicted: run again")
    suffix = SUFFIXES[image_format(data)]
    if suffix == ".avif":
        raise ImageError("is AVIF, which Label Studio takes no upload of: convert it to PNG or JPEG")
    return ref.id.replace(":", "-") + suffix


def _by_image(paths: Iterable[str]) -> dict[ImageId, str]:
    """Paths on the server by the image that their names say; ``upload/5/0a1b2c3d-sha256-<hex>.png``."""
    found: dict[ImageId, str] = {}
    for path in paths:
        _, separator, digest = PurePosixPath(path).stem.partition("-sha256-")
        if separator:
            found.setdefault(ImageId(f"sha256:{digest}"), path)
    return found
