"""One image of a cluster of near duplicates is sent, and the others wait until it is out of the queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from detseg.catalog import Catalog, FoundImage, Project, Quarantined
from detseg.config import Settings
from detseg.images import image_id
from detseg.images.fingerprints import fingerprint
from detseg.pipeline.pushing.near_duplicates import hold_duplicates
from detseg.pipeline.pushing.queue import PushSpec
from detseg.pipeline.workspace import opened_catalog
from detseg.samples.scenes import generate_scene
from detseg.types import Annotation, Entry, ImageFeatures, ImageId, ImageRef, Size
from tests.catalog.made import NOON, VERSION, record_project, review

SIZE = Size(160, 120)


@dataclass
class Spec:
    """What of a push spec decides here."""

    settings: Any
    catalog: Catalog
    project: Project | None


@pytest.fixture
def spec(tmp_path: Path) -> Iterator[Spec]:
    settings = Settings(root=tmp_path).updated(queue={"near_duplicates": "once"})
    with opened_catalog(settings) as catalog:
        yield Spec(settings, catalog, record_project(catalog))


@pytest.fixture
def refs(spec: Spec, tmp_path: Path) -> tuple[ImageRef, ...]:
    """Three files of each of two scenes, by ascending id within a scene, and one of a third."""
    found: dict[int, list[ImageRef]] = {}
    for seed, quality in ((0, 95), (0, 80), (0, 60), (1, 95), (1, 80), (1, 60), (2, 95)):
        path = tmp_path / f"{seed}-{quality}.jpg"
        Image.fromarray(generate_scene(seed, SIZE).image).save(path, quality=quality)
        data = path.read_bytes()
        ref = ImageRef(image_id(data), str(path))
        found.setdefault(seed, []).append(ref)
        spec.catalog.images.record([FoundImage(ref.id, SIZE, Entry(ref.uri, len(data), "1", ""))])
    return tuple(ref for some in found.values() for ref in sorted(some, key=lambda ref: ref.id))


def split(spec: Spec, refs: tuple[ImageRef, ...]) -> tuple[list[ImageRef], list[ImageRef]]:
    sent, waiting = hold_duplicates(cast(PushSpec, spec), refs)
    assert {one.status for one in waiting} <= {"duplicate"}
    return list(sent), [one.ref for one in waiting]


def push(spec: Spec, ref: ImageRef, task: int) -> None:
    assert spec.project is not None
    spec.catalog.tasks.open_push(spec.project.key, [ref.id], VERSION)
    spec.catalog.tasks.confirm_push(spec.project.key, {ref.id: task})


def test_one_of_each_cluster_is_sent_with_or_without_a_project(
    spec: Spec, refs: tuple[ImageRef, ...]
) -> None:
    expected = ([refs[0], refs[3], refs[6]], [refs[1], refs[2], refs[4], refs[5]])
    assert split(spec, refs) == expected
    spec.project = None
    assert split(spec, refs) == expected


def test_features_that_were_recorded_and_those_that_are_read_now_say_the_same(
    spec: Spec, refs: tuple[ImageRef, ...]
) -> None:
    """A dry run reads the images that a run would have predicted before."""
    before = split(spec, refs)
    pixels = {ref.id: Image.open(ref.uri).convert("RGB") for ref in refs}
    spec.catalog.features.record(
        ImageFeatures(image, fingerprint(np.asarray(one))) for image, one in pixels.items()
    )
    for ref in refs:
        Path(ref.uri).unlink()
    assert split(spec, refs) == before


def test_who_has_a_task_keeps_it_and_the_others_wait_for_it(spec: Spec, refs: tuple[ImageRef, ...]) -> None:
    push(spec, refs[2], 7)
    sent, waiting = split(spec, refs)
    assert sent == [refs[2], refs[3], refs[6]]
    assert waiting == [refs[0], refs[1], refs[4], refs[5]]
    spec.catalog.features.record(_read(refs[2]))
    sent, waiting = split(spec, refs[:2])
    assert (sent, waiting) == ([], [refs[0], refs[1]]), "also where it is in the source no more"


@pytest.mark.parametrize("how", ["deleted", "skipped"])
def test_one_follows_when_the_task_is_gone_or_skipped(
    spec: Spec, refs: tuple[ImageRef, ...], how: str
) -> None:
    assert spec.project is not None
    key = spec.project.key
    push(spec, refs[0], 7)
    spec.catalog.features.record(_read(refs[0]))
    if how == "deleted":
        spec.catalog.server_tasks.mark_deleted(key, [7])
    else:
        spec.catalog.reviews.record(key, [_skipped(refs[0].id)])
    sent, waiting = split(spec, refs[:3])
    assert sent == [refs[0], refs[1]]
    assert waiting == [refs[2]]


def test_who_could_not_be_sent_holds_nobody_up(spec: Spec, refs: tuple[ImageRef, ...]) -> None:
    spec.catalog.quarantine.record([Quarantined(refs[0].uri, "no URL", "push", image=refs[0].id)])
    sent, waiting = split(spec, refs[:3])
    assert sent == [refs[1]]
    assert waiting == [refs[0], refs[2]]


def test_all_are_sent_where_they_are_to_be_kept(spec: Spec, refs: tuple[ImageRef, ...]) -> None:
    spec.settings = spec.settings.updated(queue={"near_duplicates": "keep"})
    assert split(spec, refs) == (list(refs), [])


def _read(ref: ImageRef) -> list[ImageFeatures]:
    return [ImageFeatures(ref.id, fingerprint(np.asarray(Image.open(ref.uri).convert("RGB"))))]


def _skipped(image: ImageId) -> Any:
    record = review(1, 0, state="skipped", regions=())
    annotation: Annotation = replace(record.annotation, image=image, updated_at=NOON)
    return replace(record, task_id=7, annotation=annotation)
