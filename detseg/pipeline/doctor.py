"""Checks of this machine: what is missing or wrong, and the command that fixes it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from detseg.errors import LabelStudioError
from detseg.pipeline.checks import Check, attempt
from detseg.pipeline.doctor_queue import look_at_label_studio
from detseg.pipeline.reading import open_sources, source_location
from detseg.pipeline.workspace import opened_catalog
from detseg.plurals import format_count

if TYPE_CHECKING:
    from pathlib import Path

    from detseg.config import Settings
    from detseg.config.sections import LabelStudioSettings

_FREE_BYTES = 2 * 1024**3
_PACKAGES = ("torch", "torchvision", "transformers", "timm", "prefect", "fastapi", "sqlalchemy", "hotcoco")


def examine(settings: Settings) -> Iterator[Check]:
    """Every check in turn, the quick ones first. They change nothing but an old catalog's schema."""
    yield _python()
    yield _packages()
    yield _disk(settings.state_path)
    for name, look, mend in (
        ("source", partial(_source, settings), "set source.location in detseg.toml, or give --source"),
        (
            "models",
            partial(_models, settings),
            "set model.detector and model.segmenter in detseg.toml, or promote another model",
        ),
        ("catalog", partial(_catalog, settings), "set catalog in detseg.toml, or move the file away"),
        ("Label Studio server", partial(_installed, settings.label_studio), "detseg up"),
    ):
        yield attempt(name, look, mend)
    yield from look_at_label_studio(settings)


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check("Python", (3, 11) <= sys.version_info < (3, 13), found, "use Python 3.11 or 3.12")


def _packages() -> Check:
    try:
        found = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    except PackageNotFoundError as error:
        return Check("packages", False, f"{error.name} is not installed", "pip install detseg")
    return Check("packages", True, found)


def _disk(folder: Path) -> Check:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / 1024**3:.0f} GiB free in {folder}"
    return Check("disk", free >= _FREE_BYTES, found, "make room, or set state_dir to a larger disk")


def _source(settings: Settings) -> str:
    location = source_location(settings)
    with open_sources(settings) as sources:
        return f"{format_count(sum(1 for _ in sources.entries(location)), 'image')} in {location}"


def _models(settings: Settings) -> str:
    from detseg.pipeline import predictors
    from detseg.pipeline.promoted import choose_models
    from detseg.pipeline.reviewed import find_drawn

    settings = choose_models(settings).settings
    return predictors.load(predictors.predictor_settings(settings), drawn=find_drawn(settings)).version


def _catalog(settings: Settings) -> str:
    with opened_catalog(settings) as catalog:
        return f"{format_count(catalog.images.count(), 'image')} in {catalog.url}"


def _installed(server: LabelStudioSettings) -> str:
    from detseg.labelstudio.install import find_executable

    if server.url is not None:
        return "not needed: label_studio.url names one"
    found = find_executable()
    if found is None:
        raise LabelStudioError("the embedded server is not installed")
    return str(found)
