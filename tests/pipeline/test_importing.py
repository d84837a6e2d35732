"""Datasets that people already have, taken in: as labels, as known truth, as predictions."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detseg.catalog import ProjectKey, ReviewRecord
from detseg.config import ClassSettings, Settings
from detseg.datasets.differences import compare_versions
from detseg.datasets.sample import image_bytes
from detseg.datasets.splits import SplitRule, parse_shares
from detseg.datasets.store import DatasetStore
from detseg.errors import ConfigError, FormatError
from detseg.pipeline.convert import convert_dataset
from detseg.pipeline.dataset_folders import WriteOptions
from detseg.pipeline.datasets import Wish, create_version, trace_image
from detseg.pipeline.export import export_version
from detseg.pipeline.formats import find_format
from detseg.pipeline.importing import Import, forget_import, import_dataset
from detseg.pipeline.predictors import load, predictor_settings
from detseg.pipeline.scan import scan
from detseg.pipeline.workspace import opened_catalog
from detseg.samples.scenes import generate_scene
from detseg.types import Box, Size
from tests.pipeline.labeled import CLASSES, LabeledProject, bolt, make_project, write_coco

EMPTY = WriteOptions()


def write_image(path: Path, seed: int, size: tuple[int, int] = (60, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A source of four images in two folders, of which two have the same name."""
    for seed, name in enumerate(("a.png", "day/b.png", "day/c.png", "night/c.png")):
        write_image(tmp_path / "photos" / name, seed)
    return Settings(root=tmp_path, classes=CLASSES).updated(
        source__location=str(tmp_path / "photos"), queue__project="parts"
    )


def labels(settings: Settings) -> dict[str, ReviewRecord]:
    """The latest reviews of the project by the names of the images' files."""
    with opened_catalog(settings) as catalog:
        project = catalog.projects.latest(settings.queue.project)
        assert project is not None
        found = list(catalog.reviews.latest(project.key))
        refs = catalog.images.refs(one.annotation.image for one in found)
    return {Path(refs[one.annotation.image].uri).name: one for one in found}


def test_labels_meet_the_images_of_the_source_by_name(settings: Settings, tmp_path: Path) -> None:
    path = write_coco(
        tmp_path / "old.json",
        {
            "a.png": [("bolt", [2, 3, 10, 20]), ("nut", [30, 3, 10, 20])],
            "somewhere/b.png": [],
            "day/c.png": [("bolt", [1, 1, 5, 5])],
            "c.png": [("bolt", [1, 1, 5, 5])],
            "lost.png": [("bolt", [1, 1, 5, 5])],
        },
    )
    done = import_dataset(settings, Import(path, "coco", "labels"))
    assert (done.name, done.images, done.regions, done.new) == ("old", 3, 3, 3)
    assert done.unmatched == ["lost.png"]
    assert [(one.uri, one.reason[:27]) for one in done.failures] == [("c.png", "is the name of 2 images: gi")]
    found = labels(settings)
    assert {name: one.annotation.state for name, one in found.items()} == {
        "a.png": "labeled",
        "b.png": "empty",
        "c.png": "labeled",
    }
    with opened_catalog(settings) as catalog:  # their files are at the source: near duplicates are found
        ids = [one.annotation.image for one in found.values()]
        assert {one.image for one in catalog.features.read(ids)} == set(ids)
    (first, second) = found["a.png"].annotation.regions
    assert (first.instance.label, first.instance.box, first.origin) == ("bolt", Box(2, 3, 12, 23), "person")
    assert second.instance.label == "nut"
    assert found["a.png"].annotation.author == "import:old"


def test_predictions_come_from_formats_that_have_scores(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"not from kitti: make one of them with `detseg convert .* --to coco`"
    ):
        import_dataset(settings, Import(tmp_path, "kitti", "predictions"))


