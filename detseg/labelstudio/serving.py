"""How an annotator's browser gets the images of tasks: a protocol, and the way that copies nothing.

    serving.prepare(refs)          # before tasks are sent: storages, uploads; doing it again changes nothing
    serving.url(ref)               # what the task's data holds as its image
    serving.check(client.task(id)) # after: fetches the image as the page would

An image that does not load can still be submitted by an annotator, so what cannot be shown is an error here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from detseg.errors import FormatError, ImageError, LabelStudioError
from detseg.images import image_id
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.project import ensure_storages, image_url
from detseg.labelstudio.session import Json
from detseg.types import ImageRef


class ImageServing(Protocol):
    """One way to serve images. Raises LabelStudioError for what concerns all images of a call."""

    def prepare(self, refs: Iterable[ImageRef]) -> None:
        """Makes ready what the tasks of these images need. Doing it again changes nothing."""

    def url(self, ref: ImageRef) -> str:
        """What a task's data holds as its image; after ``prepare``.

        Raises FormatError or ImageError for an image that cannot be served.
        """

    def check(self, task: Json) -> None:
        """Fetches the image of a task (as the server answers it) as its page would, and compares the bytes.

        Raises LabelStudioError with what is wrong and its mend.
        """


@dataclass(slots=True)
class LocalFiles:
    """The server reads the files where they are, below its document root. A storage row allows each folder.

    ``root`` is the folder that the images were looked for in; it is served with its subfolders. Remembers the
    folders that are served.
    """

    client: LabelStudioClient
    project: int
    root: Path
    document_root: Path
    _served: set[Path] = field(default_factory=set, repr=False)

    def prepare(self, refs: Iterable[ImageRef]) -> None:
        """Adds a storage for the folders that no storage of the project covers."""
        root = self.root if self.root.is_dir() else self.root.parent
        paths = (Path(ref.uri) for ref in refs if _is_local(ref))
        folders = {root if path.is_relative_to(root) else path.parent for path in paths} - self._served
        if folders:
            ensure_storages(self.client, self.project, folders, document_root=self.document_root)
            self._served.update(folders)

    def url(self, ref: ImageRef) -> str:
        """A URL relative to the server."""
        if not _is_local(ref):
            raise FormatError(
                f"{ref.uri} is no local file, so Label Studio cannot serve it from its disk: set "
                'serve_images to "storage", "url" or "upload"'
            )
        return image_url(Path(ref.uri), document_root=self.document_root)

    def check(self, task: Json) -> None:
        """Fetches the image from the server."""
        mend = (
            "the server must run with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and see the source's "
            "files below its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, which label_studio_files names as seen "
            'from here; or set serve_images to "upload"'
        )
        check_bytes(task, lambda: self.client.fetch(str(task["data"]["image"])), mend=mend)


def check_bytes(task: Json, fetch: Callable[[], bytes], *, mend: str) -> None:
    """Whether what is fetched for a task's image is the image that was predicted.

    Raises LabelStudioError that names the task, what came instead, and the mend.
    """
    where = f"task {task['id']}: its image {task['data']['image']}"
    try:
        data = fetch()
    except (ImageError, LabelStudioError) as error:
        raise LabelStudioError(
            f"{where} does not load in the annotator's browser ({error}): {mend}"
        ) from error
    if image_id(data) != task["data"]["image_id"]:
        raise LabelStudioError(
            f"{where} answers {len(data):,} bytes that are not those of the image that was predicted: {mend}"
        )


def _is_local(ref: ImageRef) -> bool:
    return "://" not in ref.uri
