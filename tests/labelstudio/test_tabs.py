"""Tabs on the real server, and as its page shows them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from detseg.errors import LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.label_config import taxonomy_to_config
from detseg.labelstudio.project import ensure_project
from detseg.labelstudio.server import Connection
from detseg.labelstudio.session import Json
from detseg.labelstudio.tabs import Tab, remove_tab, show_in_tab, show_table
from tests.e2e.page import LabelingPage, labeling_page
from tests.labelstudio.scenes import TAXONOMY

KEYS = tuple(f"sha256:{number:064x}" for number in range(40))
TITLE = "to review"


@pytest.fixture
def project(client: LabelStudioClient, new_title: Callable[[], str]) -> int:
    """Forty tasks, with keys of which none is the beginning of another."""
    made = client.create_project(new_title(), taxonomy_to_config(TAXONOMY))
    data = [{"image": "/nowhere.png", "file": f"{key}.png", "image_id": key} for key in KEYS]
    client.import_tasks(made.id, [{"data": one} for one in data])
    return made.id


def shown(client: LabelStudioClient, project: int, tab: Tab) -> list[str]:
    """The keys of the tasks that the server has for a tab."""
    answer = client.session.json(
        "GET", "/api/tasks/", params={"view": tab.id, "project": project, "page_size": 100}
    )
    return sorted(task["data"]["image_id"] for task in answer["tasks"])


def tabs(client: LabelStudioClient, project: int) -> list[Json]:
    views: list[Json] = client.session.send("GET", "/api/dm/views/", params={"project": project}).json()
    return views


def heads(page: LabelingPage) -> list[str]:
    """The first words of the columns' headings."""
    texts = page.page.locator(".lsf-table-head__draggable .lsf-th-content").all_inner_texts()
    return [text.split()[0] for text in texts if text.strip()]


def test_a_tab_shows_exactly_the_tasks_and_is_filled_anew(client: LabelStudioClient, project: int) -> None:
    first = show_in_tab(client, project, TITLE, [KEYS[3], KEYS[30]])
    assert shown(client, project, first) == [KEYS[3], KEYS[30]]
    again = show_in_tab(client, project, TITLE, [KEYS[5]])
    assert again == first
    assert shown(client, project, again) == [KEYS[5]]
    assert [tab["data"]["title"] for tab in tabs(client, project)] == ["Default", TITLE]


def test_other_tabs_and_what_people_set_in_ours_stay(client: LabelStudioClient, project: int) -> None:
    made = show_in_tab(client, project, TITLE, KEYS[:2])
    (_, ours) = tabs(client, project)
    ours["data"]["hiddenColumns"] = {"explore": ["tasks:id"], "labeling": []}
    ours["data"]["ordering"] = ["-tasks:id"]
    client.session.json("PATCH", f"/api/dm/views/{made.id}/", body={"project": project, "data": ours["data"]})
    before = tabs(client, project)
    assert show_in_tab(client, project, TITLE, KEYS[2:4]) == made
    after = tabs(client, project)
    assert after[0] == before[0]
    for name in ("hiddenColumns", "ordering", "title"):
        assert after[1]["data"][name] == before[1]["data"][name]
    assert shown(client, project, made) == list(KEYS[2:4])


def test_the_table_begins_with_picture_file_and_seconds(
    label_studio: Connection, client: LabelStudioClient, new_title: Callable[[], str]
) -> None:
    """As the page shows it, and so that the longest work comes first where people ask for that."""
    project = ensure_project(client, new_title(), TAXONOMY)
    data = {"image_id": KEYS[0], "width": 1, "height": 1, "source": {"names": ["a.png"]}}
    files = {"a.png": 9, "b.png": 100, "c.png": 21}
    tasks = [
        {"data": {"image": "/nowhere.png", "file": file, "expected_seconds": seconds, **data}}
        for file, seconds in files.items()
    ]
    client.import_tasks(project, tasks)
    show_table(client, project)
    first, second = tabs(client, project)
    assert [first["data"]["title"], second["data"]["title"]] == ["Pictures", "Progress"]
    with labeling_page(label_studio) as page:
        page.page.goto(f"{label_studio.url}/projects/{project}/data")
        page.page.get_by_text("c.png").wait_for()
        assert heads(page) == ["image", "file", "expected_seconds"]
    first["data"]["ordering"] = ["-tasks:data.expected_seconds"]
    body = {"project": project, "data": first["data"]}
    client.session.json("PATCH", f"/api/dm/views/{first['id']}/", body=body)
    answer = client.session.json("GET", "/api/tasks/", params={"view": first["id"], "project": project})
    assert [task["data"]["file"] for task in answer["tasks"]] == ["b.png", "c.png", "a.png"]


def test_a_thousand_keys_fit(client: LabelStudioClient, project: int) -> None:
    unknown = [f"sha256:{number:064x}" for number in range(1000, 1960)]
    assert shown(client, project, show_in_tab(client, project, TITLE, [*KEYS, *unknown])) == list(KEYS)


def test_a_tab_is_removed_and_its_tasks_stay(client: LabelStudioClient, project: int) -> None:
    show_in_tab(client, project, TITLE, KEYS[:2])
    assert remove_tab(client, project, TITLE)
    assert not remove_tab(client, project, TITLE)
    assert [tab["data"]["title"] for tab in tabs(client, project)] == ["Default"]
    assert len(client.task_ids(project)) == len(KEYS)


def test_a_key_is_no_pattern(client: LabelStudioClient, project: int) -> None:
    assert shown(client, project, show_in_tab(client, project, TITLE, ["sha256:.*"])) == []


def test_nothing_to_show_and_no_project(client: LabelStudioClient, project: int) -> None:
    with pytest.raises(ValueError, match="at least one task"):
        show_in_tab(client, project, TITLE, [])
    with pytest.raises(LabelStudioError):
        show_in_tab(client, 99_999, TITLE, KEYS[:1])


def test_the_page_shows_exactly_those_tasks(
    label_studio: Connection, client: LabelStudioClient, project: int
) -> None:
    wanted = [KEYS[7], KEYS[11], KEYS[39]]
    tab = show_in_tab(client, project, TITLE, wanted)
    with labeling_page(label_studio) as page:
        page.page.goto(tab.url)
        page.page.get_by_text(f"Tasks: {len(wanted)} / {len(KEYS)}").wait_for()
        page.page.get_by_text(f"{wanted[-1]}.png").wait_for()
        assert heads(page) == ["Annotated", "image", "file"]
        text = page.page.locator("body").inner_text()
        assert [key for key in KEYS if key in text] == wanted
        assert TITLE in text
        page.page.goto(f"{label_studio.url}/projects/{project}/data")  # as everybody opens it
        page.page.get_by_text(f"Tasks: {len(KEYS)} / {len(KEYS)}").wait_for()
