"""Lists of tasks: every task comes once, also where the server fails to show some of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.errors import BrokenAnswer, LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.listing import UNSHOWN, list_tasks
from detseg.labelstudio.predictions import look_up
from detseg.labelstudio.queued import QueuedImages
from detseg.labelstudio.server import Connection
from detseg.labelstudio.session import Json
from detseg.sources.protocol import Listed
from detseg.sources.registry import Sources
from detseg.types import Entry, Failure
from tests.labelstudio.test_changes import CONFIG

IDS = st.sets(st.integers(1, 60), max_size=40)


def breaking(ids: set[int], broken: set[int]) -> Callable[[httpx.Request], httpx.Response]:
    """A server that has these tasks, and fails at every page that shows the data of a broken one."""

    def handler(request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        found = sorted(ids)
        for item in json.loads(asked["query"])["filters"]["items"]:
            value = item["value"]
            wanted = {
                "greater": lambda value: range(value + 1, 99),
                "equal": lambda value: [value],
                "in_list": lambda value: value,
            }[item["operator"]](value)
            found = [id_ for id_ in found if id_ in wanted]
        page = found[: int(asked["page_size"])]
        shows_data = "data" in asked["include"].split(",")
        if shows_data and broken.intersection(page):
            return httpx.Response(500)
        tasks = [{"id": id_} | ({"data": {"n": id_}} if shows_data else {}) for id_ in page]
        return httpx.Response(200, json={"tasks": tasks, "total": len(found)})

    return handler


@settings(max_examples=30)
@given(IDS, IDS, st.integers(1, 300))
def test_every_task_comes_once_and_what_cannot_be_shown_without_its_data(
    ids: set[int], broken: set[int], page_size: int
) -> None:
    transport = httpx.MockTransport(breaking(ids, broken))
    with LabelStudioClient("http://ls.example", "token", transport=transport, sleep=lambda _: None) as client:
        params: Json = {"include": "id,data", "page_size": page_size}
        assert list(list_tasks(client.session, 1, [], params)) == [
            {"id": id_, "data": {}, UNSHOWN: True} if id_ in broken else {"id": id_, "data": {"n": id_}}
            for id_ in sorted(ids)
        ]


def test_a_page_whose_tasks_are_deleted_while_it_is_looked_at_does_not_end_the_list() -> None:
    ids = set(range(1, 6))
    answer = breaking(ids, {1})

    def handler(request: httpx.Request) -> httpx.Response:
        response = answer(request)
        if response.is_success and request.url.params["include"] == "id":
            ids.difference_update({1, 2})
        return response

    transport = httpx.MockTransport(handler)
    with LabelStudioClient("http://ls.example", "token", transport=transport, sleep=lambda _: None) as client:
        params: Json = {"include": "id,data", "page_size": 2}
        assert [task["id"] for task in list_tasks(client.session, 1, [], params)] == [3, 4, 5]


def test_a_page_that_shows_other_tasks_than_it_lists_is_refused() -> None:
    answer = breaking(set(range(1, 6)), {1})

    def handler(request: httpx.Request) -> httpx.Response:
        if '"in_list"' not in request.url.params["query"]:
            return answer(request)
        return httpx.Response(200, json={"tasks": [{"id": 4, "data": {}}], "total": 1})

    transport = httpx.MockTransport(handler)
    with (
        LabelStudioClient("http://ls.example", "token", transport=transport, sleep=lambda _: None) as client,
        pytest.raises(LabelStudioError, match="out of order"),
    ):
        list(list_tasks(client.session, 1, [], {"include": "id,data", "page_size": 2}))


def test_a_task_whose_data_the_real_server_cannot_show_ends_no_list(
    label_studio: Connection, new_title: Callable[[], str]
) -> None:
    with LabelStudioClient(label_studio.url, label_studio.token, sleep=lambda _: None) as client:
        list_one_that_breaks(client, new_title())


def list_one_that_breaks(client: LabelStudioClient, title: str) -> None:
    project = client.create_project(title, CONFIG).id
    keys = [f"key-{n}" for n in range(5)]
    ids = client.import_tasks(project, [{"data": {"image": "/data/x", "image_id": key}} for key in keys])
    data = {"image": "/data/x", "image_id": keys[3], "note": "\ud800"}
    with suppress(BrokenAnswer):  # it keeps the data, and fails to show it
        client.session.send("PATCH", f"/api/tasks/{ids[3]}/", body=json.dumps({"data": data}).encode())
    assert client.tasks_by_keys(project, keys) == {key: (id_,) for key, id_ in zip(keys, ids, strict=True)}
    assert [seen.id for seen in client.seen_tasks(project)] == list(ids)
    assert look_up(client.session, project, ids).keys() == set(ids)
    listed: list[Listed] = list(QueuedImages(client, Sources(schemes=())).entries(f"labelstudio://{title}"))
    assert [type(one) for one in listed] == [Entry, Entry, Entry, Failure, Entry]
    (failure,) = (one for one in listed if isinstance(one, Failure))
    assert "Label Studio fails to show its data" in failure.reason
