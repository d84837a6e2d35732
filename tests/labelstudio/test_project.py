"""Projects and storages on the real server: made once, left alone afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from detseg.errors import FormatError, LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.label_config import missing_labels, taxonomy_to_config
from detseg.labelstudio.project import ensure_project, ensure_storages, image_url
from detseg.taxonomy import LabelClass, Taxonomy
from tests.labelstudio.scenes import TAXONOMY, push_scene

NewTitle = Callable[[], str]


def test_a_project_is_made_once(client: LabelStudioClient, new_title: NewTitle) -> None:
    title = new_title()
    project = ensure_project(client, title, TAXONOMY)
    assert ensure_project(client, title, TAXONOMY) == project
    assert missing_labels(client.project(project).label_config, TAXONOMY) == ()


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
    theirs = taxonomy_to_config(TAXONOMY).replace(
        "</View>", '<Choices name="light" toName="image"><Choice value="dark"/></Choices></View>'
    )
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
    with pytest.raises(LabelStudioError, match=r"Label Studio takes 3 to 50: choose another"):
        ensure_project(client, title, TAXONOMY)


@pytest.mark.parametrize("title", ["abc", "x" * 50])
def test_titles_at_the_limits_are_taken(client: LabelStudioClient, title: str) -> None:
    assert ensure_project(client, title, TAXONOMY) == ensure_project(client, title, TAXONOMY)


def test_folders_are_served_once_and_below_each_other_once(
    client: LabelStudioClient, new_title: NewTitle, tmp_path: Path
) -> None:
    project = ensure_project(client, new_title(), TAXONOMY)
    outer, inner, beside = tmp_path / "a b", tmp_path / "a b" / "🙂", tmp_path / "a b c"
    for folder in (inner, beside):
        folder.mkdir(parents=True)
    assert ensure_storages(client, project, [inner, outer]) == (outer,)
    assert ensure_storages(client, project, [inner, outer, beside]) == (beside,)
    assert ensure_storages(client, project, [beside / ".." / "a b"]) == ()
    assert client.local_storages(project) == tuple(sorted((str(outer), str(beside))))


def test_the_root_and_missing_folders_are_named(
    client: LabelStudioClient, new_title: NewTitle, tmp_path: Path
) -> None:
    project = ensure_project(client, new_title(), TAXONOMY)
    with pytest.raises(FormatError, match="images directly in / cannot be served"):
        ensure_storages(client, project, [Path("/")])
    with pytest.raises(LabelStudioError, match="does not exist"):
        ensure_storages(client, project, [tmp_path / "gone"])


def test_urls_of_images() -> None:
    assert image_url(Path("/data/a b/ü#1%.png")) == "/data/local-files/?d=data/a%20b/%C3%BC%231%25.png"
    assert image_url(Path("/srv/x/../a.png"), document_root=Path("/srv")) == "/data/local-files/?d=a.png"
    with pytest.raises(FormatError, match="is not below /srv"):
        image_url(Path("/data/a.png"), document_root=Path("/srv"))
    with pytest.raises(FormatError, match="not UTF-8"):
        image_url(Path(os.fsdecode(b"/data/\xff.png")))
