"""Reading what changed: every task, each once, whatever the pages; nothing taken for tasks that is none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.errors import LabelStudioError
from detseg.labelstudio.changes import TaskCounts, TaskReader
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.session import Json

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">'
    '<Label value="bolt"/></RectangleLabels></View>'
)


def task_json(number: int, second: int) -> Json:
    moment = NOON + timedelta(seconds=second)
    return {
        "id": number,
        "created_at": "2026-02-28T12:00:00Z",
        "updated_at": moment.isoformat().replace("+00:00", "Z"),
        "data": {"image_id": f"sha256:{number:064x}"},
        "annotations": [],
    }


def serving(tasks: list[Json]) -> Callable[[httpx.Request], httpx.Response]:
    """A server that filters, orders and pages tasks as Label Studio does."""
    compare: dict[str, Callable[[Any, Any], bool]] = {
        "greater": lambda a, b: a > b,
        "greater_or_equal": lambda a, b: a >= b,
        "less_or_equal": lambda a, b: a <= b,
        "equal": lambda a, b: a == b,
        "in_list": lambda a, b: a in b,
        "empty": lambda a, b: (a is None) == b,
    }

    def value_of(task: Json, item: Json) -> tuple[Any, Any]:
        if item["filter"] == "filter:tasks:id":
            return task["id"], item["value"]
        if item["filter"] == "filter:tasks:cancelled_annotations":
            return sum(one["was_cancelled"] for one in task["annotations"]), item["value"]
        if item["filter"] == "filter:tasks:data.image_id":
            return task["data"].get("image_id"), item["value"]
        return datetime.fromisoformat(task["updated_at"]), datetime.fromisoformat(item["value"])

    def handler(request: httpx.Request) -> httpx.Response:
        query = json.loads(request.url.params["query"])
        items = query["filters"]["items"]
        found = [t for t in tasks if all(compare[i["operator"]](*value_of(t, i)) for i in items)]
        found.sort(key=lambda task: task[query["ordering"][0].removeprefix("tasks:")])
        page = found[: int(request.url.params["page_size"])]
        totals = {"total": len(found), "total_annotations": 0, "total_predictions": 0}
        return httpx.Response(200, json={"tasks": page, **totals})

    return handler


def reader_of(handler: Callable[[httpx.Request], httpx.Response], *, most: int = 500) -> TaskReader:
    client = LabelStudioClient("http://ls.example", "token", transport=httpx.MockTransport(handler))
    return TaskReader(client.session, 1, most)


@given(
    seconds=st.lists(st.integers(0, 6), max_size=30),
    since=st.integers(0, 7),
    most=st.integers(1, 8),
)
def test_every_change_comes_once_in_order(seconds: list[int], since: int, most: int) -> None:
    tasks = [task_json(number, second) for number, second in enumerate(seconds, 1)]
    pages = list(reader_of(serving(tasks), most=most).changed(NOON + timedelta(seconds=since)))
    given = [task for page in pages for task in page]
    assert Counter(task["id"] for task in given) == Counter(
        number for number, second in enumerate(seconds, 1) if second >= since
    )
    moments = [task["updated_at"] for task in given]
    assert moments == sorted(moments)
    assert all(0 < len(page) <= most for page in pages)


@given(
    ids=st.sets(st.integers(1, 60)), after=st.integers(0, 60), last=st.integers(0, 60), most=st.integers(1, 8)
)
def test_a_range_of_ids_comes_as_a_whole(ids: set[int], after: int, last: int, most: int) -> None:
    reader = reader_of(serving([task_json(number, 0) for number in ids]), most=most)
    assert [task["id"] for page in reader.by_id(after, last) for task in page] == [
        number for number in sorted(ids) if after < number <= last
    ]
    assert reader.counts(after, last).n_tasks == sum(after < number <= last for number in ids)


def test_pages_shrink_where_tasks_are_large() -> None:
    sizes: list[int] = []
    tasks = [task_json(number, number) | {"data": {"x": "x" * 400_000}} for number in range(1, 121)]

    def handler(request: httpx.Request) -> httpx.Response:
        sizes.append(int(request.url.params["page_size"]))
        return serving(tasks)(request)

    assert sum(map(len, reader_of(handler).by_id())) == 120
    assert sizes == [100, 9, 9, 9]


def test_a_page_that_is_too_large_is_asked_for_again_in_halves() -> None:
    tasks = [task_json(number, number // 3) for number in range(1, 41)]
    rightly, n_too_large = serving(tasks), 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal n_too_large
        answer = rightly(request)
        if len(answer.json()["tasks"]) <= 12 or request.url.params["include"] == "id":
            return answer
        n_too_large += 1
        return httpx.Response(200, content=(b" " * 4_000_000 for _ in range(65)))

    assert [task["id"] for page in reader_of(handler).by_id() for task in page] == list(range(1, 41))
    assert [task["id"] for page in reader_of(handler).changed() for task in page] == list(range(1, 41))
    assert 0 < n_too_large < 10


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("<html>busy</html>", "answered no JSON"),
        ("[]", "answered list, expected an object"),
        ("{}", "answered something else than tasks"),
        ('{"tasks": [], "total": 3}', "lists none of 3 tasks"),
        ('{"tasks": [{"id": 1}], "total": 1}', "answered something else than tasks"),
        ('{"tasks": [{"id": 1, "updated_at": "x", "data": {}, "annotations": []}], "total": 1}', "proxy"),
        (
            '{"tasks": [{"id": 1, "updated_at": "x", "data": {}, "annotations": [{"id": 1}]}], "total": 1}',
            "proxy",
        ),
    ],
)
def test_what_is_no_list_of_tasks_is_said(answer: str, words: str) -> None:
    reader = reader_of(lambda _: httpx.Response(200, text=answer))
    with pytest.raises(LabelStudioError, match=words):
        list(reader.changed())


def test_the_real_server_in_pages_of_one_and_in_one_instant(
    client: LabelStudioClient, new_title: Callable[[], str]
) -> None:
    project = client.create_project(new_title(), CONFIG).id
    region = {"type": "rectanglelabels", "from_name": "box", "to_name": "image"}
    box = {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["bolt"]}
    prediction = {"model_version": "m", "result": [{**region, "value": box}]}
    keyed = [{"image": f"/{n}.png", "image_id": f"sha256:{n:064x}"} for n in range(5)]
    tasks = [{"data": data, "predictions": [prediction]} for data in keyed]
    ids = client.import_tasks(project, tasks)
    action = {"project": project, "id": "predictions_to_annotations"}
    everything = {"selectedItems": {"all": True, "excluded": []}}
    client.session.json("POST", "/api/dm/actions", params=action, body=everything)  # one instant for all
    client.create_annotation(ids[1], [], lead_time_s=1.0, was_cancelled=True)
    for most in (1, 2, 500):
        reader = TaskReader(client.session, project, most)
        changed = [task for page in reader.changed() for task in page]
        assert sorted(task["id"] for task in changed) == list(ids)
        assert [task["id"] for page in reader.by_id(ids[0]) for task in page] == list(ids[1:])
    assert [len(task["annotations"]) for task in sorted(changed, key=lambda task: task["id"])] == [
        1,
        2,
        1,
        1,
        1,
    ]
    assert all(task["annotations"][0]["result"][0]["value"]["width"] == 5 for task in changed)
    assert reader.counts(0, ids[-1]) == TaskCounts(5, 5, 1)
    assert reader.counts(ids[0], ids[1]) == TaskCounts(1, 1, 1)
    assert [task["id"] for page in reader.of_ids([ids[3], 10**9, ids[0]]) for task in page] == [
        ids[0],
        ids[3],
    ]
    assert abs(reader.server_time() - datetime.now(UTC)) < timedelta(minutes=1)


def changed(reader: TaskReader, since: datetime | None = None) -> list[Json]:
    return [task for page in reader.changed(since) for task in page]


def test_the_real_server_since_a_moment(client: LabelStudioClient, new_title: Callable[[], str]) -> None:
    project = client.create_project(new_title(), CONFIG).id
    ids = client.import_tasks(
        project, [{"data": {"image": "/data/x", "image_id": f"{i}"}} for i in range(12)]
    )
    reader = TaskReader(client.session, project, 5)
    everything = changed(reader)
    assert sorted(task["id"] for task in everything) == list(ids)
    watermark = max(datetime.fromisoformat(task["updated_at"]) for task in everything)
    assert len(changed(reader, watermark)) == 1  # at or after: the last one again
    client.create_annotation(ids[3], [], lead_time_s=2.0)
    client.create_annotation(ids[7], [], lead_time_s=3.0, was_cancelled=True)
    assert [task["id"] for task in changed(reader, watermark + timedelta(microseconds=1))] == [ids[3], ids[7]]
    assert changed(reader, datetime.now(UTC) + timedelta(days=1)) == []
    far_off = timezone(timedelta(hours=5))  # a whole second there, which the server takes in one form only
    assert len(changed(reader, datetime(2020, 1, 1, 5, tzinfo=far_off))) == 12
