"""A Label Studio that lies about predictions of waiting tasks: one line, and the next run puts it right."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from detseg.pipeline.push import push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import ModelVersion
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor
from tests.pipeline.hostile_answers import PERSONAL, lying_proxy
from tests.pipeline.lies import Answer, Lie
from tests.pipeline.reviewing import fill_queue, submit, tasks_of

pytestmark = pytest.mark.usefixtures("soon")

NEXT = ModelVersion("next@00000002")
UPDATE = "PATCH /api/predictions/#/"


@dataclass
class Told(Lie):
    """A lie of ours about all answers of a kind from the second one on."""

    change: Callable[[Any], Any] = lambda document: document
    status: int = 200

    def tell(self, true: Answer) -> Answer:
        self.n_asked += 1
        if self.n_asked < 2:
            return true
        return replace(true, status=self.status, body=json.dumps(self.change(json.loads(true.body))).encode())


def another_version(document: Any) -> Any:
    return {**document, "model_version": VERSION}


def no_version(document: Any) -> Any:
    return {name: value for name, value in document.items() if name != "model_version"}


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (
            Told(UPDATE, "", change=another_version),
            r"^prediction \d+ on .*: sent as that of next@00000002, the s",
        ),
        (Told(UPDATE, "", change=no_version), r"the server says None: look there, then run again$"),
    ],
)
def test_an_update_that_is_answered_wrongly_is_said_and_gone_on_with(
    lie: Told,
    said: str,
    queue: Settings,
    catalog: Catalog,
    label_studio: Connection,
    client: LabelStudioClient,
) -> None:
    """By what the server itself has in the end: one prediction of each waiting task, of the newer model."""
    project = fill_queue(queue, catalog)
    done, *_ = tasks_of(client, project)
    submit(client, done)
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(version=NEXT), refs)
    settings = queue.updated(queue__predictions="replace", label_studio__patience_s=0.0)
    with lying_proxy(label_studio) as proxy:
        proxy.begin(lie)
        lied_to = settings.updated(label_studio__url=proxy.url, label_studio__token=PERSONAL)
        with pytest.raises(LabelStudioError, match=said) as refused:
            push(lied_to, catalog, refs=refs, version=NEXT, taxonomy=TAXONOMY)
    assert len(str(refused.value).splitlines()) == 1
    push(settings, catalog, refs=refs, version=NEXT, taxonomy=TAXONOMY)
    versions = [
        sorted(one["model_version"] for one in task["predictions"]) for task in tasks_of(client, project)
    ]
    assert versions == [[VERSION], *([[NEXT]] * 4)]


def test_updates_that_are_made_and_answered_by_500_are_said_and_found_by_the_next_run(
    queue: Settings, catalog: Catalog, label_studio: Connection, client: LabelStudioClient
) -> None:
    project = fill_queue(queue, catalog)
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(version=NEXT), refs)
    settings = queue.updated(queue__predictions="replace", label_studio__patience_s=0.0)
    with lying_proxy(label_studio) as proxy:
        proxy.begin(Told(UPDATE, "", status=500))
        lied_to = settings.updated(label_studio__url=proxy.url, label_studio__token=PERSONAL)
        report = push(lied_to, catalog, refs=refs, version=NEXT, taxonomy=TAXONOMY)
    assert (report.counts["replaced"], len(report.failures)) == (1, 4)
    assert all("500" in one.reason for one in report.failures)
    again = push(settings, catalog, refs=refs, version=NEXT, taxonomy=TAXONOMY)
    assert (again.counts["present"], catalog.quarantine.entries()) == (5, ())
    assert [[one["model_version"] for one in task["predictions"]] for task in tasks_of(client, project)] == [
        [NEXT]
    ] * 5
