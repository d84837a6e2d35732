"""The promoted model pre-annotates, until it is rolled back or something else is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detseg.catalog import RegisteredModel
from detseg.config import Settings, load_settings
from detseg.config.sections import ModelSettings
from detseg.errors import CatalogError, ConfigError, ModelError
from detseg.pipeline.choosing import choose_models, thresholds_in_use
from detseg.pipeline.promoting import Verdict, promote, remove, roll_back
from detseg.pipeline.registry import register
from detseg.pipeline.workspace import opened_catalog
from tests.pipeline.models import make_trained


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a file that names a detector, without a segmenter."""
    return Settings(
        root=tmp_path, model=ModelSettings(detector="first", segmenter=None, committee=("second",))
    )


def trained(settings: Settings, name: str, **options: Any) -> RegisteredModel:
    return register(settings, make_trained(settings.root / name, **options))


def present(settings: Settings) -> tuple[str | None, str | None]:
    model = choose_models(settings).settings.model
    return model.detector, model.segmenter


def by_force(settings: Settings, *names: str) -> None:
    for name in names:
        assert promote(settings, name, None).is_present


def test_nothing_is_chosen_or_made_where_nothing_was_ever_promoted(settings: Settings) -> None:
    assert choose_models(settings).settings is settings
    assert not settings.state_path.exists()
    trained(settings, "a")
    assert choose_models(settings).settings is settings


def test_a_promoted_detector_takes_the_place_of_the_files(settings: Settings) -> None:
    path = trained(settings, "a").path
    by_force(settings, "a")
    chosen = choose_models(settings)
    assert (chosen.settings.model.detector, chosen.settings.model.segmenter) == (path, None)
    assert chosen.settings.model.committee == ()
    reason, of_committee = chosen.notes
    assert reason.startswith("predicting with a, the promoted model (since 20")
    assert reason.endswith("`detseg models rollback` goes back to the models of the settings")
    assert of_committee.startswith("model.committee (second) has no say any more: a model is judged and ")
    further_on = choose_models(chosen.settings)  # in the same run
    assert (further_on.settings, further_on.notes) == (chosen.settings, ())
    assert further_on.promotion == chosen.promotion


@pytest.mark.parametrize(
    ("architecture", "places"),
    [
        ("RTDetrForObjectDetection", ("a", "own")),
        ("Mask2FormerForUniversalSegmentation", (None, "a")),
        ("SegformerForSemanticSegmentation", (None, "a")),
        ("RfDetrForInstanceSegmentation", ("a", "a")),
    ],
)
def test_what_answers_masks_takes_both_places(
    architecture: str, places: tuple[str | None, str | None], settings: Settings
) -> None:
    settings = settings.model_copy(update={"model": ModelSettings(detector="first", segmenter="own")})
    path = trained(settings, "a", architecture=architecture).path
    by_force(settings, "a")
    assert present(settings) == tuple(path if one == "a" else one for one in places)


@pytest.mark.parametrize(("label", "segmenter"), [("red blood cell", None), ("Bolt", "sample")])
def test_the_samples_segmenter_stays_where_it_knows_a_class(
    label: str, segmenter: str | None, settings: Settings
) -> None:
    path = trained(settings, "a", label=label).path
    by_force(settings, "a")
    nobody_chose = Settings(root=settings.root)
    assert present(nobody_chose) == (path, segmenter)
    assert present(nobody_chose.as_given(["model__segmenter"])) == (path, "sample")


