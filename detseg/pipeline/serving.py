"""The way that the settings choose for images to reach the annotator's browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from detseg.config import FILE_NAME
from detseg.errors import ConfigError
from detseg.labelstudio.queued import SCHEME
from detseg.labelstudio.served import ServedFolder
from detseg.labelstudio.server import SERVED
from detseg.labelstudio.serving import ImageServing, LocalFiles, check_local
from detseg.labelstudio.serving_storage import BucketStorages, environment_credentials, object_url
from detseg.labelstudio.serving_upload import Uploads
from detseg.labelstudio.serving_url import UrlServing, plain_url
from detseg.pipeline.reading import open_sources, read_limits, source_location
from detseg.sources.manifest import is_manifest
from detseg.sources.objects import CLOUDS
from detseg.sources.registry import LOCAL, scheme_of
from detseg.types import ImageRef

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.labelstudio.client import LabelStudioClient

_SQLITE = "sqlite:///"  # begins the URL of a catalog that is a file


def image_serving(settings: Settings, client: LabelStudioClient, project: int) -> ImageServing:
    """The serving of the settings for one project.

    Raises ConfigError for a source that cannot be served so, and for credentials that cannot be read.
    """
    check_serving(settings)
    limits = read_limits(settings)
    if settings.queue.serve_images == "upload":
        return Uploads(client, project, partial(open_sources, settings))
    if settings.queue.serve_images == "url":
        return UrlServing(client.url, source_location(settings), settings.queue.image_url_prefix, limits)
    if settings.queue.serve_images == "storage":
        secrets = settings.queue.storage_credentials == "environment"
        try:
            credentials = environment_credentials(os.environ, secrets=secrets)
        except OSError as error:
            raise ConfigError(
                f"GOOGLE_APPLICATION_CREDENTIALS names a file that cannot be read: {error}"
            ) from error
        return BucketStorages(client, project, limits, credentials)
    return LocalFiles(client, project, served_folder(settings))


def check_serving(settings: Settings) -> None:
    """Check that images of the source can be served in the way of the settings. Raises ConfigError if not.

    A manifest's images may be anywhere, and tasks that are there have theirs; other sources say by their
    scheme what can serve them.
    """
    scheme, how = scheme_of(settings.source.location), settings.queue.serve_images
    if how == "local-files":
        served_folder(settings)
    if is_manifest(settings.source.location) or scheme == SCHEME:
        return
    fits = {
        "local-files": scheme == LOCAL,
        "upload": True,
        "url": settings.queue.image_url_prefix is not None or scheme in ("http", "https"),
        "storage": scheme in CLOUDS,
    }
    if not fits[how]:
        others = " or ".join(f'"{name}"' for name, fit in fits.items() if fit)
        url = "" if fits["url"] else ', or "url" with queue.image_url_prefix'
        raise ConfigError(
            f"images of {settings.source.location} cannot reach the browser by queue.serve_images = "
            f'"{how}": set it to {others}{url}'
        )


def check_servable(settings: Settings, ref: ImageRef) -> None:
    """Raise FormatError for an image that cannot reach the browser in the way of the settings."""
    if settings.queue.serve_images == "local-files":
        check_local(ref)
    elif settings.queue.serve_images == "url":
        plain_url(ref, source_location(settings), settings.queue.image_url_prefix)
    elif settings.queue.serve_images == "storage":
        object_url(ref)


def served_folder(settings: Settings) -> ServedFolder:
    """The folder that Label Studio serves images of tasks from: ours alone, below its document root.

    Raises ConfigError where a Label Studio of the user's own is not said to have a document root, and for one
    above anything of ours.
    """
    if settings.label_studio.url is None:
        return ServedFolder(settings.state_path / SERVED)
    if settings.label_studio.files is None:
        raise ConfigError(
            f"label_studio.url is {settings.label_studio.url}, but there is no label_studio.files: set it to "
            "that server's LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT as seen from here (images are placed in a "
            'folder below it), or set queue.serve_images to "upload"'
        )
    root = settings.path(settings.label_studio.files)
    for secret in _secrets(settings):
        if _is_below(secret, root):
            raise ConfigError(
                f"label_studio.files is {root}, which holds {secret}: everybody who can sign in to Label "
                "Studio could read it; set label_studio.files (and the server's document root) to a folder "
                "that holds images alone, or move what it may not hold"
            )
    return ServedFolder(root)


def _secrets(settings: Settings) -> Iterator[Path]:
    """Yield the files of ours that no annotator may read."""
    yield settings.state_path
    if (settings.root / FILE_NAME).exists():
        yield settings.root / FILE_NAME
    truth = settings.experiments.gold  # what annotators are measured by
    for named in (settings.label_studio.token_file, truth):
        if named is not None:
            yield settings.path(named)
    if settings.catalog_url.startswith(_SQLITE):
        yield settings.path(settings.catalog_url.removeprefix(_SQLITE))


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
