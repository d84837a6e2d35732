"""Tabs of a project's data manager: some of its tasks under a name, for everybody who opens the project.

    tab = show_in_tab(client, project, "to review", keys)    # made at first, then only filled anew
    remove_tab(client, project, "to review")

A tab shows what its filter finds. The page of Label Studio (1.23) knows no lists of ids: a tab whose filter
has one (``in_list``, which the server takes) keeps the whole page from loading, and hundreds of filters of
one id each make it hang. It knows regular expressions over a field of the tasks' data, so a tab holds one of
our keys. Tasks, annotations and other tabs are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from detseg.labelstudio.client import KEY, LabelStudioClient
from detseg.labelstudio.filters import by_data
from detseg.labelstudio.responses import expecting
from detseg.labelstudio.session import Json

SECONDS = "data.expected_seconds"

_SECONDS_PX = 240  # else its heading is cut off
_VIEWS = "/api/dm/views/"
_OF_THE_PAGE = (
    "id",
    "completed_at",
    "total_annotations",
    "cancelled_annotations",
    "total_predictions",
    "annotators",
)
_BESIDE_PEOPLE = (*(name for name in _OF_THE_PAGE if name != "annotators"), SECONDS)
_DETAILS = (
    "data.image_id",
    "data.width",
    "data.height",
    "data.source",
    "inner_id",
    "annotations_results",
    "annotations_ids",
    "predictions_score",
    "predictions_model_versions",
    "predictions_results",
    "file_upload",
    "storage_filename",
    "created_at",
    "updated_at",
    "updated_by",
    "avg_lead_time",
    "draft_exists",
)


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab, and the address that opens it."""

    id: int
    title: str
    url: str


def show_in_tab(client: LabelStudioClient, project: int, title: str, keys: Sequence[str]) -> Tab:
    """The tab of that title shows the tasks whose data holds one of the keys, at least one, and no others.

    Its columns are the people who annotated each, so that they find theirs, the picture and the file.
    A tab that is there keeps its id, its columns and its order; nothing else of the project changes.
    """
    if not keys:
        raise ValueError("a tab shows at least one task: remove it instead")
    pattern = f"^({'|'.join(map(re.escape, keys))})$"
    filters = {"conjunction": "and", "items": [by_data(KEY, "regex", pattern)]}
    known = _views(client, project)
    found = [view for view in known if view["data"].get("title") == title]
    if found:
        kept = {name: value for name, value in found[0]["data"].items() if name != "selectedItems"}
        kept.setdefault("hiddenColumns", _hidden(*_BESIDE_PEOPLE))
        body = {"project": project, "data": {**kept, "filters": filters}}
        view = client.session.json("PATCH", f"{_VIEWS}{found[0]['id']}/", body=body)
    else:
        if not known:  # else ours would be the only one, and what everybody sees at first
            _create(client, project, {"title": "Default"})
        columns = _hidden(*_BESIDE_PEOPLE)
        data = {"title": title, "filters": filters, "ordering": ["tasks:id"], "hiddenColumns": columns}
        view = _create(client, project, data)
    with expecting("a tab", client.url):
        number = int(view["id"])
        return Tab(number, title, f"{client.url}/projects/{project}/data?tab={number}")


def show_table(client: LabelStudioClient, project: int) -> None:
    """A project without tabs gets two: one that shows what annotators look for, one that shows the progress.

    The page puts its own columns (ids, dates, counts) before those of the tasks' data, so that these come
    first only where the others are hidden. Who opens the project sees the first tab.
    """
    if _views(client, project):
        return
    for title, hidden in (("Pictures", _OF_THE_PAGE), ("Progress", ())):
        data = {
            "title": title,
            "type": "list",
            "target": "tasks",
            "hiddenColumns": _hidden(*hidden),
            "columnsDisplayType": {f"tasks:{SECONDS}": "Number"},
            "columnsWidth": {f"tasks:{SECONDS}": _SECONDS_PX},
        }
        _create(client, project, data)


def _hidden(*columns: str) -> dict[str, list[str]]:
    """Hide these columns and the details; beside an open task all but the picture and whether it is done."""
    side = [f"tasks:{name}" for name in (*_OF_THE_PAGE, *_DETAILS, "data.file", SECONDS)]
    side.remove("tasks:total_annotations")
    return {"explore": [f"tasks:{name}" for name in (*columns, *_DETAILS)], "labeling": side}


def remove_tab(client: LabelStudioClient, project: int, title: str) -> bool:
    """Takes the tabs of that title away, not their tasks; whether there was one."""
    found = [view for view in _views(client, project) if view["data"].get("title") == title]
    for view in found:
        client.session.send("DELETE", f"{_VIEWS}{view['id']}/")
    return bool(found)


def _views(client: LabelStudioClient, project: int) -> list[Json]:
    """The project's tabs, by ascending id."""
    views = client.session.objects(_VIEWS, {"project": project})
    with expecting("tabs", client.url):
        return sorted(
            ({**view, "data": {**(view["data"] or {})}} for view in views), key=lambda view: int(view["id"])
        )


def _create(client: LabelStudioClient, project: int, data: Json) -> Json:
    return client.session.json("POST", _VIEWS, body={"project": project, "data": data})
