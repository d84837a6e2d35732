"""The nastiest annotations that a real Label Studio keeps, in one project: all others come in."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import BrokenAnswer
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.session import Json
from detseg.paging import pages
from detseg.pipeline.collect import collect_reviews
from tests.labelstudio.odd_results import GOOD, READABLE, UNREADABLE
from tests.pipeline.reviewing import fill_queue, submit, tasks_of

pytestmark = pytest.mark.usefixtures("soon")

UNSHOWN: dict[str, Any] = {
    "label is a lone surrogate": {"result": [{**GOOD[0], "value": {"rectanglelabels": ["\ud800"]}}]},
    "time of infinity": {"result": [GOOD[0]], "lead_time": "inf"},
}
"""The server keeps these, and fails (HTTP 500) whenever it is to show them."""

REFUSED = ("id is an object",)
"""Of these the server says no, and keeps nothing."""


def keep(client: LabelStudioClient, task: Json, body: Json) -> None:
    """Submits whatever it is. Of some the server says that it failed, and keeps it all the same."""
    with suppress(BrokenAnswer):
        client.session.send("POST", f"/api/tasks/{task['id']}/annotations/", body=body)


def test_nothing_that_people_write_ends_collecting(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    unreadable, readable, unshown, *good = tasks_of(client, fill_queue(queue, catalog))
    kept = [one for name, one in UNREADABLE.items() if name not in REFUSED]
    parts = [*pages(kept, 10)]
    for part in parts:
        keep(client, unreadable, {"result": part})
    odd = [{**one, "id": f"odd-{i}"} for i, one in enumerate(READABLE.values())]
    keep(client, readable, {"result": odd})
    for body in UNSHOWN.values():
        keep(client, unshown, body)
    for task in good:
        submit(client, task)
    report = collect_reviews(queue, catalog)
    assert (report.new, report.updated, report.deleted) == (len(parts) + 1 + len(UNSHOWN) + len(good), 0, 0)
    assert len(report.failures) == len(kept) + len(UNSHOWN)
    assert sum("Label Studio fails to show it" in one.reason for one in report.failures) == len(UNSHOWN)
    (known,) = catalog.projects.all()
    assert len(catalog.reviews.incomplete(known.key)) == len(parts) + len(UNSHOWN)
    again = collect_reviews(queue, catalog)
    assert (again.new, again.updated, again.deleted) == (0, 0, 0)
    assert again.failures == report.failures
