"""The guide to the classes in a project's instruction: definitions, rules and example pictures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from PIL import Image

from detseg.errors import ConfigError, ImageError
from detseg.images import read_image
from detseg.labelstudio.instruction import class_guide, class_stamp, guide_stamp, with_guide
from detseg.paging import pages
from detseg.sources.registry import LOCAL, scheme_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from detseg.labelstudio.client import LabelStudioClient, Project
    from detseg.taxonomy import LabelClass, Taxonomy

_FILES_PER_REQUEST = 50
_SIDE_PX = 400
"""Of a picture as it is sent: the page shows it at half of that, screens may be fine."""


def follow_guidance(
    taxonomy: Taxonomy | None, client: LabelStudioClient, project: Project, locate: Callable[[str], Path]
) -> None:
    """Has the project's instruction say what is declared of the classes; once, until that is something else.

    Example pictures are read where ``locate`` leads to, and sent as small JPEGs, so that nothing but pixels
    of a file arrives. What people wrote into the instruction stays. Raises ConfigError for an example that
    cannot be read.
    """
    classes = taxonomy.classes if taxonomy else ()
    pictures = {example: data for cls in classes for example, data in _pictures(cls, locate).items()}
    stamp = class_stamp(classes, pictures)
    if stamp == guide_stamp(project.instruction):
        return
    guide = class_guide(classes, _upload(client, project.id, pictures), stamp)
    client.update_project(project.id, expert_instruction=with_guide(project.instruction, guide))


def _upload(client: LabelStudioClient, project: int, pictures: Mapping[str, bytes]) -> dict[str, str]:
    """Copy pictures to the server; their URLs there, by their paths here."""
    prefix = urlsplit(client.url).path
    urls: dict[str, str] = {}
    for page in pages(pictures, _FILES_PER_REQUEST):
        files = [(f"example-{number}.jpg", pictures[example]) for number, example in enumerate(page)]
        paths = {
            path.partition("-")[2]: path for path in client.uploads(project, client.upload(project, files))
        }
        urls |= {
            example: f"{prefix}/data/{paths[name]}" for example, (name, _) in zip(page, files, strict=True)
        }
    return urls


def _pictures(cls: LabelClass, locate: Callable[[str], Path]) -> dict[str, bytes]:
    """Read the examples of a class that are files; URLs are left to the browser."""
    found = {}
    for example in cls.examples:
        if (scheme := scheme_of(example)) in ("http", "https"):
            continue
        if scheme != LOCAL:
            raise ConfigError(
                f"an example of the class {cls.name!r} is {example}: name a file, or an http(s) URL"
            )
        try:
            image = read_image(str(locate(example)))
        except ImageError as error:
            raise ConfigError(f"an example of the class {cls.name!r}, {example}, {error}") from error
        small = Image.fromarray(image.rgb)
        small.thumbnail((_SIDE_PX, _SIDE_PX))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=85)
        found[example] = buffer.getvalue()
    return found
