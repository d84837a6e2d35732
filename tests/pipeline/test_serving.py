"""A source that cannot be served in the chosen way is said once, before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detseg.config import Settings
from detseg.errors import ConfigError
from detseg.labelstudio.serving import ImageServing
from detseg.pipeline.serving import image_serving


class NoServer:
    """Nothing is asked of it."""

    url = "http://labels.example"


def serving(settings: Settings, **changes: Any) -> ImageServing:
    return image_serving(settings.model_copy(update=changes), NoServer(), 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "how", "mend"),
    [
        ("s3://parts", "local-files", '"upload" or "storage", or "url" with image_url_prefix'),
        ("https://a.example/p/", "local-files", '"upload" or "url"'),
        ("photos", "url", '"local-files" or "upload", or "url" with image_url_prefix'),
        ("https://a.example/p/", "storage", '"upload" or "url"'),
    ],
)
def test_what_does_not_fit_is_one_line(settings: Settings, source: str, how: str, mend: str) -> None:
    with pytest.raises(ConfigError) as raised:
        serving(settings, source=source, serve_images=how)
    assert str(raised.value) == (
        f'images of {source} cannot reach the browser by serve_images = "{how}": set it to {mend}'
    )


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("photos", "local-files"),
        ("photos", "upload"),
        ("s3://parts", "storage"),
        ("s3://parts", "upload"),
        ("https://a.example/p/", "url"),
        ("list.csv", "storage"),
        ("labelstudio://parts", "local-files"),
    ],
)
def test_what_fits_is_made(settings: Settings, source: str, how: str) -> None:
    assert serving(settings, source=source, serve_images=how)


def test_a_prefix_makes_urls_of_files(settings: Settings) -> None:
    assert serving(settings, source="photos", serve_images="url", image_url_prefix="https://a.example")


def test_googles_credentials_that_are_not_there_are_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))
    with pytest.raises(ConfigError, match=r"GOOGLE_APPLICATION_CREDENTIALS names a file that cannot be read"):
        serving(settings, source="gs://parts", serve_images="storage", storage_credentials="environment")