@pytest.mark.parametrize(
    ("name", "n_regions"),
    [("kitti", 1), ("open-images", 1), ("datumaro", 1), ("cityscapes", 0), ("ade20k", 0)],
)
def test_the_long_tail_of_formats_is_taken_in(
    name: str, n_regions: int, settings: Settings, tmp_path: Path
) -> None:
    """The images are where the format has them, and meet those of the source by their bytes."""
    boxes: dict[str, Sequence[tuple[str, list[float]]]] = {"a.png": [("bolt", [2, 3, 10, 20])], "b.png": []}
    for at in ("a.png", "day/b.png"):
        (tmp_path / "theirs" / "images").mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "photos" / at, tmp_path / "theirs" / "images")
    path = write_coco(tmp_path / "theirs" / "annotations" / "instances.json", boxes)
    convert_dataset(path, "coco", name, tmp_path / "out", options=EMPTY)
    done = import_dataset(settings, Import(tmp_path / "out", name, "labels"))
    assert (done.images, done.regions, done.unmatched, done.failures) == (2, n_regions, [], [])


def test_what_is_labeled_is_not_predicted_and_comes_out_again(settings: Settings, tmp_path: Path) -> None:
    path = write_coco(tmp_path / "old.json", {"a.png": [("bolt", [2, 3, 10, 20])], "day/b.png": []})
    import_dataset(settings, Import(path, "coco", "labels"))
    with opened_catalog(settings) as catalog:
        found = scan(settings, catalog)
        project = catalog.projects.latest("parts")
        assert project is not None
        assert catalog.reviews.states(project.key) == {"unlabeled": 0, "labeled": 1, "empty": 1, "skipped": 0}
    assert (found.n_files, len(found.images), found.n_imported) == (4, 2, 2)
    version = create_version(settings, "v1", Wish())
    assert (version.counts.images, version.counts.states) == (2, {"labeled": 1, "empty": 1})
    (trace,) = trace_image(DatasetStore(settings.datasets_location), "a.png")
    assert trace.sample.authors == ("import:old",)
    export_version(settings, "v1", "coco", tmp_path / "out", options=EMPTY)
    read = find_format("coco").read
    assert read is not None
    assert sorted(len(one.instances) for one in read(tmp_path / "out").images()) == [0, 1]


def test_importing_again_changes_only_what_is_others_now(settings: Settings, tmp_path: Path) -> None:
    boxes = {"a.png": [("bolt", [2, 3, 10, 20])], "day/b.png": []}
    path = write_coco(tmp_path / "old.json", boxes)
    import_dataset(settings, Import(path, "coco", "labels"))
    before = labels(settings)
    again = import_dataset(settings, Import(path, "coco", "labels"))
    assert (again.images, again.new, again.updated) == (2, 0, 0)
    assert labels(settings) == before
    write_coco(path, boxes | {"day/b.png": [("nut", [1, 2, 3, 4])]})
    third = import_dataset(settings, Import(path, "coco", "labels"))
    assert (third.new, third.updated) == (0, 1)
    after = labels(settings)
    assert after["a.png"] == before["a.png"]
    assert after["b.png"].annotation.state == "labeled"


def test_truth_that_is_imported_again_is_nothing_new(settings: Settings, tmp_path: Path) -> None:
    boxes = {"a.png": [("bolt", [2, 3, 10, 20])], "day/b.png": []}
    path = write_coco(tmp_path / "truth.json", boxes)
    counts = []
    for more in ({}, {}, {"day/b.png": [("nut", [1, 2, 3, 4])]}):
        write_coco(path, boxes | more)
        done = import_dataset(settings, Import(path, "coco", "gold"))
        counts.append((done.images, done.new, done.updated))
    assert counts == [(2, 2, 0), (2, 0, 0), (2, 0, 1)]


def test_labels_under_another_name_are_no_other_regions(settings: Settings, tmp_path: Path) -> None:
    boxes = {"a.png": [("bolt", [2, 3, 10, 20]), ("nut", [1, 1, 5, 5])], "day/b.png": []}
    more = {"a.png": [("bolt", [2, 3, 10, 20]), ("nut", [1, 1, 5, 6])]}
    for name, content in (("old", boxes), ("new", boxes | more)):
        path = write_coco(tmp_path / f"{name}.json", content)
        import_dataset(settings, Import(path, "coco", "labels"))
        create_version(settings, name, Wish())
    store = DatasetStore(settings.datasets_location)
    found = compare_versions(store, store.version("old"), store.version("new"))
    assert found.regions == {"added": 1, "removed": 1, "changed": 0}
    assert found.by_class == {"nut": {"added": 1, "removed": 1, "changed": 0}}