@pytest.mark.parametrize(
    ("variables", "flags", "places"),
    [
        ({}, {"model__detector": "other"}, ("other", "sample")),
        ({"DETSEG_MODEL__DETECTOR": "other"}, {}, ("other", "sample")),
        ({}, {"model__segmenter": "other"}, ("a", "other")),
        ({}, {"model__segmenter": ""}, ("a", None)),
        ({}, {"engine__device": "cpu"}, ("a", None)),
        ({"DETSEG_MODEL__COMMITTEE": "[]"}, {}, ("a", None)),
    ],
)
def test_flags_and_variables_go_over_a_promotion(
    variables: dict[str, str],
    flags: dict[str, str],
    places: tuple[str, str | None],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = trained(settings, "a", label="red blood cell").path
    by_force(settings, "a")
    monkeypatch.chdir(settings.root)
    Path("detseg.toml").write_text('[model]\ndetector = "first"\n')
    chosen = choose_models(load_settings(environ=variables, **flags))
    model = chosen.settings.model
    assert (model.detector, model.segmenter) == (path if places[0] == "a" else places[0], places[1])
    said = "--detector or DETSEG_MODEL__DETECTOR is given, so the promoted model, a, is not used"
    assert (chosen.notes == (said,)) == (places[0] == "other")


def test_thresholds_in_use_are_those_of_the_settings_and_over_them_of_the_promotion(tmp_path: Path) -> None:
    model = ModelSettings(box_threshold=0.3, class_box_thresholds={"nut": 0.4}, mask_threshold=0.6)
    settings = Settings(root=tmp_path, model=model)
    register(settings, make_trained(tmp_path / "mine"))
    with opened_catalog(settings) as catalog:
        assert thresholds_in_use(settings, catalog, ("bolt", "nut")) == {"bolt": 0.3, "nut": 0.4}
        without = settings.updated(model__detector="")
        assert thresholds_in_use(without, catalog, ("bolt",)) == {"bolt": 0.6}
        catalog.promotions.promote("mine", box_thresholds={"bolt": 0.65})
        assert thresholds_in_use(settings, catalog, ("bolt", "nut")) == {"bolt": 0.65, "nut": 0.4}
        given = settings.updated(model__class_box_thresholds={"bolt": 0.2})
        assert thresholds_in_use(given, catalog, ("bolt",)) == {"bolt": 0.2}


def test_promoting_again_changes_nothing(settings: Settings) -> None:
    trained(settings, "a")
    first, again = (promote(settings, "a", None) for _ in range(2))
    assert (first.is_new, again.is_new) == (True, False)
    assert first.promotion == again.promotion
    assert again.to_json() == {**first.to_json(), "changed": False}
    judged = promote(settings, "a", lambda *_: pytest.fail("it is the present model"))
    assert (judged.is_present, judged.is_new) == (True, False)
    assert first.to_json()["kind"] == "forced"


@pytest.mark.parametrize("better", [True, False, None])
def test_a_judgement_decides(better: bool | None, settings: Settings) -> None:
    trained(settings, "a")
    judgement = {"better": better, "missing": ["the interval ends above 0"]}
    done = promote(settings, "a", lambda _, model: Verdict(better, {**judgement, "of": model.name}))
    assert done.to_json() == {
        "model": "a",
        "promoted": better is True,
        "changed": better is True,
        "kind": "promoted" if better else None,
        "at": done.promotion.at.isoformat() if done.promotion else None,
        "judgement": {**judgement, "of": "a"},
        "reasons": [] if better else judgement["missing"],
    }
    with opened_catalog(settings) as catalog:
        log = catalog.promotions.all()
    assert [(one.kind, one.judgement) for one in log] == (
        [("promoted", {**judgement, "of": "a"})] if better else []
    )


@pytest.mark.parametrize("better", [True, None])
def test_a_judgement_beside_a_model_that_is_the_present_one_no_more_promotes_nothing(
    better: bool | None, settings: Settings
) -> None:
    for n, name in enumerate("abc"):
        trained(settings, name, seed=n)
    by_force(settings, "a")

    def judge(settings: Settings, _model: RegisteredModel) -> Verdict:
        by_force(settings, "b")  # as somebody else does while this goes on
        return Verdict(better, {"better": better, "missing": []})

    if better:
        with pytest.raises(CatalogError, match=r"^c was not promoted: b has become the present model mean"):
            promote(settings, "c", judge)
    else:
        assert not promote(settings, "c", judge).is_present
    assert present(settings) == (str(settings.root / "b"), None)


def test_a_model_that_is_removed_while_it_is_judged_is_not_promoted(settings: Settings) -> None:
    trained(settings, "a")

    def judge(settings: Settings, model: RegisteredModel) -> Verdict:
        remove(settings, model.name)
        return Verdict(True, {"better": True, "missing": []})

    with pytest.raises(CatalogError, match=r"^a was not promoted: it has been removed meanwhile$"):
        promote(settings, "a", judge)
    assert choose_models(settings).settings is settings


def test_rolling_back_is_one_step_each_time(settings: Settings) -> None:
    paths = [trained(settings, name, seed=n).path for n, name in enumerate("ab")]
    by_force(settings, "a", "b")
    assert choose_models(settings).notes[0].endswith("`detseg models rollback` goes back to a")
    assert present(settings) == (paths[1], None)
    assert roll_back(settings).model == "a"
    assert present(settings) == (paths[0], None)
    assert roll_back(settings).model is None
    assert choose_models(settings).settings is settings
    with pytest.raises(ConfigError, match=r"^no model is promoted, so there is none to go back from"):
        roll_back(settings)


def lose(folder: Path) -> None:
    folder.rename(folder.with_name(f"{folder.name} elsewhere"))


def change(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"other weights")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lose, "the files of the model {name} are gone from {path}: put them back, or {mend}"),
        (
            change,
            "the files of the model {name} in {path} are not those that were registered: put them back, or "
            "{mend}",
        ),
    ],
)
def test_files_that_are_gone_or_others_are_said(harm: Any, said: str, settings: Settings) -> None:
    paths = [Path(trained(settings, name, seed=n).path) for n, name in enumerate("abc")]
    by_force(settings, "a", "b")
    assert present(settings) == (str(paths[1]), None)

    def refusal(name: str, mend: str) -> str:
        return said.format(name=name, path=settings.root / name, mend=mend)

    for path in paths:
        harm(path)
    with pytest.raises(ModelError) as refused:
        choose_models(settings)
    assert str(refused.value) == refusal("b", "`detseg models rollback` goes back to the model before it")
    with pytest.raises(ModelError) as refused:
        promote(settings, "c", None)
    assert str(refused.value) == refusal("c", "train it anew")
    with pytest.raises(ModelError) as refused:
        roll_back(settings)
    assert str(refused.value) == refusal("a", "pass over it after `detseg models rm a`")
    remove(settings, "a")
    assert roll_back(settings).model is None


