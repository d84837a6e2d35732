"""A colleague's token on a real server: what it says once the colleague is no member there any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.doctor import look_at_label_studio
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.pushing.queue import UNLIMITED, Limit
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.pipeline.workspace import check_label_studio
from tests.labelstudio.colleague import Colleague, signed_up
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, settings_for


@pytest.fixture
def colleague(client: LabelStudioClient, new_title: Callable[[], str]) -> Iterator[Colleague]:
    with signed_up(client, new_title()) as somebody:
        yield somebody


def remove(client: LabelStudioClient, colleague: Colleague) -> None:
    """As an owner does on the page of members."""
    organisation = client.whoami()["active_organization"]
    client.session.send("DELETE", f"/api/organizations/{organisation}/memberships/{colleague.id}/")


@pytest.fixture
def theirs(
    settings: Settings,
    label_studio: Connection,
    document_root: Path,
    colleague: Colleague,
    new_title: Callable[[], str],
) -> Settings:
    """The settings with a project of the test's own and the colleague's token."""
    made = settings_for(settings, label_studio.url, colleague.token, title=new_title(), files=document_root)
    return made.updated(label_studio__batch_tasks=2, label_studio__patience_s=0.0)


def push_all(settings: Settings, catalog: Catalog, limit: Limit = UNLIMITED) -> PushReport:
    refs = scan(settings, catalog).images
    predict_shard(settings, catalog, FixedPredictor(), refs)
    return push(settings, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY, limit=limit)


def test_a_colleague_pushes_collects_and_is_told_when_that_is_over(
    theirs: Settings, catalog: Catalog, client: LabelStudioClient, colleague: Colleague
) -> None:
    check_label_studio(theirs.server)
    project = push_all(theirs, catalog).project_id
    assert all(check.ok for check in look_at_label_studio(theirs))
    remove(client, colleague)
    with pytest.raises(
        LabelStudioError, match=rf"{colleague.email} belongs to no organisation of .* sees no"
    ) as said:
        check_label_studio(theirs.server)
    with pytest.raises(LabelStudioError, match=rf"\(id {project}\) is gone .* may not see it") as gone:
        collect_reviews(theirs, catalog)
    assert "\n" not in f"{said.value}{gone.value}"
    *_, check = look_at_label_studio(theirs)
    assert (check.ok, check.found) == (
        False,
        f"{colleague.email} belongs to no organisation, so it sees no project",
    )
    assert len(client.task_ids(project)) == 5


def test_one_who_is_removed_during_a_push_loses_and_doubles_nothing(
    theirs: Settings,
    catalog: Catalog,
    client: LabelStudioClient,
    colleague: Colleague,
    label_studio: Connection,
) -> None:
    n_requests = 0

    @contextmanager
    def until_the_second() -> Iterator[None]:
        nonlocal n_requests
        n_requests += 1
        if n_requests == 2:
            remove(client, colleague)
        yield

    with pytest.raises(LabelStudioError, match="or the token's user may no longer see it") as caught:
        push_all(theirs, catalog, until_the_second)
    assert "\n" not in str(caught.value)
    (project,) = client.find_projects(theirs.queue.project)
    assert len(client.task_ids(project.id)) == 2
    owners = settings_for(
        theirs,
        label_studio.url,
        label_studio.token,
        title=theirs.queue.project,
        files=theirs.label_studio.files,
    )
    report = push_all(owners, catalog)
    assert (report.counts["pushed"], report.counts["present"], report.project_id) == (3, 2, project.id)
    assert len(client.task_ids(project.id)) == 5
