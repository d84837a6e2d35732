"""Settings: three layers, one clear line for whatever is wrong in them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from detseg.config import Settings, load_settings, settings_template
from detseg.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "detseg.toml"


def test_flags_go_over_variables_over_the_file(file: Path) -> None:
    file.write_text('project = "file"\nbatch_size = 2\nshard_size = 3\n')
    variables = {"DETSEG_PROJECT": "variable", "DETSEG_BATCH_SIZE": "4", "UNRELATED": "x"}
    settings = load_settings(file, environ=variables, project="flag", batch_size=None)
    assert (settings.project, settings.batch_size, settings.shard_size) == ("flag", 4, 3)


def test_relative_paths_start_at_the_file(file: Path) -> None:
    file.write_text('source = "photos"\n')
    settings = load_settings(file, environ={})
    assert settings.path(settings.source) == file.parent / "photos"
    assert settings.state_path == file.parent / ".detseg"
    assert settings.catalog_url == f"sqlite:///{file.parent / '.detseg' / 'catalog.sqlite3'}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_size = 0", "detseg.toml: batch_size: .*greater than or equal to 1"),
        ("batch_size = ", "detseg.toml is not valid TOML"),
        ("batchsize = 1", r"there is no setting 'batchsize' \(did you mean 'batch_size'\?\)"),
        ("colours = 1", "there is no setting 'colours'"),
        ('device = "gpu"', "detseg.toml: device"),
        ('label_studio_url = "localhost"', "detseg.toml: label_studio_url"),
        ('[[classes]]\nname = "a"\nkind = "object"', r"classes\.0\.kind"),
        ('[[classes]]\nname = "a"\ncolor = "#ffffff"', r"classes\.0\.color' \(did you mean 'colour'"),
    ],
)
def test_a_broken_file_is_one_line_that_says_where(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(file, environ={})
    assert "\n" not in str(caught.value)


def test_a_broken_variable_and_a_broken_flag_are_named(file: Path) -> None:
    file.touch()
    with pytest.raises(ConfigError, match="the environment: box_threshold"):
        load_settings(file, environ={"DETSEG_BOX_THRESHOLD": "high"})
    with pytest.raises(ConfigError, match="the flags: box_threshold"):
        load_settings(file, environ={}, box_threshold=7)
    with pytest.raises(ConfigError, match=r"the environment: there is no setting 'sorce' .*'source'"):
        load_settings(file, environ={"DETSEG_SORCE": "photos"})


def test_bytes_that_are_no_text_and_a_missing_file_are_config_errors(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(file, environ={})
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(file.with_name("gone.toml"), environ={})


def test_the_token_is_never_shown(file: Path) -> None:
    file.touch()
    settings = load_settings(file, environ={"DETSEG_LABEL_STUDIO_TOKEN": "hunter2"})
    assert settings.label_studio_token is not None
    assert settings.label_studio_token.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_classes_make_the_taxonomy_and_names_may_not_collide(file: Path) -> None:
    file.write_text(
        '[[classes]]\nname = "bolt"\naliases = ["screw"]\n[[classes]]\nname = "belt"\nkind = "stuff"\n'
    )
    taxonomy = load_settings(file, environ={}).taxonomy
    assert taxonomy is not None
    assert taxonomy["Screw"].name == "bolt"
    assert [entry.kind for entry in taxonomy.classes] == ["thing", "stuff"]
    file.write_text('[[classes]]\nname = "bolt"\n[[classes]]\nname = "Bolt"\n')
    with pytest.raises(ConfigError, match="stands for two classes"):
        _ = load_settings(file, environ={}).taxonomy


def test_the_template_is_what_the_defaults_are(file: Path) -> None:
    file.write_text(settings_template())
    written = load_settings(file, environ={})
    assert written == load_settings(None, environ={}).model_copy(update={"root": written.root})
    missing = set(Settings.model_fields) - {"root", "classes"} - set(tomllib.loads(settings_template()))
    for name in missing:
        assert f"# {name} =" in settings_template()


def test_the_empty_name_means_no_model(file: Path) -> None:
    file.write_text('detector = ""\n')
    assert load_settings(file, environ={}).detector is None
