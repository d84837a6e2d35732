"""A source that cannot be served in the chosen way is said once, before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detseg.config import Settings
from detseg.errors import ConfigError
from detseg.labelstudio.serving import ImageServing
from detseg.pipeline.reading import open_sources
from detseg.pipeline.serving import image_serving
from tests.pipeline.conftest import write_image


class NoServer:
    """Nothing is asked of it."""

    url = "http://labels.example"


def serving(settings: Settings, **changes: Any) -> ImageServing:
    return image_serving(settings.updated(**changes), NoServer(), 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "how", "mend"),
    [
        ("s3://parts", "local-files", '"upload" or "storage", or "url" with queue.image_url_prefix'),
        ("https://a.example/p/", "local-files", '"upload" or "url"'),
        ("photos", "url", '"local-files" or "upload", or "url" with queue.image_url_prefix'),
        ("https://a.example/p/", "storage", '"upload" or "url"'),
    ],
)
def test_what_does_not_fit_is_one_line(settings: Settings, source: str, how: str, mend: str) -> None:
    with pytest.raises(ConfigError) as raised:
        serving(settings, source__location=source, queue__serve_images=how)
    assert str(raised.value) == (
        f'images of {source} cannot reach the browser by queue.serve_images = "{how}": set it to {mend}'
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
    assert serving(settings, source__location=source, queue__serve_images=how)


def test_a_prefix_makes_urls_of_files(settings: Settings) -> None:
    assert serving(
        settings,
        source__location="photos",
        queue__serve_images="url",
        queue__image_url_prefix="https://a.example",
    )


def test_googles_credentials_that_are_not_there_are_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))
    with pytest.raises(ConfigError, match=r"GOOGLE_APPLICATION_CREDENTIALS names a file that cannot be read"):
        serving(
            settings,
            source__location="gs://parts",
            queue__serve_images="storage",
            queue__storage_credentials="environment",
        )


OWN = {"label_studio__url": "https://labels.example", "source__location": "photos"}


def test_a_server_of_ones_own_needs_its_document_root(settings: Settings) -> None:
    with pytest.raises(
        ConfigError, match=r"label_studio.url is https://labels.example, but there is no label"
    ):
        serving(settings, **OWN)
    assert serving(settings, **OWN, queue__serve_images="upload")


@pytest.mark.parametrize("above", [".", "..", "/", "state", "state/..", "way"])
def test_a_document_root_that_holds_our_state_is_refused(settings: Settings, above: str) -> None:
    workplace = settings.state_path.parent
    (workplace / "way").symlink_to(workplace)
    with pytest.raises(ConfigError, match=r"label_studio.files is .* which holds .*state: everybody who can"):
        serving(settings, **OWN, label_studio__files=workplace / above)
    assert serving(settings, **OWN, label_studio__files=workplace / "files")


def test_a_document_root_that_holds_the_settings_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    elsewhere = {**OWN, "root": tmp_path / "work", "label_studio__files": tmp_path / "work"}
    assert serving(settings, **elsewhere)
    (tmp_path / "work" / "detseg.toml").write_text("")
    with pytest.raises(ConfigError, match=r"which holds .*detseg.toml: everybody"):
        serving(settings, **elsewhere)


@pytest.mark.parametrize("name", ["label_studio__token_file", "experiments__gold", "catalog"])
def test_a_document_root_that_holds_what_the_settings_name_is_refused(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    secret = tmp_path / "files" / "secret"
    named = {**OWN, name: f"sqlite:///{secret}" if name == "catalog" else secret}
    with pytest.raises(ConfigError, match=r"which holds .*/files/secret: everybody"):
        serving(settings, **named, label_studio__files=tmp_path / "files")
    assert serving(settings, **named, label_studio__files=tmp_path / "others")


def test_what_is_served_is_no_source(settings: Settings, folder: Path) -> None:
    """Neither the embedded server's folder, nor one below the document root of one's own."""
    (folder / "detseg-images").mkdir()
    write_image(folder / "detseg-images" / "0.png", seed=99)
    write_image(folder / "state" / "served" / "detseg-images" / "0.png", seed=98)
    for changes in ({"label_studio__files": folder}, {"state_dir": folder / "state"}):
        with open_sources(settings.updated(**changes)) as sources:
            listed = {Path(one.uri).relative_to(folder).parts[0] for one in sources.entries(str(folder))}
        assert len(listed) == 7
        assert not listed & ({"state"} if "state_dir" in changes else {"detseg-images"})
