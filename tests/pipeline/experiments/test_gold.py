import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import FormatError
from detseg.pipeline.experiments.gold import known_truth, record_truth, schedule_gold, scheduled
from detseg.pipeline.experiments.lottery import Lottery
from detseg.pipeline.scan import scan
from detseg.types import Box, ImageId, ImageRef, ModelVersion
from tests.catalog.made import record_project
from tests.pipeline.conftest import TAXONOMY, half_mask, write_image

BOX = {"bbox": [1, 2, 10, 12], "category_id": 1}
CATEGORIES = [{"id": 1, "name": "Bolt"}, {"id": 7, "name": "belt"}]


def write_gold(path: Path, annotations: dict[str, Sequence[dict[str, Any]]], **more: object) -> None:
    """A COCO file of images by name."""
    images = [{"id": i, "file_name": name} for i, name in enumerate(annotations)]
    entries = [{"image_id": i, **entry} for i, some in enumerate(annotations.values()) for entry in some]
    data = {"images": images, "annotations": entries, "categories": CATEGORIES, **more}
    path.write_text(json.dumps(data))


@pytest.fixture
def gold_settings(settings: Settings, tmp_path: Path) -> Settings:
    """Gold images are every other one."""
    return settings.updated(
        experiments__gold=tmp_path / "gold.json", experiments__gold_share=0.5, experiments__control_share=0.0
    )


def read_and_record(settings: Settings, catalog: Catalog) -> None:
    known = known_truth(settings, catalog)
    assert known is not None
    record_truth(catalog, known, known.found.keys(), TAXONOMY)


def by_name(settings: Settings, catalog: Catalog) -> dict[str, ImageId]:
    return {Path(ref.uri).name: ref.id for ref in scan(settings, catalog).images}


def test_nothing_is_asked_without_a_share(settings: Settings, catalog: Catalog, tmp_path: Path) -> None:
    named = settings.updated(experiments__gold=tmp_path / "not there.json")
    assert known_truth(named, catalog) is None
    refs = scan(named, catalog).images
    assert schedule_gold(named, catalog, refs) == refs


def test_a_source_of_gold_images_alone_says_that_all_wait(
    gold_settings: Settings, settings: Settings, catalog: Catalog, tmp_path: Path
) -> None:
    names = sorted(by_name(settings, catalog))
    write_gold(tmp_path / "gold.json", {name: [] for name in names})
    found = scan(gold_settings, catalog)
    assert (found.images, found.n_waiting) == ((), len(names))
    assert scan(settings, catalog).n_waiting == 0


def test_truth_is_read_in_the_projects_classes(
    gold_settings: Settings, settings: Settings, catalog: Catalog, tmp_path: Path
) -> None:
    ids = by_name(settings, catalog)
    crowd = {**BOX, "iscrowd": 1, "segmentation": {"size": [30, 40], "counts": [1200]}}
    outside = {**BOX, "bbox": [100, 100, 5, 5]}
    polygon = {**BOX, "segmentation": [[1, 2, 11, 2, 11, 14, 1, 14], [20, 20, 24, 20, 24, 24]]}
    belt = {
        "bbox": [0, 0, 20, 30],
        "category_id": 7,
        "segmentation": {"size": [30, 40], "counts": [0, 600, 600]},
    }
    images = [
        {"id": 0, "file_name": "0.png", "width": 40, "height": 30},
        {"id": 1, "file_name": "my photos 🔩/1.png"},  # beside the file
    ]
    write_gold(tmp_path / "gold.json", {"0.png": [polygon, crowd, outside, belt]}, images=images)
    known = known_truth(gold_settings, catalog)
    assert known is not None
    assert known.found.keys() == {ids["0.png"], ids["1.png"]}
    assert list(known.warnings()) == []
    record_truth(catalog, known, known.found.keys(), TAXONOMY)
    found = catalog.gold.read(ids.values())
    assert found[ids["1.png"]].state == "empty"
    bolt, surface = found[ids["0.png"]].regions
    assert (bolt.instance.label, bolt.instance.box, bolt.origin) == ("bolt", Box(1, 2, 11, 14), "person")
    assert bolt.instance.mask is not None
    assert bolt.instance.mask.area > 120
    assert (surface.instance.kind, surface.instance.box) == ("stuff", None)
    assert surface.instance.mask == half_mask(found[ids["0.png"]].size)