def test_an_import_is_taken_back(settings: Settings, tmp_path: Path) -> None:
    path = write_coco(tmp_path / "old.json", {"a.png": [("bolt", [2, 3, 10, 20])], "day/b.png": []})
    import_dataset(settings, Import(path, "coco", "labels"))
    import_dataset(settings, Import(path, "coco", "labels", name="second"))
    assert forget_import(settings, "old") == 2
    assert {one.annotation.author for one in labels(settings).values()} == {"import:second"}
    with opened_catalog(settings) as catalog:
        assert scan(settings, catalog).n_imported == 2
    forget_import(settings, "second")
    assert labels(settings) == {}
    with opened_catalog(settings) as catalog:
        assert scan(settings, catalog).n_imported == 0
    with pytest.raises(ConfigError, match="nothing was imported under the name 'old'"):
        forget_import(settings, "old")


def test_bytes_decide_where_they_are_at_hand(settings: Settings, tmp_path: Path) -> None:
    """Another picture that is called as one of the source is no picture of the source."""
    folder = tmp_path / "theirs"
    write_image(folder / "images" / "a.png", 99)
    shutil.copy(tmp_path / "photos" / "day" / "b.png", folder / "images" / "renamed.png")
    path = write_coco(
        folder / "annotations" / "instances.json",
        {"a.png": [("bolt", [2, 3, 10, 20])], "renamed.png": [("nut", [2, 3, 10, 20])]},
    )
    with opened_catalog(settings) as catalog:
        known = {ref.uri: ref.id for ref in scan(settings, catalog).images}
    done = import_dataset(settings, Import(path, "coco", "labels", name="theirs"))
    assert (done.images, done.new, done.unmatched) == (2, 2, [])
    images = {one.annotation.image for one in labels(settings).values()}
    assert known[str(tmp_path / "photos" / "day" / "b.png")] in images
    assert known[str(tmp_path / "photos" / "a.png")] not in images


@pytest.mark.parametrize("name", ["../secret.png", "{root}/secret.png", "link.png"])
def test_a_strangers_file_leads_to_no_picture_of_another_folder(
    name: str, settings: Settings, tmp_path: Path
) -> None:
    secret = write_image(tmp_path / "secret.png", 7)
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "link.png").symlink_to(secret)
    name = name.format(root=tmp_path)
    path = write_coco(folder / "old.json", {name: [("bolt", [2, 3, 10, 20])]})
    done = import_dataset(settings, Import(path, "coco", "labels"))
    assert (done.images, done.unmatched) == (0, [name])
    images = import_dataset(settings, Import(path, "coco", "labels", images=folder))
    assert (images.images, images.unmatched) == (0, [name])
    with opened_catalog(settings) as catalog:
        assert str(secret) not in dict(catalog.images.places())


def test_an_image_of_another_size_is_not_labeled(settings: Settings, tmp_path: Path) -> None:
    write_image(tmp_path / "photos" / "a.png", 5, size=(40, 60))
    path = write_coco(tmp_path / "old.json", {"a.png": [("bolt", [2, 3, 10, 20])]})
    done = import_dataset(settings, Import(path, "coco", "labels"))
    assert done.images == 0
    assert [one.reason for one in done.failures] == ["is 40x60 (upright), and 60x40 in the file"]


