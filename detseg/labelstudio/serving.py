"""Ways in which an annotator's browser gets the images of tasks: a protocol, and that of files of this
machine.

    serving.prepare(refs)          # before tasks are sent: storages, uploads; doing it again changes nothing
    serving.renew(refs)            # for tasks that are there: puts back what got lost
    serving.url(ref)               # what the task's data holds as its image
    serving.check(client.task(id)) # after: fetches the image as the page would

An image that does not load can still be submitted by an annotator, so what cannot be shown is an error here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from detseg.errors import FormatError, ImageError, LabelStudioError
from detseg.images import image_id
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.served import ServedFolder
from detseg.labelstudio.session import Json
from detseg.types import ImageId, ImageRef


class ImageServing(Protocol):
    """One way to serve images. Raises LabelStudioError for what concerns all images of a call."""

    def prepare(self, refs: Iterable[ImageRef]) -> None:
        """Makes ready what the tasks of these images need. Doing it again changes nothing."""

    def renew(self, refs: Iterable[ImageRef]) -> None:
        """Puts back what the tasks of these images, which are there, have lost on this machine."""

    def url(self, ref: ImageRef) -> str:
        """Return what a task's data holds as its image; after ``prepare``.

        Raises FormatError or ImageError for an image that cannot be served.
        """

    def check(self, task: Json) -> None:
        """Fetches the image of a task (as the server answers it) as its page would, and compares the bytes.

        Raises LabelStudioError with what is wrong and its mend.
        """


@dataclass(slots=True)
class LocalFiles:
    """The server reads files of a folder that holds nothing but images of tasks; a storage row allows it."""

    client: LabelStudioClient
    project: int
    folder: ServedFolder
    _failed: dict[ImageId, str] = field(default_factory=dict, repr=False)
    _is_ready: bool = field(default=False, repr=False)

    def prepare(self, refs: Iterable[ImageRef]) -> None:
        """Places the images in the folder, and adds the storage row. ``url`` says what cannot be placed."""
        if not self._is_ready:
            self.folder.make()
            path = str(self.folder.path)
            if path not in self.client.local_storages(self.project):
                self.client.create_local_storage(self.project, path)
            self._is_ready = True
        for ref in refs:
            if _is_local(ref):
                try:
                    self.folder.place(ref)
                except ImageError as error:
                    self._failed[ref.id] = str(error)

    def renew(self, refs: Iterable[ImageRef]) -> None:
        """Places what is not in the folder any more, for instance after it was deleted."""
        self.prepare(ref for ref in refs if self.folder.url(ref.id) is None)

    def url(self, ref: ImageRef) -> str:
        """A URL relative to the server."""
        check_local(ref)
        if ref.id in self._failed:
            raise ImageError(self._failed[ref.id])
        url = self.folder.url(ref.id)
        if url is None:
            raise FormatError(f"{ref.uri} is not in {self.folder.path}: run again")
        return url

    def check(self, task: Json) -> None:
        """Fetches the image from the server."""
        mend = (
            f"the server must see {self.folder.path} below its document root: start the embedded one anew "
            "(`detseg down`, `detseg up`); one of your own must run with "
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true, and label_studio.files must name its "
            'LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT as seen from here; or set queue.serve_images to "upload"'
        )
        check_bytes(task, lambda: self.client.fetch(str(task["data"]["image"])), mend=mend)


def check_local(ref: ImageRef) -> None:
    """Raise FormatError for an image that is no file of this machine."""
    if not _is_local(ref):
        raise FormatError(
            f"{ref.uri} is no local file, so Label Studio cannot serve it from its disk: set "
            'queue.serve_images to "storage", "url" or "upload"'
        )


def check_bytes(task: Json, fetch: Callable[[], bytes], *, mend: str) -> None:
    """Check that what is fetched for a task's image is the image that was predicted.

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
