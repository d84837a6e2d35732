"""Settings: three layers, one clear line for whatever is wrong in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from detseg.config import (
    ENV_PREFIX,
    ClassSettings,
    Settings,
    find_option,
    load_settings,
    settings_template,
)
from detseg.config.sections import Section
from detseg.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "detseg.toml"


def test_flags_go_over_variables_over_the_file(file: Path) -> None:
    file.write_text('queue.project = "file"\nengine.batch_size = 2\nrun.shard_size = 3\n')
    variables = {"DETSEG_QUEUE__PROJECT": "variable", "DETSEG_ENGINE__BATCH_SIZE": "4", "UNRELATED": "x"}
    settings = load_settings(file, environ=variables, queue__project="flag", engine__batch_size=None)
    assert (settings.queue.project, settings.engine.batch_size, settings.run.shard_size) == ("flag", 4, 3)


def test_relative_paths_start_at_the_file(file: Path) -> None:
    file.write_text('source.location = "photos"\n')
    settings = load_settings(file, environ={})
    assert settings.path(settings.source.location) == file.parent / "photos"
    assert settings.state_path == file.parent / ".detseg"
    assert settings.catalog_url == f"sqlite:///{file.parent / '.detseg' / 'catalog.sqlite3'}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("engine.batch_size = 0", "detseg.toml: engine.batch_size: .*greater than or equal to 1"),
        ("engine.batch_size = ", "detseg.toml is not valid TOML"),
        ("engine.batchsize = 1", r"no setting 'engine.batchsize' \(did you mean 'engine.batch_size'\?\)"),
        ("colours = 1", "there is no setting 'colours'"),
        ('engine.device = "gpu"', "detseg.toml: engine.device"),
        ('label_studio.url = "localhost"', "detseg.toml: label_studio.url"),
        ('[[classes]]\nname = "a"\nkind = "object"', r"classes\.0\.kind"),
        (
            '[[classes]]\nname = "a"\ncolor = "#ffffff"',
            r"0\.color' \(did you mean 'classes.0.colour'",
        ),
    ],
)
def test_a_broken_file_is_one_line_that_says_where(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(file, environ={})
    assert "\n" not in str(caught.value)


def test_a_broken_variable_and_a_broken_flag_are_named(file: Path) -> None:
    file.touch()
    with pytest.raises(ConfigError, match=r"the environment: model\.box_threshold"):
        load_settings(file, environ={"DETSEG_MODEL__BOX_THRESHOLD": "high"})
    with pytest.raises(ConfigError, match=r"the flags: model\.box_threshold"):
        load_settings(file, environ={}, model__box_threshold=7)
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
    settings = load_settings(file, environ={"DETSEG_LABEL_STUDIO__TOKEN": "hunter2"})
    assert settings.label_studio.token is not None
    assert settings.label_studio.token.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_classes_make_the_taxonomy_and_names_may_not_collide(file: Path) -> None:
    file.write_text(
        '[[classes]]\nname = "bolt"\naliases = ["screw"]\n[[classes]]\nname = "belt"\nkind = "stuff"\n'
    )
    taxonomy = load_settings(file, environ={}).declared_taxonomy
    assert taxonomy is not None
    assert taxonomy["Screw"].name == "bolt"
    assert [entry.kind for entry in taxonomy.classes] == ["thing", "stuff"]
    file.write_text('[[classes]]\nname = "bolt"\n[[classes]]\nname = "Bolt"\n')
    with pytest.raises(ConfigError, match="stands for two classes"):
        _ = load_settings(file, environ={}).declared_taxonomy


def test_the_template_is_what_the_defaults_are(file: Path) -> None:
    file.write_text(settings_template())
    written = load_settings(file, environ={})
    assert written == load_settings(None, environ={}).updated(root=written.root)
    for name, value in Settings():
        for option, _ in value if isinstance(value, Section) and name != "taxonomy" else ():
            assert f"{option} =" in settings_template().partition(f"[{name}]")[2]


def test_a_template_keeps_what_is_given(file: Path) -> None:
    given = load_settings(None, environ={}).updated(
        root=file.parent,
        catalog="sqlite:///elsewhere.sqlite3",
        source__location="\x7fphotos\\\t",
        model__detector=None,
        model__class_box_thresholds={"größe m": 0.25, "b": 1.0},
        model__augment_scales=(1.0, 1.5),
        label_studio__token="hunter2",
        experiments__gold=Path("gold.json"),
        classes=(ClassSettings(name="bolt", aliases=("screw",)), ClassSettings(name="belt", kind="stuff")),
    )
    file.write_text(settings_template(given))
    assert load_settings(file, environ={}) == given


FLAT = 'source = "photos"\nengine = "eager"\nbatch_size = 2\ntask_max_masks = 7\nlabel_studio_url = "http://ls"\n'


def test_a_file_of_the_first_release_is_read_with_one_line_that_says_how_to_move_it(file: Path) -> None:
    file.write_text(FLAT + 'experiment_seed = 3\ncatalog = "sqlite:///x.db"\n[[classes]]\nname = "bolt"\n')
    with pytest.warns(
        FutureWarning, match="source, engine, batch_size, ...: .* `detseg init --from .*"
    ) as said:
        settings = load_settings(file, environ={})
    assert len(said) == 1
    assert settings == Settings().updated(
        root=file.parent,
        catalog="sqlite:///x.db",
        source__location="photos",
        engine__mode="eager",
        engine__batch_size=2,
        labels__max_masks=7,
        label_studio__url="http://ls",
        experiments__seed=3,
        classes=(ClassSettings(name="bolt"),),
    )


def test_variables_of_the_first_release_are_read_and_sections_go_over_them(file: Path) -> None:
    file.touch()
    variables = {"DETSEG_SOURCE": "old", "DETSEG_ENGINE__BATCH_SIZE": "3", "DETSEG_LABEL_STUDIO_TOKEN": "t"}
    with pytest.warns(FutureWarning, match="write DETSEG_SOURCE__LOCATION for DETSEG_SOURCE$"):
        settings = load_settings(file, environ=variables)
    assert (settings.source.location, settings.engine.batch_size) == ("old", 3)
    assert settings.label_studio.token is not None


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("order", [1, -1])
def test_variables_of_both_kinds_count_in_whatever_order_they_stand(file: Path, order: int) -> None:
    """``source`` was an option and is a section, and both may be set for a while."""
    file.touch()
    given = {"DETSEG_SOURCE": "old", "DETSEG_SOURCE__MAX_PIXELS": "5"}
    given |= {"DETSEG_LABEL_STUDIO__TOKEN": "new", "DETSEG_LABEL_STUDIO_TOKEN": "old"}
    settings = load_settings(file, environ=dict([*given.items()][::order]))
    assert (settings.source.location, settings.source.max_pixels) == ("old", 5)
    assert settings.label_studio.token is not None
    assert settings.label_studio.token.get_secret_value() == "new"


def test_an_option_that_was_renamed_is_read_with_one_line(file: Path) -> None:
    file.write_text("[experiments]\nblind_share = 0.2\n")
    now = "experiments.blind_share is called experiments.control_share now"
    with pytest.warns(FutureWarning, match=f"detseg.toml: {now}$") as said:
        assert load_settings(file, environ={}).experiments.control_share == 0.2
    assert len(said) == 1
    file.write_text("")
    variables = {"DETSEG_EXPERIMENTS__BLIND_SHARE": "0.3"}
    with pytest.warns(FutureWarning, match=f"the environment: {now}$"):
        given = load_settings(file, environ=variables)
    assert given.experiments.control_share == 0.3


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "lines", [("blind_share = 0.2", "control_share = 0.3"), ("control_share = 0.3", "blind_share = 0.2")]
)
def test_the_name_of_now_goes_over_an_earlier_one(file: Path, lines: tuple[str, str]) -> None:
    file.write_text("\n".join(["[experiments]", *lines]))
    assert load_settings(file, environ={}).experiments.control_share == 0.3


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_option_of_the_first_release_may_have_another_name_now(file: Path) -> None:
    file.write_text("blind_share = 0.2\n")
    assert load_settings(file, environ={}).experiments.control_share == 0.2
    fields = [
        find_option(name)
        for name in ("blind_share", "experiments__blind_share", "experiments__control_share")
    ]
    assert fields[0] is fields[1] is fields[2] is not None


@pytest.mark.parametrize("variables", [{}, {"DETSEG_QUEUE__PROJECT": "parts"}])
def test_a_section_that_is_none_is_one_line(file: Path, variables: dict[str, str]) -> None:
    file.write_text("queue = 3\n")
    with pytest.raises(ConfigError, match=r"detseg.toml: queue is a section: .*\[queue\]") as caught:
        load_settings(file, environ=variables)
    assert "\n" not in str(caught.value)


def test_a_section_that_is_not_there_is_said_to_stand_where_it_does(file: Path) -> None:
    file.touch()
    with pytest.raises(ConfigError, match="the environment: there is no setting 'modell'"):
        load_settings(file, environ={"DETSEG_MODELL__DETECTOR": "sample"})


def test_settings_are_changed_one_by_one_and_looked_at_again() -> None:
    settings = Settings().updated(queue__restore=True, engine__batch_size=3)
    assert (settings.queue.restore, settings.engine.batch_size) == (True, 3)
    with pytest.raises(ValidationError, match=r"experiments.control_share"):
        settings.updated(experiments__control_share=2)
    with pytest.raises(ValidationError, match=r"queue.colour"):
        settings.updated(queue__colour="red")


def test_the_empty_name_means_no_model(file: Path) -> None:
    file.write_text('model.detector = ""\n')
    assert load_settings(file, environ={}).model.detector is None


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("model.class_box_thresholds = {bolt = nan}", "class_box_thresholds.bolt"),
        ("model.class_mask_thresholds = {bolt = 5}", "class_mask_thresholds.bolt"),
        ("model.augment_scales = [nan]", "augment_scales.0"),
        ("model.augment_scales = [-1.0]", "augment_scales.0"),
        ("model.augment_scales = [1e9]", "augment_scales.0"),
        ("model.committee_weights = [inf]", "committee_weights.0"),
        ('[[classes]]\nname = "bolt\\u001b[2J"', "has control characters"),
        ('[[classes]]\nname = "bolt\\u202e"', "has control characters"),
        ('source.location = "https://me:secret@example.org/images"', "source.location: holds a password"),
        ('label_studio.url = "http://me:secret@127.0.0.1:8080"', "label_studio.url: holds a password"),
        ('queue.image_url_prefix = "http://[::1/images"', "image_url_prefix: is no URL"),
        (f"engine.batch_size = {'9' * 6000}", "is not valid TOML"),
        (f"model.committee = {'[' * 100_000}", "is not valid TOML"),
        ("model.committee = '" + "[" * 100_000 + "'", "nest too deeply"),
    ],
)
def test_values_that_no_run_could_use_are_one_line(tmp_path: Path, toml: str, words: str) -> None:
    file = tmp_path / "detseg.toml"
    file.write_text(toml + "\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(file, environ={})
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(file))


def test_the_file_names_the_values_of_every_enumerated_setting() -> None:
    lines = settings_template().splitlines()
    for section in Settings.model_json_schema()["$defs"].values():
        for name, schema in section["properties"].items():
            if "enum" in schema and name != "kind":
                (place,) = (n for n, line in enumerate(lines) if line.startswith(f"{name} = "))
                values = ", ".join(json.dumps(value) for value in schema["enum"])
                assert lines[place - 1].endswith(f"({values})")


def test_every_variable_that_the_file_names_is_a_setting() -> None:
    for name in re.findall(rf"{ENV_PREFIX}([A-Z_]+)", settings_template()):
        assert find_option(name.lower()) is not None, name
