"""A push that does what its plan said, image by image."""

from __future__ import annotations

from collections.abc import Sequence

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.pipeline.push import PushReport, plan_push, push
from detseg.types import ImageRef, ModelVersion
from tests.pipeline.conftest import TAXONOMY, VERSION


def push_as_foreseen(
    queue: Settings, catalog: Catalog, refs: Sequence[ImageRef], version: ModelVersion = VERSION
) -> PushReport:
    """What the push did, after a look at whether it had been said and nothing else had happened."""
    before = catalog.projects.all(), catalog.quarantine.entries()
    said = plan_push(queue, catalog, refs=refs, version=version, taxonomy=TAXONOMY)
    again = plan_push(queue, catalog, refs=refs, version=version, taxonomy=TAXONOMY)
    assert said == again
    assert before == (catalog.projects.all(), catalog.quarantine.entries())
    done = push(queue, catalog, refs=refs, version=version, taxonomy=TAXONOMY)
    assert said.counts == done.counts
    assert (set(said.failures), set(said.incomplete)) == (set(done.failures), set(done.incomplete))
    assert said.shapes == done.shapes
    assert {image: status for image, (status, _) in said.changed.items()} == {
        image: status for image, (status, _) in done.changed.items()
    }
    return done
