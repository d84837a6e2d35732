"""Several people at one annotation of a real Label Studio: whose review it is."""

from __future__ import annotations

from datetime import datetime, timedelta

from detseg.catalog import Catalog, ReviewRecord
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.session import Json
from detseg.pipeline.collect import collect_reviews
from tests.labelstudio.colleague import signed_up
from tests.pipeline.reviewing import fill_queue, predicted, submit, tasks_of
from tests.pipeline.test_collect import counts, latest


def test_a_review_is_by_who_changed_it_last(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    """The page opens the newest annotation, whoever made it: what another person changes there is theirs."""
    me = client.whoami()["id"]
    one, two, three, *_ = tasks_of(client, fill_queue(queue, catalog))
    with (
        signed_up(client, "colleague of two") as colleague,
        LabelStudioClient(client.url, colleague.token) as their_client,
    ):
        made = [submit(their_client, task) for task in (one, two, three)]
        collect_reviews(queue, catalog)
        for annotation, change in zip(
            made, ({"result": predicted(one)[:1]}, {"lead_time": 70.0}, {"ground_truth": True}), strict=True
        ):
            change_later(client, annotation, change)
        collect_reviews(queue, catalog)
        told = [(one.annotation.author, one.annotation.lead_time_s) for one in latest_by_task(catalog)]
        theirs = (f"user-{colleague.id}", 5.0)
        assert told == [(f"user-{me}", None), theirs, theirs]  # who saves it as it was has not said it
        before = latest_by_task(catalog)
        assert counts(collect_reviews(queue, catalog, full=True)) == (0, 0, 0)
        assert latest_by_task(catalog) == before
        their_client.update_annotation(made[0], result=[])
        collect_reviews(queue, catalog)
        assert latest_by_task(catalog)[0].annotation.author == f"user-{colleague.id}"


def change_later(client: LabelStudioClient, annotation: int, change: Json) -> None:
    """Change it so that the server dates the change more than a second after it was made."""
    while True:
        entry = client.session.json("PATCH", f"/api/annotations/{annotation}/", body=change)
        made, changed = (datetime.fromisoformat(entry[name]) for name in ("created_at", "updated_at"))
        if changed - made > timedelta(seconds=1):
            return


def latest_by_task(catalog: Catalog) -> list[ReviewRecord]:
    return sorted(latest(catalog), key=lambda record: record.task_id)