def test_a_file_that_was_put_back_is_well_again(settings: Settings) -> None:
    folder = Path(trained(settings, "a").path)
    by_force(settings, "a")
    change(folder)
    with pytest.raises(ModelError, match="not those that were registered"):
        choose_models(settings)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("A note.")  # which is no part of the model
    assert present(settings) == (str(folder), None)


def test_the_promoted_model_is_not_removed(settings: Settings) -> None:
    trained(settings, "a")
    by_force(settings, "a")
    with pytest.raises(ConfigError, match=r"^a is the promoted model: `detseg models rollback`, or promote"):
        remove(settings, "a", files=True)
    assert (settings.root / "a" / "model.safetensors").exists()


def test_removed_models_give_their_files_where_it_is_asked(settings: Settings) -> None:
    folder = Path(trained(settings, "a").path)
    assert remove(settings, "a") == ()
    assert (folder / "config.json").exists()
    with pytest.raises(ConfigError, match=r"^the model a was removed on 20.* registers it again$"):
        remove(settings, "a")
    (folder / ".notes").write_text("mine")
    (folder / "config.json").unlink()  # as after a kill
    assert folder / "model.safetensors" in remove(settings, "a", files=True)
    assert [path.name for path in folder.iterdir()] == [".notes"]
    (folder / ".notes").unlink()
    folder.rmdir()
    assert remove(settings, "a", files=True) == ()


def test_files_of_another_training_or_that_the_settings_name_stay(settings: Settings) -> None:
    folder = Path(trained(settings, "first").path)
    with pytest.raises(ConfigError, match=r"^the settings name .*first as a model: take it out of detseg"):
        remove(settings, "first", files=True)
    other = settings.model_copy(update={"model": ModelSettings(detector="x")})
    entry = json.loads((folder / "training.json").read_text())
    entry["trained"]["seconds"] = 1.0
    (folder / "training.json").write_text(json.dumps(entry))
    with pytest.raises(ModelError, match=r"first holds another training than that of first"):
        remove(other, "first", files=True)
    (folder / "training.json").unlink()
    with pytest.raises(ModelError, match=r"first has no training.json: nobody can tell"):
        remove(other, "first", files=True)
    with opened_catalog(settings) as catalog:
        assert [one.name for one in catalog.models.all()] == ["first"]


def test_files_that_people_put_beside_a_model_stay(settings: Settings) -> None:
    folder = Path(trained(settings, "a").path)
    (folder / "photos").mkdir()
    (folder / "photos" / "1.jpg").write_text("mine")
    with pytest.raises(ModelError, match=r"a holds files that are not those of a as it was registered: "):
        remove(settings, "a", files=True)
    assert len([*folder.rglob("*")]) == 6
    register(settings, folder)  # as another model, for it has other files
    with pytest.raises(ModelError, match=r"a is that of a-2, too: remove its files yourself$"):
        remove(settings, "a", files=True)
    by_force(settings, "a-2")
    remove(settings, "a")
    with pytest.raises(ModelError, match=r"a is that of a-2, too"):
        remove(settings, "a", files=True)
    assert present(settings) == (str(folder), None)


def test_links_are_deleted_and_what_they_name_stays(settings: Settings) -> None:
    root = settings.root
    (root / "weights").write_text("weights of a disk that others read")
    folder = make_trained(root / "disk" / "a")
    (folder / "more.safetensors").symlink_to(root / "weights")
    (root / "a").symlink_to(folder)
    (folder / ".cache").symlink_to(root / "disk")
    assert register(settings, root / "a").path == str(root / "a")
    assert len(remove(settings, "a", files=True)) == 5
    assert (root / "weights").exists()
    assert [path.name for path in folder.iterdir()] == [".cache"]
    (folder / ".cache").unlink()
    register(settings, make_trained(root / "disk" / "b"))
    (root / "c").symlink_to(root / "disk" / "b")
    register(settings, root / "c")
    assert remove(settings, "c", files=True)
    assert not (root / "c").is_symlink()


def test_what_cannot_be_deleted_is_said_and_gone_on_with(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(trained(settings, "a").path)

    def refuse(path: Path, **_: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as refusing:
        refusing.setattr(Path, "unlink", refuse)
        with pytest.raises(
            ModelError, match=r"^a is out of the list, and .*config\.json cannot be deleted: "
        ):
            remove(settings, "a", files=True)
    assert remove(settings, "a", files=True)
    assert not folder.exists()


def test_names_that_are_none_are_said_with_those_that_are(settings: Settings) -> None:
    with pytest.raises(ConfigError) as refusal:
        promote(settings, "b", None)
    assert str(refusal.value) == (
        "no model is called 'b' (there is none yet): `detseg train` registers what it makes"
    )
    trained(settings, "a")
    with pytest.raises(ConfigError, match=r"^no model is called 'b' \(a\): "):
        remove(settings, "b")
