"""Predictions out of files: what somebody's own program said, image by image, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detseg.config import ClassSettings, Settings
from detseg.errors import ImageError, ModelError
from detseg.geometry.masks import encode_mask, mask_to_box
from detseg.images import read_image
from detseg.models.predictor import PredictorOptions, check_answer
from detseg.models.recorded import RecordedPredictor, load_recorded
from detseg.pipeline.predict import predict
from detseg.pipeline.predictors import load, predictor_settings
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, DecodedImage
from tests.pipeline.labeled import SIZE, disc

TAXONOMY = Taxonomy((LabelClass("bolt", aliases=("screw",)), LabelClass("nut"), LabelClass("belt", "stuff")))


@pytest.fixture
def images(tmp_path: Path) -> list[DecodedImage]:
    """Three pictures of noise in two folders."""
    found = []
    for number, name in enumerate(("a/one.png", "a/two.png", "b/one.png")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (SIZE.height, SIZE.width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        found.append(read_image(str(path)))
    return found


def dataset(**changes: Any) -> dict[str, Any]:
    """Boxes on two images, one with a mask, one of a class that nobody knows."""
    size = {"width": SIZE.width, "height": SIZE.height}
    made = {
        "images": [
            {"id": 7, "file_name": "a/one.png", **size},
            {"id": 8, "file_name": "a/two.png", **size},
            {"id": 9, "file_name": "b/one.png", **size},
        ],
        "categories": [{"id": 1, "name": "screw"}, {"id": 2, "name": "nut"}, {"id": 3, "name": "gear"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [2, 3, 10, 12.5], "score": 0.9},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [5, 5, 5, 5], "score": 0.9},
            {
                "id": 3,
                "image_id": 8,
                "category_id": 2,
                "bbox": [21, 11, 18, 18],
                "score": 0.6,
                "segmentation": encode_mask(disc(30, 20, 9)),
            },
            {"id": 4, "image_id": 8, "category_id": 2, "bbox": [0, 0, 5, 5], "score": 0.2},
        ],
    }
    return made | changes


def write(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content))
    return f"results:{path}"


def load_named(name: str, taxonomy: Taxonomy | None = TAXONOMY, **options: Any) -> RecordedPredictor:
    return load_recorded(name, options=PredictorOptions(**options), taxonomy=taxonomy)


def test_a_coco_dataset_says_what_it_says(tmp_path: Path, images: list[DecodedImage]) -> None:
    predictor = load_named(write(tmp_path / "found.json", dataset()))
    first, second, third = check_answer(predictor, images, predictor.predict(images))
    (bolt,) = first
    assert (bolt.label, bolt.score, bolt.seen_by) == ("bolt", 0.9, "detector")
    assert bolt.box is not None
    assert bolt.box.xyxy == (2, 3, 12, 15.5)
    (nut,) = second
    assert (nut.label, nut.seen_by, nut.mask) == ("nut", "both", disc(30, 20, 9))
    assert third == ()
    assert predictor.unmapped == {"gear": 1}
    (faint,) = load_named(predictor.detector, box_threshold=0.7).predict(images[:1])[0]
    assert faint == bolt
    assert load_named(predictor.detector, box_threshold=0.7).predict(images[1:2]) == ((),)


def test_coco_results_need_their_dataset(tmp_path: Path, images: list[DecodedImage]) -> None:
    truth = write(tmp_path / "instances.json", dataset(annotations=[])).removeprefix("results:")
    results = write(tmp_path / "found.json", dataset()["annotations"])
    answers = load_named(f"{results}@{truth}").predict(images)
    assert answers == load_named(write(tmp_path / "whole.json", dataset())).predict(images)
    with pytest.raises(ModelError, match=r"name the dataset that has these, as results:.*@instances\.json"):
        load_named(results)


def yolo_folder(folder: Path, rows: dict[str, str], data: str = "names: [screw, nut, gear]\n") -> str:
    """Text files by the names of their images."""
    for name, text in rows.items():
        path = (folder / "labels" / name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if data:
        (folder / "data.yaml").write_text(data)
    return f"results:{folder}"


ROWS = {
    "a/one": "0 0.25 0.5 0.1 0.2 0.9\n2 0.5 0.5 0.5 0.5 0.9\n",
    "a/two": "1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75 0.6\n1 0.1 0.1 0.1 0.1 0.2\n",
    "b/one": "",
}
"""A box and a segment with scores, a class that nobody knows, a faint box, and an image without anything."""


def test_yolos_text_files_are_read_with_scores(tmp_path: Path, images: list[DecodedImage]) -> None:
    name = yolo_folder(tmp_path / "found", ROWS)
    predictor = load_named(name)
    first, second, third = check_answer(predictor, images, predictor.predict(images))
    (bolt,), (nut,) = first, second
    assert (bolt.label, bolt.score, bolt.seen_by) == ("bolt", 0.9, "detector")
    assert bolt.box is not None
    assert bolt.box.xyxy == pytest.approx((12, 16, 18, 24))
    assert (nut.label, nut.score, nut.seen_by, nut.box) == ("nut", 0.6, "segmenter", None)
    assert nut.mask is not None
    assert (nut.mask.area, mask_to_box(nut.mask)) == (600, Box(15, 10, 45, 30))
    assert third == ()
    assert predictor.unmapped == {"gear": 1}
    (faint,) = load_named(name, box_threshold=0.1).predict(images[1:2])[0][1:]
    assert (faint.score, faint.seen_by) == (0.2, "detector")


def test_what_ultralytics_leaves_behind_is_read_as_it_is(tmp_path: Path, images: list[DecodedImage]) -> None:
    """``yolo predict save_txt save_conf``: no text file where nothing was found, but every picture."""
    run = tmp_path / "runs" / "detect" / "predict"
    yolo_folder(run, {"two": "1 0.5 0.5 0.1 0.2 0.873046\n"}, data="")
    for name in ("one.jpg", "two.jpg"):
        (run / name).touch()
    (tmp_path / "data.yaml").write_text("path: ../datasets/parts\nnames:\n  0: screw\n  1: nut\n")
    names = [f"results:{folder}@{tmp_path / 'data.yaml'}" for folder in (run, run / "labels")]
    for name in names:
        nothing, (nut,) = load_named(name).predict(images[:2])
        assert (nothing, nut.label, nut.score) == ((), "nut", 0.873046)
    (run / "one.jpg").unlink()
    for name in names:
        with pytest.raises(ImageError, match=r"is not in .*predict.*: name it there"):
            load_named(name).predict(images[:1])


def test_yolos_text_files_without_scores_and_names(tmp_path: Path, images: list[DecodedImage]) -> None:
    name = yolo_folder(tmp_path / "found", {"a/two": "1 0.5 0.5 0.1 0.2\n"}, data="")
    (instance,) = load_named(name, taxonomy=None).predict(images[1:2])[0]
    assert (instance.label, instance.score) == ("1", 1.0)
    (tmp_path / "data.yaml").write_text("names: [screw, nut]\n")
    (named,) = load_named(f"{name}/labels@{tmp_path / 'data.yaml'}").predict(images[1:2])[0]
    assert (named.label, named.box) == ("nut", instance.box)


def test_images_meet_text_files_by_path_where_names_are_equal(
    tmp_path: Path, images: list[DecodedImage]
) -> None:
    rows = {"a/one": "0 0.5 0.5 0.1 0.2\n", "b/one": "1 0.5 0.5 0.1 0.2\n"}
    predictor = load_named(yolo_folder(tmp_path / "found", rows))
    answers = predictor.predict([images[0], images[2]])
    assert [[one.label for one in some] for some in answers] == [["bolt"], ["nut"]]
    with pytest.raises(ImageError, match=r"is not in .*found: name it there"):
        predictor.predict(images[1:2])


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("0 0.5 0.5 0.1 0.2 1.4", "expected a score from 0 to 1 at the end, not 1.4"),
        ("7 0.5 0.5 0.1 0.2", "class 7 is out of range"),
        ("0 0.5 0.5 0.1", "4 columns; expected 5"),
        ("0 0.5 0.5 a 0.1", "expected numbers"),
    ],
)
def test_a_wrong_row_concerns_its_image_alone(
    tmp_path: Path, images: list[DecodedImage], row: str, line: str
) -> None:
    predictor = load_named(yolo_folder(tmp_path / "found", {**ROWS, "a/two": row}))
    assert len(predictor.predict(images[:1])[0]) == 1
    with pytest.raises(ImageError, match=rf"two\.txt, line 1: {line}"):
        predictor.predict(images[1:2])


def test_a_voc_folder_is_read(tmp_path: Path, images: list[DecodedImage]) -> None:
    folder = tmp_path / "voc" / "Annotations"
    folder.mkdir(parents=True)
    (folder / "two.xml").write_text(
        "<annotation><filename>two.png</filename><size><width>60</width><height>40</height></size>"
        "<object><name>screw</name><bndbox><xmin>3</xmin><ymin>5</ymin><xmax>12</xmax><ymax>20</ymax></bndbox>"
        "</object></annotation>"
    )
    predictor = load_named(f"results:{tmp_path / 'voc'}")
    ((bolt,),) = predictor.predict(images[1:2])
    assert (bolt.label, bolt.score, bolt.box) == ("bolt", 1.0, Box(2, 4, 12, 20))
    with pytest.raises(ImageError, match=r"is not in .*voc: name it there"):
        predictor.predict(images[:1])


def task(name: str, **lists: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": f"/data/local-files/?d=photos/{name}"}, "annotations": [], **lists}


def rectangle(x: float, label: str, **fields: Any) -> dict[str, Any]:
    value = {"x": x, "y": 25, "width": 10, "height": 50, "rotation": 0, "rectanglelabels": [label]}
    drawn = {"type": "rectanglelabels", "from_name": "box", "to_name": "image", "id": f"r{x}"}
    return {**drawn, "original_width": 60, "original_height": 40, "value": value, **fields}


def load_tasks(tmp_path: Path, tasks: Any, name: str = "export.json") -> Any:
    write(tmp_path / name, tasks)
    classes = (ClassSettings(name="bolt", aliases=("screw",)), ClassSettings(name="nut"))
    settings = Settings(root=tmp_path, classes=classes)
    return load(predictor_settings(settings.updated(model__detector=f"results:{name}")))


def test_an_export_of_label_studio_has_predictions(tmp_path: Path, images: list[DecodedImage]) -> None:
    drawn = {"id": 5, "result": [rectangle(50, "nut")]}
    predicted = [
        {"id": 1, "result": [rectangle(0, "nut")], "score": 0.9},
        {"id": 2, "result": [rectangle(10, "screw", score=0.7), rectangle(60, "nut")], "score": 0.8},
    ]
    by_id = task("renamed.png", predictions=[{"id": 3, "result": []}])
    by_id["data"]["image_id"] = images[2].ref.id
    by_id["data"] |= {"width": 60, "height": 40}
    tasks = [task("a/two.png", predictions=predicted, annotations=[drawn]), by_id]
    predictor = load_tasks(tmp_path, tasks)
    assert predictor.version.startswith("export@")
    second, third = predictor.predict(images[1:])
    assert [(one.label, one.score) for one in second] == [("nut", 0.8), ("bolt", 0.7)]
    assert second[1].box == Box(6, 10, 12, 30)
    assert third == ()
    with pytest.raises(ImageError, match=r"is not in .*export\.json"):
        predictor.predict(images[:1])


def test_an_export_of_label_studio_without_predictions_has_annotations(
    tmp_path: Path, images: list[DecodedImage]
) -> None:
    drawn = {"id": 5, "result": [rectangle(50, "nut")]}
    predictor = load_tasks(tmp_path, [task("a/two.png", predictions=[], annotations=[drawn])])
    ((nut,),) = predictor.predict(images[1:2])
    assert (nut.label, nut.score, nut.seen_by, nut.box) == ("nut", 1.0, "detector", Box(30, 10, 36, 30))
    with pytest.raises(ModelError, match=r"^results:.*wrong\.json cannot be read: .* no tasks"):
        load_tasks(tmp_path, [{"data": 7}], "wrong.json")


def test_the_version_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    name = yolo_folder(tmp_path / "found", ROWS)
    version = load_named(name).version
    (tmp_path / "found" / "notes.md").write_text("nothing of the predictions")
    assert load_named(name).version == version
    yolo_folder(tmp_path / "found", {"c/one": ""})
    assert load_named(name).version != version


def test_a_folder_without_predictions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has neither YOLO's text files nor VOC's Annotations"):
        load_named(f"results:{tmp_path}")


def test_what_detseg_predicts_is_read_back(tmp_path: Path, images: list[DecodedImage]) -> None:
    """The file of a run is the detector of the next one, and gives the same file again."""
    classes = (ClassSettings(name="bolt", aliases=("screw",)), ClassSettings(name="nut"))
    settings = Settings(root=tmp_path, classes=classes)
    name = write(tmp_path / "found.json", dataset())
    paths = [Path(image.ref.uri) for image in images]
    for number in range(2):
        settings = settings.updated(model__detector=name)
        report = predict(settings, paths, tmp_path / f"out{number}", pictures=False)
        assert report.failed == ()
        name = f"results:{report.file}"
    first, second = (json.loads((tmp_path / f"out{n}" / "predictions.json").read_text()) for n in range(2))
    assert [one["instances"] for one in first["images"]] == [one["instances"] for one in second["images"]]
    assert sum(len(one["instances"]) for one in first["images"]) == 2


def test_an_image_that_the_file_does_not_know_fails_alone(tmp_path: Path, images: list[DecodedImage]) -> None:
    name = write(tmp_path / "found.json", dataset())
    (tmp_path / "c").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "c" / "three.png")
    with pytest.raises(ImageError, match=r"is not in .*found\.json: name it there"):
        load_named(name).predict([read_image(str(tmp_path / "c" / "three.png"))])
    Image.new("RGB", (9, 9)).save(images[1].ref.uri)
    with pytest.raises(ImageError, match=r"two\.png: the file says 60x40, the upright image is 9x9"):
        load_named(name).predict([read_image(images[1].ref.uri)])


@pytest.mark.parametrize("content", ["{", "[]", '{"images": []}', '{"a": 1}', "7", None])
def test_a_file_that_is_none_is_refused_in_a_line(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "found.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ModelError, match=r"^results:.*found\.json cannot be read: ") as caught:
        load_named(f"results:{path}")
    assert "\n" not in str(caught.value)


def test_the_version_is_that_of_the_file(tmp_path: Path) -> None:
    version = load_named(write(tmp_path / "found.json", dataset())).version
    assert version.startswith("found@")
    (tmp_path / "elsewhere").mkdir()
    assert load_named(write(tmp_path / "elsewhere" / "found.json", dataset())).version == version
    assert load_named(f"results:{tmp_path / 'found.json'}", box_threshold=0.1).version != version
    changed = dataset()
    changed["annotations"][0]["score"] = 0.91
    assert load_named(write(tmp_path / "found.json", changed)).version != version


def test_the_settings_name_it_without_a_segmenter(tmp_path: Path) -> None:
    write(tmp_path / "found.json", dataset())
    chosen = Settings(root=tmp_path).updated(model__detector="results:found.json")
    assert load(predictor_settings(chosen)).taxonomy.names == ("gear", "nut", "screw")
    with pytest.raises(ModelError, match="cannot be joined, for a file of predictions answers alone"):
        load(predictor_settings(chosen.updated(model__segmenter=str(tmp_path))))


def test_a_strict_project_names_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no class for gear: add them to \[\[classes\]\]"):
        load_named(write(tmp_path / "found.json", dataset()), strict=True)
