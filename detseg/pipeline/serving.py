"""The way that the settings choose for images to reach the annotator's browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detseg.labelstudio.project import DOCUMENT_ROOT
from detseg.labelstudio.serving import ImageServing, LocalFiles

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.labelstudio.client import LabelStudioClient


def image_serving(settings: Settings, client: LabelStudioClient, project: int) -> ImageServing:
    """The serving of the settings for one project."""
    root = settings.path(settings.label_studio_files) if settings.label_studio_files else DOCUMENT_ROOT
    return LocalFiles(client, project, settings.path(settings.source), root)
