"""Projects and storages on the real server: made once, left alone afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from detseg.errors import ConfigError, FormatError, LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.label_config import missing_labels, taxonomy_to_config
from detseg.labelstudio.project import ensure_project
from detseg.labelstudio.shapes import Annotate, ShapePolicy
from detseg.taxonomy import LabelClass, Taxonomy
from tests.labelstudio.scenes import TAXONOMY, push_scene

NewTitle = Callable[[], str]


def test_a_project_is_made_once(client: LabelStudioClient, new_title: NewTitle) -> None:
    title = new_title()
    project = ensure_project(client, title, TAXONOMY)
    assert ensure_project(client, title, TAXONOMY) == project
    assert missing_labels(client.project(project).label_config, TAXONOMY) == ()


@pytest.mark.parametrize("annotate", ["boxes", "masks", "both", "pairs"])
def test_a_new_project_says_what_is_seen(
    client: LabelStudioClient, new_title: NewTitle, annotate: Annotate
) -> None:
    """In words, and once: what people write there stays."""
    title, policy = new_title(), ShapePolicy(annotate=annotate)
    project = ensure_project(client, title, TAXONOMY, policy=policy)
    settings = client.session.json("GET", f"/api/projects/{project}")
    assert settings["show_instruction"]
    said = settings["expert_instruction"]
    for words in ("Colours", "Shapes", "Duplicates", "Scores", "Keys"):
        assert words in said
    assert ("mask" in said) == ("eraser" in said) == (annotate != "boxes")
    client.update_project(project, expert_instruction="ours")
    assert ensure_project(client, title, TAXONOMY, policy=policy) == project
    assert client.session.json("GET", f"/api/projects/{project}")["expert_instruction"] == "ours"


def test_the_interface_grows_while_there_are_no_tasks(client: LabelStudioClient, new_title: NewTitle) -> None:
    title = new_title()
    project = ensure_project(client, title, TAXONOMY)
    grown = replace(TAXONOMY, classes=(*TAXONOMY.classes, LabelClass('g"e<a>r & é', "thing", "#101010")))
    assert ensure_project(client, title, grown) == project
    assert missing_labels(client.project(project).label_config, grown) == ()


def test_a_project_with_tasks_that_lacks_labels_is_named_and_left_alone(
    client: LabelStudioClient, new_title: NewTitle, tmp_path: Path
) -> None:
    title = new_title()
    pushed = push_scene(client, title, tmp_path / "images" / "a.png")
    before = client.project(pushed.project)
    grown = Taxonomy((*TAXONOMY.classes, LabelClass("gear")))
    with pytest.raises(FormatError, match=rf"project '{title}' on http.* lacks box: gear, mask: gear: add"):
        ensure_project(client, title, grown)
    assert client.project(pushed.project) == before


def test_what_people_added_to_the_interface_stays(client: LabelStudioClient, new_title: NewTitle) -> None:
    title = new_title()
    added = '<Choices name="light" toName="image"><Choice value="dark"/></Choices>'
    theirs = f"{taxonomy_to_config(TAXONOMY).removesuffix('</View>')}{added}</View>"
    made = client.create_project(title, theirs)
    assert ensure_project(client, title, TAXONOMY) == made.id
    assert "Choices" in client.project(made.id).label_config


def test_two_projects_of_one_title_are_named(client: LabelStudioClient, new_title: NewTitle) -> None:
    title = new_title()
    first = client.create_project(title, taxonomy_to_config(TAXONOMY))
    second = client.create_project(title, taxonomy_to_config(TAXONOMY))
    with pytest.raises(LabelStudioError, match=rf"\(ids {first.id}, {second.id}\): rename all but one"):
        ensure_project(client, title, TAXONOMY)


@pytest.mark.parametrize("title", ["", "ab", "x" * 51])
def test_titles_that_the_server_would_refuse_are_named(client: LabelStudioClient, title: str) -> None:
    with pytest.raises(ConfigError, match=r"Label Studio takes 3 to 50: choose another"):
        ensure_project(client, title, TAXONOMY)


@pytest.mark.parametrize("title", ["abc", "x" * 50])
def test_titles_at_the_limits_are_taken(client: LabelStudioClient, title: str) -> None:
    assert ensure_project(client, title, TAXONOMY) == ensure_project(client, title, TAXONOMY)