def test_a_class_that_the_project_lacks_is_refused_before_anything_is_recorded(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_coco(tmp_path / "old.json", {"a.png": [("washer", [2, 3, 10, 20])]}, names=("washer",))
    with pytest.raises(ConfigError, match=r"no class for 'washer' \(it has bolt, nut, belt\): add it"):
        import_dataset(settings, Import(path, "coco", "labels"))
    aliased = settings.updated(
        classes=(
            *(one for one in CLASSES if one.name != "nut"),
            ClassSettings(name="nut", aliases=("washer",)),
        )
    )
    import_dataset(aliased, Import(path, "coco", "labels"))
    assert labels(settings)["a.png"].annotation.regions[0].instance.label == "nut"


@pytest.mark.parametrize(
    "name", ["nul\0", "esc\x1b[2J", "line\n2", "line\u20282", "turned\u202e", "none\uffff"]
)
def test_classes_that_no_project_can_have_leave_no_project_behind(tmp_path: Path, name: str) -> None:
    settings = Settings(root=tmp_path).updated(source__location=str(tmp_path / "photos"))
    write_image(tmp_path / "photos" / "a.png", 1)
    path = write_coco(tmp_path / "old.json", {"a.png": [(name, [2, 3, 10, 20])]}, names=("bolt", name))
    with pytest.raises(ConfigError, match=r"has control characters.*: rename it in its files"):
        import_dataset(settings, Import(path, "coco", "labels"))
    write_coco(path, {"a.png": [("nut", [2, 3, 10, 20])]})
    assert import_dataset(settings, Import(path, "coco", "labels")).new == 1


def test_the_files_classes_are_the_projects_where_there_are_none(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path).updated(source__location=str(tmp_path / "photos"))
    write_image(tmp_path / "photos" / "a.png", 1)
    path = write_coco(tmp_path / "old.json", {"a.png": [("nut", [2, 3, 10, 20])]})
    import_dataset(settings, Import(path, "coco", "labels"))
    version = create_version(settings, "v1", Wish())
    assert [cls.name for cls in version.recipe.classes] == ["bolt", "nut"]


def test_what_people_say_counts_before_an_import_that_came_later(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.add([1, 2])
    project.review(1, [bolt("b1", 5)])
    path = write_coco(
        tmp_path / "old.json",
        {"photo 1.jpg": [("nut", [1, 1, 5, 5])], "photo 2.jpg": [("nut", [1, 1, 5, 5])]},
    )
    done = import_dataset(project.settings, Import(path, "coco", "labels", images=tmp_path / "photos"))
    assert (done.images, done.failures, done.unmatched) == (2, [], [])
    version = create_version(project.settings, "v1", Wish())
    assert version.counts.regions_by_class == {"bolt": 1, "nut": 1}
    with opened_catalog(project.settings) as catalog:
        states = catalog.reviews.states(project.project(catalog).key)
    assert states == {"unlabeled": 0, "labeled": 2, "empty": 0, "skipped": 0}
    assert project_reviews(project) == {"person 1": "bolt", "import:old": "nut"}


def project_reviews(project: LabeledProject) -> dict[str, str]:
    with opened_catalog(project.settings) as catalog:
        found = list(catalog.reviews.latest(project.project(catalog).key))
    return {one.annotation.author: one.annotation.regions[0].instance.label for one in found}


def test_labels_move_to_the_project_that_a_push_makes(settings: Settings, tmp_path: Path) -> None:
    """Also to the next one, where a server was set up anew; the images with tasks there keep these."""
    path = write_coco(tmp_path / "old.json", {"a.png": [("bolt", [2, 3, 10, 20])], "day/b.png": []})
    import_dataset(settings, Import(path, "coco", "labels"))
    project = LabeledProject(settings)
    with opened_catalog(settings) as catalog:
        assert catalog.projects.titled("parts") == ()
        first = project.project(catalog)
        assert catalog.projects.titled("parts") == (first,)
        assert len(list(catalog.reviews.latest(first.key))) == 2
        second = catalog.projects.record(
            2, url="http://127.0.0.1:8081", title="parts", created_at=first.created_at, label_config="<View/>"
        )
        assert second.key != first.key
        assert [one.annotation.author for one in catalog.reviews.latest(second.key)] == ["import:old"] * 2
        assert list(catalog.reviews.latest(first.key)) == []
        assert list(catalog.reviews.latest(ProjectKey(999))) == []
        assert scan(settings, catalog).n_imported == 2


def test_gold_is_scheduled_without_a_file(settings: Settings, tmp_path: Path) -> None:
    wanted = settings.updated(experiments__gold_share=0.5)
    with opened_catalog(wanted) as catalog, pytest.raises(ConfigError, match="gold_share needs images whose"):
        scan(wanted, catalog)
    path = write_coco(tmp_path / "truth.json", {"a.png": [("bolt", [2, 3, 10, 20])]})
    done = import_dataset(settings, Import(path, "coco", "gold"))
    assert (done.images, done.regions) == (1, 1)
    with opened_catalog(wanted) as catalog:
        found = scan(wanted, catalog)
        assert len(found.images) + found.n_waiting == 4
        (gold,) = catalog.gold.imported()
        truth = catalog.gold.read([gold])[gold]
        assert [one.instance.label for one in truth.regions] == ["bolt"]
        assert forget_import(wanted, "truth") == 1
        assert catalog.gold.imported() == frozenset()


def test_predictions_are_those_that_results_would_be(settings: Settings, tmp_path: Path) -> None:
    path = write_coco(tmp_path / "found.json", {"a.png": [("bolt", [2, 3, 10, 20])], "lost.png": []})
    done = import_dataset(settings, Import(path, "coco", "predictions"))
    assert (done.images, done.regions, done.new, done.unmatched) == (1, 1, 1, ["lost.png"])
    detector = settings.updated(model__detector=f"results:{path}", model__segmenter="")
    assert done.name == load(predictor_settings(detector)).version
    with opened_catalog(settings) as catalog:
        images = [ref.id for ref in scan(settings, catalog).images]
        assert len(catalog.predictions.missing(images, load(predictor_settings(detector)).version)) == 3
    again = import_dataset(settings, Import(path, "coco", "predictions"))
    assert (again.images, again.new) == (1, 0)


def test_what_is_no_dataset_is_said(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not exist: name a file or folder of coco"):
        import_dataset(settings, Import(tmp_path / "none.json", "coco", "labels"))
    path = write_coco(tmp_path / "old.json", {})
    with pytest.raises(ConfigError, match="is no folder: name the one that has the images"):
        import_dataset(settings, Import(path, "coco", "labels", images=tmp_path / "none"))
    with pytest.raises(ConfigError, match="an import cannot be called"):
        import_dataset(settings, Import(path, "coco", "labels", name="a\nb"))
    path.write_text("{")
    with pytest.raises(FormatError):
        import_dataset(settings, Import(path, "coco", "labels"))


def test_images_inside_of_parquet_meet_by_their_bytes(settings: Settings, tmp_path: Path) -> None:
    """Whatever they are called there; one that is not in the source has no place to be read from."""
    theirs = tmp_path / "theirs"
    write_image(theirs / "images" / "other.png", 77)
    shutil.copy(tmp_path / "photos" / "a.png", theirs / "images" / "renamed.png")
    write_coco(
        theirs / "annotations" / "instances.json",
        {"renamed.png": [("nut", [2, 3, 10, 20])], "other.png": [("bolt", [2, 3, 10, 20])]},
    )
    convert_dataset(theirs, "coco", "hf", tmp_path / "parquet", options=EMPTY)
    done = import_dataset(settings, Import(tmp_path / "parquet", "hf", "labels"))
    assert (done.images, done.unmatched) == (1, ["other.png"])
    (found,) = labels(settings).items()
    assert (found[0], found[1].annotation.regions[0].instance.label) == ("a.png", "nut")


def test_near_duplicates_among_imported_images_stay_on_one_side(tmp_path: Path) -> None:
    """No model has seen them: the import takes their fingerprints."""
    theirs = tmp_path / "theirs"
    boxes = {}
    for seed in range(12):
        scene = Image.fromarray(generate_scene(seed, Size(240, 160)).image)
        (theirs / "images").mkdir(parents=True, exist_ok=True)
        scene.save(theirs / "images" / f"{seed}.png")
        scene.save(theirs / "images" / f"{seed} again.jpg", quality=85)
        boxes |= {name: [("bolt", [2.0, 3, 10, 20])] for name in (f"{seed}.png", f"{seed} again.jpg")}
    path = write_coco(theirs / "annotations" / "instances.json", boxes, size=(240, 160))
    settings = Settings(root=tmp_path, classes=CLASSES)
    assert import_dataset(settings, Import(path, "coco", "labels")).images == 24
    create_version(settings, "v1", Wish(split=SplitRule(parse_shares("train=0.5,val=0.5"))))
    store = DatasetStore(settings.datasets_location)
    sides = store.splits(store.version("v1"))
    with opened_catalog(settings) as catalog:
        ids = {Path(uri).stem: image_bytes(image) for uri, image in catalog.images.places()}
    assert {sides[ids[f"{seed}"]] == sides[ids[f"{seed} again"]] for seed in range(12)} == {True}
    assert set(sides.values()) == {"train", "val"}
