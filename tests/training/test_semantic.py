"""Trainings of models that give every pixel a class: of things and surfaces, and one for nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation, DPTImageProcessor

from detseg.cli.app import app
from detseg.config import ClassSettings, Settings
from detseg.config.training import TrainingSettings
from detseg.datasets.store import DatasetStore
from detseg.errors import TrainingError
from detseg.geometry.masks import mask_to_bitmap
from detseg.images import decode_image
from detseg.pipeline.predict import predict
from detseg.pipeline.training import train_version
from detseg.taxonomy import LabelClass
from detseg.training.adapt import BACKGROUND, show_whole, with_classes
from detseg.training.augment import IGNORED, Example
from detseg.training.batches import Draws, LabelIds, pixel_example
from detseg.training.plan import Trained, decode_trained, encode_trained
from detseg.training.pretrained import load_pretrained
from detseg.training.tables import write_table
from detseg.training.tasks import TASKS, PixelCollator
from tests.models import tiny
from tests.models.tiny_families import SEMANTIC
from tests.pipeline.labeled import SIZE, LabeledProject, belt, ring
from tests.training.versions import make_version, settings_in

CLASSES = ("bolt", "nut", "belt")


def fit(root: Path, base: Path, out: Path, **training: Any) -> Trained:
    settings = settings_in(root, **{"steps": 1, "evaluations": 1, **training})
    return train_version(settings, "v1", base=str(base), out=out, seed=3)


def truth() -> np.ndarray:
    """The numbers of the classes in an image of ``scenes``: things lie on the belt, and of the two that
    overlap, which are equally large, the first is on top."""
    drawn = np.full((SIZE.height, SIZE.width), len(CLASSES))
    for region in (belt("c"), ring("b", 20, label="bolt"), ring("a")):
        assert region.instance.mask is not None
        drawn[mask_to_bitmap(region.instance.mask)] = CLASSES.index(region.instance.label)
    return drawn


@pytest.mark.parametrize("kind", sorted(SEMANTIC))
def test_every_family_learns_and_predicts(kind: str, scenes: LabeledProject, tmp_path: Path) -> None:
    base, out = tiny.save(kind, tmp_path / kind), tmp_path / "out"
    done = fit(scenes.settings.root, base, out)
    assert done.curve[0].loss > 0
    before, after = (load_file(folder / "model.safetensors") for folder in (base, out))
    assert before.keys() == after.keys()  # with the head that helps training only
    config = json.loads((out / "config.json").read_text())
    assert list(config["id2label"].values()) == ["bolt", "nut", "belt", "background"]
    assert config["thing_labels"] == ["bolt", "nut"]
    classes = [ClassSettings(name=name, kind="stuff" if name == "belt" else "thing") for name in CLASSES]
    settings = Settings(root=tmp_path, classes=classes).updated(
        model__detector=None,
        model__segmenter="out",
        model__mask_threshold=0.0,
        model__strict=True,
        engine__device="cpu",
    )
    report = predict(settings, [scenes.path(0)], tmp_path / "found", pictures=False)
    assert report.failed == ()
    assert {label for counts in report.counts.values() for label in counts} <= {*CLASSES}


def test_the_weights_are_chosen_by_the_miou_that_transformers_gives(
    scenes: LabeledProject, semantic: Path, tmp_path: Path
) -> None:
    done = fit(scenes.settings.root, semantic, tmp_path / "out", steps=2, evaluations=2)
    assert (done.best.chosen_by, list(done.best.figures)) == ("miou", ["miou", "boundary_iou"])
    assert {name: one.n_truth for name, one in done.best.per_class.items()} == dict.fromkeys(CLASSES, 2)
    best = max(done.curve, key=lambda point: (point.figures["miou"] or 0.0, -point.step))
    assert best.step == done.best.step
    assert decode_trained(json.loads(json.dumps(encode_trained(done))), done.checkpoint) == done
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| pixels | mIoU | boundary IoU | objects |" in card

    processor = AutoImageProcessor.from_pretrained(done.checkpoint)
    model = AutoModelForSemanticSegmentation.from_pretrained(done.checkpoint).eval()
    shared, either = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    for number in (4, 5):
        inputs = processor(Image.open(scenes.path(number)).convert("RGB"), return_tensors="pt")
        with torch.no_grad():
            output = model(**inputs)
        (found,) = processor.post_process_semantic_segmentation(output, [(SIZE.height, SIZE.width)])
        for i in range(len(CLASSES)):
            true, seen = truth() == i, found.numpy() == i
            shared[i], either[i] = shared[i] + (true & seen).sum(), either[i] + (true | seen).sum()
    value = done.best.figures["miou"].value
    assert value == pytest.approx((shared / either).mean(), abs=0.01)  # we leave single pixels out


def test_every_pixel_has_the_class_of_its_owner(scenes: LabeledProject, tmp_path: Path) -> None:
    store = DatasetStore(scenes.settings.datasets_location)
    sample = write_table(tmp_path / "all.arrow", store.rows(store.version("v1")))[0]
    image = decode_image(Path(sample.uri).read_bytes(), sample.uri, max_pixels=10_000)
    example = pixel_example(image, sample, LabelIds({name: i for i, name in enumerate(CLASSES)}))
    assert example.layers is not None
    assert example.labels.tolist() == [0, 1, 2, 3]
    assert np.array_equal(example.labels[example.layers[0].long() - 1].numpy(), truth())
    without = pixel_example(image, sample, LabelIds({"belt": 0}))
    assert without.layers is not None
    on_belt = np.zeros((SIZE.height, SIZE.width), dtype=bool)
    on_belt[30:] = True
    assert np.array_equal(without.labels[without.layers[0].long() - 1].numpy() == 0, on_belt)


def test_pixels_of_pasted_things_have_their_class(scenes: LabeledProject, tmp_path: Path) -> None:
    store = DatasetStore(scenes.settings.datasets_location)
    table = write_table(tmp_path / "all.arrow", store.rows(store.version("v1")))
    still = {"flip": 0.0, "zoom": 0.0, "shift": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
    draws = Draws(
        table,
        lambda sample: decode_image(Path(sample.uri).read_bytes(), sample.uri, max_pixels=10_000),
        LabelIds({name: i for i, name in enumerate(CLASSES)}),
        TrainingSettings.model_validate({**still, "copy_paste": 1.0}),
        n_draws=6,
        seed=0,
        most_px=1000,
        make=pixel_example,
        things=frozenset({0, 1}),
    )
    plain = truth()
    for example in (draws[i] for i in range(6)):
        assert example.layers is not None
        assert len(example.layers) == 1
        classes = example.labels[example.layers[0].long() - 1].numpy()
        # the same things lie at the same places in all images
        assert np.array_equal(classes, plain)


def test_labels_lie_where_the_pixels_do_and_what_is_outside_teaches_nothing() -> None:
    processor = DPTImageProcessor(
        size={"height": 20, "width": 30}, keep_aspect_ratio=True, do_pad=True, size_divisor=16
    )
    show_whole(processor)
    layers = torch.ones(1, 40, 60, dtype=torch.int32)
    layers[:, 20:, :] = 2
    layers[:, :, :10] = 0  # moved out of the image
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    wide = Example(image, torch.zeros(2, 4), torch.tensor([7, 300]), layers)
    high = Example(image.mT, torch.zeros(2, 4), torch.tensor([5, 6]), layers.mT)
    inputs = PixelCollator(processor)([wide, high])
    assert inputs["pixel_values"].shape == (2, 3, 32, 32)
    expected = torch.full((32, 32), IGNORED)  # which the processor has put the image into the middle of
    expected[6:16, 6:31], expected[16:26, 6:31] = 7, 300
    assert torch.equal(inputs["labels"][0], expected)
    assert sorted(torch.unique(inputs["labels"][1]).tolist()) == [IGNORED, 5, 6]


@pytest.mark.parametrize("kind", ["beit", "mobilevit"])
def test_a_processor_that_cuts_out_the_centre_shows_the_whole_from_now_on(kind: str, tmp_path: Path) -> None:
    processor = load_pretrained(str(tiny.save(kind, tmp_path / kind))).processor
    image = torch.zeros(3, 20, 80, dtype=torch.uint8)
    image[:, :, :10] = 255
    (seen,) = processor([image], return_tensors="pt")["pixel_values"]
    assert seen.shape == (3, 64, 64)
    assert bool((seen[:, :, :6] > seen[:, :, 20:].max()).all())


@pytest.mark.parametrize("kind", ["upernet", "dpt", "beit"])
def test_what_lacks_the_head_that_helps_training_learns(
    kind: str, scenes: LabeledProject, tmp_path: Path
) -> None:
    base = tiny.save(kind, tmp_path / kind, use_auxiliary_head=False)
    done = fit(scenes.settings.root, base, tmp_path / "out")
    assert np.isfinite(done.curve[0].loss)
    load_pretrained(str(done.checkpoint))


def test_a_model_that_was_trained_goes_on_with_all_that_it_knows(semantic: Path) -> None:
    classes = (LabelClass("nut"), LabelClass("belt", "stuff"), BACKGROUND)
    base = load_pretrained(str(semantic))
    base.model.config.id2label = {0: "belt", 1: "Background", 2: "x", 3: "y", 4: "nut"}
    model = with_classes(base, classes, seed=0, on_cpu=True)
    for head in ("decode_head", "auxiliary_head"):
        old, new = (one.get_submodule(head).classifier.weight for one in (base.model, model))
        assert torch.equal(new, old[[4, 0, 1]])


def test_a_class_that_is_called_background_is_nothing() -> None:
    classes = (LabelClass("Background", "stuff"), LabelClass("nut"))
    task = TASKS["UperNetForSemanticSegmentation"]
    assert task.learned(classes) == classes[1:]
    assert task.labels(classes[1:]) == (classes[1], BACKGROUND)


def test_one_image_at_once_is_too_few_where_several_are_normalised_over(
    scenes: LabeledProject, semantic: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"from 1 image at once, .*set training.batch_size to 2 or more"):
        fit(scenes.settings.root, semantic, tmp_path / "out", batch_size=1)


def test_half_a_batch_at_once_makes_the_same_step(tmp_path: Path) -> None:
    project = make_version(tmp_path, regions=(belt("a"),))
    base = tiny.save("segformer", tmp_path / "base")
    still = {"flip": 0.0, "zoom": 0.0, "shift": 0.0, "learning_rate": 1e-3}
    whole, parts = (
        fit(project.settings.root, base, tmp_path / name, **sizes, **still).curve[0].loss
        for name, sizes in (("whole", {"batch_size": 2}), ("parts", {"batch_size": 1, "accumulate": 2}))
    )
    assert parts == pytest.approx(whole, rel=0.2)


def test_it_is_listed_shown_and_compared_by_miou(
    semantic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make_version(tmp_path, regions=(ring("a"), belt("b")))
    monkeypatch.chdir(tmp_path)
    lines = ["[engine]", 'device = "cpu"', "[training]", "batch_size = 2", "evaluations = 1"]
    (tmp_path / "detseg.toml").write_text("\n".join(lines))

    def said(*words: str) -> str:
        app([*words], standalone_mode=False)
        return capfd.readouterr().out

    train = ("train", "v1", "--base", str(semantic), "--out", "mine", "--steps", "1")
    entry = json.loads(said(*train, "--json"))
    assert entry["best"].keys() >= {"miou", "miou_interval", "step", "per_class"}
    table = said(*train)
    assert "pixels on val" in table
    assert "--segmenter mine --detector ''" in table
    miou = f"mIoU {entry['best']['miou']:.3f}"
    assert miou in said("models", "list")
    assert f"answers masks, {miou} on val" in said("models", "show", "mine")
    compared = json.loads(said("models", "compare", str(semantic), "mine", "--dataset", "v1", "--json"))
    assert compared["better"] is None
    assert compared["figures"]["candidate"]["miou"] is not None
    assert compared["difference"].keys() >= {"expected_seconds", "miou"}
