"""The way that the settings choose for images to reach the annotator's browser."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from detseg.errors import ConfigError
from detseg.labelstudio.project import DOCUMENT_ROOT
from detseg.labelstudio.queued import SCHEME
from detseg.labelstudio.serving import ImageServing, LocalFiles
from detseg.labelstudio.serving_storage import BucketStorages, environment_credentials
from detseg.labelstudio.serving_upload import Uploads
from detseg.labelstudio.serving_url import PlainUrls
from detseg.pipeline.reading import open_sources, read_limits, source_location
from detseg.sources.manifest import is_manifest
from detseg.sources.objects import CLOUDS
from detseg.sources.registry import LOCAL, scheme_of

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.labelstudio.client import LabelStudioClient


def image_serving(settings: Settings, client: LabelStudioClient, project: int) -> ImageServing:
    """The serving of the settings for one project.

    Raises ConfigError for a source that cannot be served so, and for credentials that cannot be read.
    """
    check_serving(settings)
    limits = read_limits(settings)
    if settings.serve_images == "upload":
        return Uploads(client, project, partial(open_sources, settings))
    if settings.serve_images == "url":
        return PlainUrls(client.url, source_location(settings), settings.image_url_prefix, limits)
    if settings.serve_images == "storage":
        secrets = settings.storage_credentials == "environment"
        try:
            credentials = environment_credentials(os.environ, secrets=secrets)
        except OSError as error:
            raise ConfigError(
                f"GOOGLE_APPLICATION_CREDENTIALS names a file that cannot be read: {error}"
            ) from error
        return BucketStorages(client, project, limits, credentials)
    root = settings.path(settings.label_studio_files) if settings.label_studio_files else DOCUMENT_ROOT
    return LocalFiles(client, project, settings.path(settings.source), root)


def check_serving(settings: Settings) -> None:
    """Whether images of the source can be served in the way of the settings. Raises ConfigError if not.

    A manifest's images may be anywhere, and tasks that are there have theirs; other sources say by their
    scheme what can serve them.
    """
    scheme, how = scheme_of(settings.source), settings.serve_images
    if is_manifest(settings.source) or scheme == SCHEME:
        return
    fits = {
        "local-files": scheme == LOCAL,
        "upload": True,
        "url": settings.image_url_prefix is not None or scheme in ("http", "https"),
        "storage": scheme in CLOUDS,
    }
    if not fits[how]:
        others = " or ".join(f'"{name}"' for name, fit in fits.items() if fit)
        url = "" if fits["url"] else ', or "url" with image_url_prefix'
        raise ConfigError(
            f'images of {settings.source} cannot reach the browser by serve_images = "{how}": set it to '
            f"{others}{url}"
        )
