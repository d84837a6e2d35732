"""Two thousand known changes through a real Label Studio: every one is found, and none is invented."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from detseg.catalog import Catalog
from detseg.config import load_settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from detseg.metrics.edits import find_edits
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.policies import shape_policy
from detseg.pipeline.push import push
from detseg.pipeline.qa.cases import CaseReader
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from tests.pipeline.conftest import settings_for, write_image
from tests.pipeline.qa_script import TAXONOMY, VERSION, Fate, GridPredictor, review

N_IMAGES, N_CHANGES = 250, 2_000


def test_every_change_is_found_and_none_invented(
    tmp_path: Path,
    label_studio: Connection,
    client: LabelStudioClient,
    new_title: Callable[[], str],
    catalog: Catalog,
    document_root: Path,
) -> None:
    for number in range(N_IMAGES):
        write_image(tmp_path / "images" / f"{number:03}.png", seed=number, width=160, height=120)
    source = load_settings(
        None,
        environ={},
        source__location=str(tmp_path / "images"),
        state_dir=str(tmp_path / "state"),
        labels__annotate="pairs",
        experiments__control_share=0.0,
    )
    settings = settings_for(
        source, label_studio.url, label_studio.token, title=new_title(), files=document_root
    )
    refs = scan(settings, catalog).images
    predict_shard(settings, catalog, GridPredictor(), refs)
    project = push(settings, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY).project_id
    script: dict[int, Counter[Fate]] = {}
    for task in list(client.tasks(project)):
        results, script[task["id"]] = review(task["predictions"][0]["result"], seed=task["id"])
        client.create_annotation(task["id"], results, lead_time_s=5.0)
    assert len(script) == N_IMAGES
    assert (
        sum(n for fates in script.values() for (kind, _), n in fates.items() if kind != "kept") == N_CHANGES
    )
    collect_reviews(settings, catalog)
    found: dict[int, Counter[Fate]] = {}
    for case in CaseReader(catalog, catalog.projects.all()[-1], shape_policy(settings.labels)).all():
        assert case.truth is not None
        edits = find_edits(case.prediction, case.truth)
        found[case.task_id] = Counter(
            (edit.kind, None if edit.before is None else str(edit.before.id)) for edit in edits
        )
    assert found == script