@pytest.mark.parametrize(
    ("annotations", "more", "message"),
    [
        ({"0.png": [{**BOX, "category_id": 2}]}, {}, "category_id 2 is not in the truth file"),
        ({"0.png": [{**BOX, "segmentation": [[1, 2]]}]}, {}, "expected a polygon"),
        ({"0.png": []}, {"images": [{"id": 1}]}, "expected a file_name of its own"),
        (
            {"0.png": []},
            {"images": [{"id": 0, "file_name": "0.png", "width": 9, "height": 30}]},
            "the file says 9x30, the upright image is 40x30",
        ),
        (
            {"0.png": [{**BOX, "segmentation": {"size": [3, 4], "counts": [12]}}]},
            {},
            "the file says 4x3, the upright image is 40x30",
        ),
        (
            {"0.png": [BOX]},
            {"categories": [{"id": 1, "name": "crack"}]},
            r"'crack' is no class of the project \(bolt, belt\): rename it",
        ),
    ],
)
def test_a_bad_file_is_one_line(
    gold_settings: Settings,
    settings: Settings,
    catalog: Catalog,
    tmp_path: Path,
    annotations: dict[str, Sequence[dict[str, Any]]],
    more: dict[str, object],
    message: str,
) -> None:
    by_name(settings, catalog)
    write_gold(tmp_path / "gold.json", annotations, **more)
    with pytest.raises(FormatError, match=message) as caught:
        read_and_record(gold_settings, catalog)
    assert "\n" not in str(caught.value)


def test_names_that_are_not_in_the_source_are_said(
    gold_settings: Settings, settings: Settings, catalog: Catalog, tmp_path: Path
) -> None:
    by_name(settings, catalog)
    write_gold(tmp_path / "gold.json", {"0.png": [], "elsewhere/0.png": []})
    known = known_truth(gold_settings, catalog)
    assert known is not None
    (line,) = known.warnings()
    assert "1 of 2 images" in line
    assert "'elsewhere/0.png'" in line


def test_gold_images_wait_for_their_turn(
    gold_settings: Settings, settings: Settings, folder: Path, catalog: Catalog, tmp_path: Path
) -> None:
    for n in range(10, 210):
        write_image(folder / f"{n}.png", seed=n, width=8, height=8)
    golden = [f"{n}.png" for n in range(10, 110)]
    write_gold(tmp_path / "gold.json", {name: [] for name in golden})
    ids = by_name(settings, catalog)
    shared = gold_settings.updated(experiments__gold_share=0.2)
    images = scan(shared, catalog).images
    assert images == scan(shared, catalog, record=False).images
    gold = {ids[name] for name in golden}
    scheduled = [ref.id for ref in images if ref.id in gold]
    assert len(images) - len(scheduled) == len(ids) - len(gold)  # all others are there
    assert 10 <= len(scheduled) <= 45  # 105 others, of which a quarter bring one along
    assert len(set(scheduled)) == len(scheduled)
    # those in the queue stay, and the rest still wait: nothing is new that could bring one along
    project = record_project(catalog, title=settings.queue.project).key
    catalog.tasks.open_push(project, [ref.id for ref in images], ModelVersion("fixed@00000001"))
    assert {ref.id for ref in scan(shared, catalog).images} == {ref.id for ref in images}


@pytest.mark.parametrize("share", [0.03, 0.2, 0.5])
def test_gold_images_are_their_share_of_the_queue(share: float) -> None:
    refs = [ImageRef(ImageId(f"sha256:{n:064x}"), f"{n}.png") for n in range(12_000)]
    gold = {ref.id for ref in refs[6_000:]}
    lottery = Lottery("parts", 3, control_share=0.0, decoy_share=0.0)
    queue = list(scheduled(refs, gold=gold, queued=set(), share=share, lottery=lottery))
    n_gold = sum(ref.id in gold for ref in queue)
    assert len(queue) - n_gold == 6_000
    assert binomtest(n_gold, len(queue), share).pvalue > 1e-6
    again = list(scheduled(refs, gold=gold, queued=set(), share=share, lottery=lottery))
    assert again == queue
    # those that are in the queue bring nothing along again
    there = {ref.id for ref in queue}
    assert {ref.id for ref in scheduled(refs, gold=gold, queued=there, share=share, lottery=lottery)} == there


def test_gold_images_run_out(
    gold_settings: Settings, settings: Settings, catalog: Catalog, tmp_path: Path
) -> None:
    ids = by_name(settings, catalog)
    write_gold(tmp_path / "gold.json", {"0.png": [], "1.png": []})
    images = [ref.id for ref in scan(gold_settings, catalog).images]
    assert sorted(images) == sorted(ids.values())  # every image brings one as long as there are any
    assert {ids["0.png"], ids["1.png"]} == {images[0], images[2]}
