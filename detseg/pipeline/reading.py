"""The sources of the settings, and images read from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detseg.catalog import FoundImage
from detseg.errors import DatasetError, ImageError
from detseg.images import BROWSER_FORMATS, decode_image, image_id, upright_size
from detseg.labelstudio.queued import SCHEME, QueuedImages
from detseg.labelstudio.served import FOLDER
from detseg.pipeline.workspace import open_client
from detseg.plurals import format_count
from detseg.sources.manifest import REMOTE
from detseg.sources.protocol import Limits
from detseg.sources.registry import Sources, scheme_of
from detseg.types import DecodedImage, Entry, Failure, ImageId

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.config.sections import RunSettings


def open_sources(settings: Settings) -> Sources:
    """Every place that images may be read from; connections are kept until it is closed."""
    limits = read_limits(settings)

    def queued() -> QueuedImages:
        others = Sources(limits, schemes=REMOTE)
        return QueuedImages(open_client(settings.server), others)

    return Sources(limits, {SCHEME: queued})


def read_limits(settings: Settings) -> Limits:
    """Return the limits of reading one image: what it may cost, and where it may lead, which is never to our
    state, nor to what is served."""
    ours = [settings.state_path]
    if settings.label_studio.files is not None:
        ours.append(settings.path(settings.label_studio.files) / FOLDER)
    closed = tuple(os.path.realpath(folder) for folder in ours)
    source = settings.source
    return Limits(source.max_image_bytes, source.allow_private_addresses, closed, source.max_pixels)


def source_location(settings: Settings) -> str:
    """The source of the settings as an address: a URL as it is, a path made absolute."""
    if scheme_of(settings.source.location) != "file":
        return settings.source.location
    return str(settings.path(settings.source.location.removeprefix("file://")))


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """The result of reading one place. ``id`` is that of its bytes, image or not; None where there are
    none."""

    uri: str
    id: ImageId | None
    outcome: FoundImage | Failure


def read_entry(sources: Sources, entry: Entry) -> ReadEntry:
    """Read what is at a place of a source: an image that annotators can be shown, or why it is none."""
    id_ = None
    try:
        data = sources.read(entry.uri)
        id_ = image_id(data)
        size = upright_size(data, max_pixels=sources.limits.max_pixels, formats=BROWSER_FORMATS)
        return ReadEntry(entry.uri, id_, FoundImage(id_, size, entry))
    except ImageError as error:
        return ReadEntry(entry.uri, id_, Failure(entry.uri, str(error)))


def read_from(sources: Sources, uri: str, *, formats: frozenset[str] | None = None) -> DecodedImage:
    """The upright RGB image behind an address. Raises ImageError; ``decode_image`` says what is refused."""
    return decode_image(sources.read(uri), uri, max_pixels=sources.limits.max_pixels, formats=formats)


def read_one(settings: Settings, uri: str) -> DecodedImage:
    """The image behind an address, with connections of its own. Raises ImageError."""
    with open_sources(settings) as sources:
        return read_from(sources, uri)


def read_labeled(sources: Sources, uri: str, image: ImageId | None) -> bytes:
    """The bytes that were labeled. Raises ImageError where they are gone or others."""
    if not uri:
        raise ImageError("has no place any more where it can be read: list its source again")
    data = sources.read(uri)
    if image_id(data) != image:
        raise ImageError("has other bytes than the ones that were labeled")
    return data


def describe_unread(run: RunSettings, unread: Sequence[str], of: str, *, n_images: int) -> tuple[str, ...]:
    """Return a line about images that are left out, by their places; none where there are none.

    ``of`` names the ``n_images`` among which they are: a dataset version or a split of one. DatasetError
    where they are too large a share of them, or all.
    """
    if not unread:
        return ()
    gone = format_count(len(unread), "image")
    said = f"{gone} of {n_images:,} of {of} cannot be read any more, the first: {unread[0]}"
    if len(unread) > run.max_quarantined_share * n_images or len(unread) == n_images:
        raise DatasetError(
            f"{said}: put them back, or make a version of what is there (run.max_quarantined_share is "
            f"{run.max_quarantined_share:g})"
        )
    return (f"{said}; left out",)
