"""What a training left in a folder is registered once, by its contents, with what it was made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detseg.catalog import RegisteredModel
from detseg.config import Settings
from detseg.errors import TrainingError
from detseg.pipeline.registry import checkpoint_digest, register
from tests.pipeline.models import make_trained


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(root=tmp_path)


def test_a_training_is_registered_once_with_what_it_was_made_of(settings: Settings, tmp_path: Path) -> None:
    model = register(settings, make_trained(tmp_path / "mine", base="sample", seed=7))
    assert (model.name, model.path, model.base, model.parent) == (
        "mine",
        str(tmp_path / "mine"),
        "sample",
        None,
    )
    assert (model.dataset, model.dataset_id, model.seed, model.steps) == ("v1", "ab" * 32, 7, 40)
    assert model.figures["best"]["ap"] == 0.5
    assert register(settings, tmp_path / "mine") == model


def test_folders_of_one_name_get_names_of_their_own(settings: Settings, tmp_path: Path) -> None:
    folders = [make_trained(tmp_path / f"{n}" / "mine", seed=n) for n in range(3)]
    assert [register(settings, folder).name for folder in folders] == ["mine", "mine-2", "mine-3"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("present", "present-model"),
        ("sample", "sample-model"),
        ("--force", "force"),
        ("two\nlines\x1b[31m", "two-lines-[31m"),
        ("-", "model"),
        ("Schraube ö+1@2", "Schraube ö+1@2"),
    ],
)
def test_a_name_can_be_typed_and_means_one_model(
    folder: str, name: str, settings: Settings, tmp_path: Path
) -> None:
    assert register(settings, make_trained(tmp_path / folder)).name == name


def test_a_folder_whose_name_is_no_text_is_refused(settings: Settings, tmp_path: Path) -> None:
    folder = make_trained(tmp_path / b"a\xff".decode(errors="surrogateescape"))
    with pytest.raises(TrainingError, match=r"^the name of the folder '.*a\\udcff' is no UTF-8: rename it"):
        register(settings, folder)


@pytest.mark.parametrize("relative", [False, True])
def test_a_model_that_learned_from_another_descends_from_it(
    relative: bool, settings: Settings, tmp_path: Path
) -> None:
    def child(name: str) -> RegisteredModel:
        base = "first" if relative else str(tmp_path / "first")
        return register(settings, make_trained(tmp_path / name, base=base))

    register(settings, make_trained(tmp_path / "first"))
    assert child("second").parent == "first"
    (tmp_path / "first" / "config.json").write_text("{}")
    assert child("third").parent is None  # the base has other weights now than what was registered


def test_a_digest_stands_for_what_a_model_is(tmp_path: Path) -> None:
    folder = make_trained(tmp_path / "a")
    digest = checkpoint_digest(folder)
    assert checkpoint_digest(make_trained(tmp_path / "b", seed=5)) == digest
    (folder / "README.md").write_text("Better known as the second one.")
    (folder / ".DS_Store").write_text("x")
    (folder / "training").mkdir()
    (folder / "training" / "plan.json").write_text("{}")
    assert checkpoint_digest(folder) == digest
    (folder / "config.json").rename(folder / "config2.json")
    other = checkpoint_digest(folder)
    (folder / "model.safetensors").write_bytes(b"weights 2")
    assert len({digest, other, checkpoint_digest(folder)}) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no training has ended in {folder}: `detseg train` writes training.json there"),
        ({"plan": {}}, "{folder}/training.json is not what this detseg writes: train it anew"),
        ([1], "{folder}/training.json is not what this detseg writes: train it anew"),
    ],
)
def test_other_folders_are_refused(content: Any, said: str, settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    if content is not None:
        (folder / "training.json").write_text(json.dumps(content))
    with pytest.raises(TrainingError) as refusal:
        register(settings, folder)
    assert str(refusal.value) == said.format(folder=folder)
