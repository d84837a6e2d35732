"""The sources of the settings, and images read from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detseg.images import decode_image
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.queued import SCHEME, QueuedImages
from detseg.pipeline.workspace import find_connection
from detseg.sources.protocol import Limits
from detseg.sources.registry import Sources, scheme_of
from detseg.types import DecodedImage

if TYPE_CHECKING:
    from detseg.config import Settings


def open_sources(settings: Settings) -> Sources:
    """Every place that images may be read from; connections are kept until it is closed."""
    limits = read_limits(settings)

    def queued() -> QueuedImages:
        connection = find_connection(settings)
        return QueuedImages(LabelStudioClient(connection.url, connection.token), Sources(limits))

    return Sources(limits, {SCHEME: queued})


def read_limits(settings: Settings) -> Limits:
    """What reading one image may cost and where it may lead."""
    return Limits(settings.max_image_bytes, settings.allow_private_addresses)


def source_location(settings: Settings) -> str:
    """The source of the settings as an address: a URL as it is, a path made absolute."""
    if scheme_of(settings.source) != "file":
        return settings.source
    return str(settings.path(settings.source.removeprefix("file://")))


def read_from(
    sources: Sources, uri: str, *, max_pixels: int, formats: frozenset[str] | None = None
) -> DecodedImage:
    """The upright RGB image behind an address. Raises ImageError; ``decode_image`` says what is refused."""
    return decode_image(sources.read(uri), uri, max_pixels=max_pixels, formats=formats)


def read_one(settings: Settings, uri: str) -> DecodedImage:
    """The image behind an address, with connections of its own. Raises ImageError."""
    with open_sources(settings) as sources:
        return read_from(sources, uri, max_pixels=settings.max_pixels)
