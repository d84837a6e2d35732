"""The full path on made images: checkpoint folders in, instances out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from detseg.errors import ImageError, ModelError
from detseg.geometry.masks import mask_to_box
from detseg.models.checkpoint_predictor import CheckpointPredictor, Part
from detseg.models.engine import Engine
from detseg.models.labels import map_labels
from detseg.models.loading import load_predictor
from detseg.models.network import RawDetection
from detseg.models.predictor import Predictor, PredictorOptions, check_answer, predict_each
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, DecodedImage, ModelVersion, Size
from tests.models import tiny
from tests.models.made import made_image

Folder = Callable[[str], str]

ROOT = Path(__file__).parents[2]

PAIRS = [("detr", "detr_panoptic"), ("rt_detr_v2", "mask2former")]
SIZES = [(97, 61), (40, 30), (61, 97), (97, 61), (40, 30), (97, 61)]


def options(**chosen: Any) -> PredictorOptions:
    return PredictorOptions(**{"device": "cpu", "mask_threshold": 0.3, "overlap_threshold": 0.1, **chosen})


@pytest.mark.parametrize(("detector", "segmenter"), PAIRS)
def test_one_image_alone_gets_what_it_gets_in_a_batch(
    checkpoint: Folder, detector: str, segmenter: str
) -> None:
    images = [made_image(*size, seed=i) for i, size in enumerate(SIZES)]
    predictor = load_predictor(
        checkpoint(detector), checkpoint(segmenter), options=options(batch_size=3, box_threshold=0.3)
    )
    together = predictor.predict(images)
    assert sum(one.box is not None for answer in together for one in answer) > 6
    assert sum(one.mask is not None for answer in together for one in answer) > 6
    assert len(set(together)) == len(images)
    assert tuple(predictor.predict([image])[0] for image in images) == together
    assert predictor.predict(images[::-1])[::-1] == together


@pytest.mark.parametrize(("detector", "segmenter"), PAIRS)
def test_the_answer_keeps_its_own_contract(checkpoint: Folder, detector: str, segmenter: str) -> None:
    predictor: Predictor = load_predictor(checkpoint(detector), checkpoint(segmenter), options=options())
    images = [made_image(97, 61), made_image(64, 64)]
    answers = predictor.predict(images)
    assert check_answer(predictor, images, answers) == answers
    assert predictor.detector == checkpoint(detector)
    assert predictor.segmenter == checkpoint(segmenter)
    stuff = [one.label for one in answers[0] if one.kind == "stuff"]
    assert max(Counter(stuff).values(), default=0) <= 1


def test_no_images_no_answers(checkpoint: Folder) -> None:
    assert load_predictor(checkpoint("detr"), None, options=options()).predict([]) == ()


@pytest.mark.parametrize(("detector", "segmenter"), [*PAIRS, ("rt_detr_v2", None), (None, "mask2former")])
def test_images_of_any_shape(checkpoint: Folder, detector: str | None, segmenter: str | None) -> None:
    predictor = load_predictor(
        detector and checkpoint(detector), segmenter and checkpoint(segmenter), options=options()
    )
    images = [made_image(*size) for size in [(1, 1), (3, 3), (1, 40), (40, 1), (3, 200), (97, 61)]]
    for image, answer in zip(images, predictor.predict(images), strict=True):
        for one in answer:
            assert one.mask is None or one.mask.size == image.size


IN_HALF = """
import sys
from detseg.models.loading import load_predictor
from tests.models.made import made_image
from tests.models.test_checkpoint_predictor import options

predictor = load_predictor(sys.argv[1], sys.argv[2], options=options(precision="bfloat16"))
print(predictor.predict([made_image(1, 40), made_image(3, 200), made_image(40, 1)]))
"""


def test_no_answer_depends_on_memory_that_nobody_wrote(checkpoint: Folder) -> None:
    """The C library fills new memory with a byte of ours; as bfloat16, 0x7f7f is nearly infinite."""
    answers = set()
    for kept in ("128", "254"):
        command = [sys.executable, "-c", IN_HALF, checkpoint("detr"), checkpoint("mask2former")]
        ran = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"MALLOC_PERTURB_": kept}, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        answers.add(ran.stdout)
    assert len(answers) == 1


@pytest.mark.parametrize("size", ["3000x3", "10000x10"])
def test_an_image_that_is_too_thin_fails_alone(checkpoint: Folder, size: str) -> None:
    predictor = load_predictor(checkpoint("detr"), checkpoint("detr_panoptic"), options=options())
    width, height = size.split("x")
    good, thin = made_image(97, 61), made_image(int(width), int(height))
    first, second, third = predict_each(predictor, [good, thin, good])
    assert first == third == predictor.predict([good])[0]
    assert isinstance(second, ImageError)
    assert str(second).startswith("cannot be predicted by ")  # after the image's name, as all reasons
    assert f" at {size} pixels" in str(second)
    assert "\n" not in str(second)


@pytest.mark.parametrize("kind", ["detr", "detr_panoptic", "rt_detr_v2", "mask2former"])
def test_what_is_no_number_is_no_empty_image(checkpoint: Folder, tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(checkpoint(kind), tmp_path / kind))
    weights = load_file(folder / "model.safetensors")
    for tensor in weights.values():
        if tensor.ndim == 4:  # convolutions, so that numbers grow too large on their way
            tensor.fill_(3e38)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    masks = kind in ("detr_panoptic", "mask2former")
    names = (None, str(folder)) if masks else (str(folder), None)
    predictor = load_predictor(*names, options=options(precision="float32"))
    (failed,) = predict_each(predictor, [made_image(97, 61)])
    assert isinstance(failed, ImageError)
    assert "no number: set engine.precision to float32, or the model is damaged" in str(failed)


def test_a_detector_alone_answers_boxes_a_segmenter_alone_masks(checkpoint: Folder) -> None:
    image = made_image(97, 61)
    (boxes,) = load_predictor(checkpoint("rt_detr_v2"), None, options=options()).predict([image])
    assert boxes
    assert all(one.box and not one.mask and one.seen_by == "detector" for one in boxes)
    segmenter = load_predictor(None, checkpoint("mask2former"), options=options())
    (masks,) = segmenter.predict([image])
    assert masks
    assert all(one.mask and one.seen_by == "segmenter" for one in masks)
    assert all(one.box == mask_to_box(one.mask) for one in masks if one.mask and one.kind == "thing")
    assert segmenter.detector == ""


@pytest.mark.parametrize("twice", [True, False])
def test_a_model_that_is_both_answers_both_in_one_pass(checkpoint: Folder, twice: bool) -> None:
    folder = checkpoint("detr_panoptic")
    predictor = load_predictor(folder if twice else None, folder, options=options())
    assert predictor.detector == predictor.segmenter == folder
    assert list(predictor.engines) == [folder]
    (answer,) = predictor.predict([made_image(97, 61)])
    (boxes,) = load_predictor(folder, None, options=options()).predict([made_image(97, 61)])
    things = [one for one in answer if one.kind == "thing"]
    assert any(one.seen_by == "both" and one.box and one.mask for one in things)
    stuff = {cls.name for cls in predictor.taxonomy.of_kind("stuff")}
    assert [(one.label, one.box) for one in things if one.box] == [
        (one.label, one.box) for one in boxes if one.label not in stuff
    ]
    assert not any(one.mask for one in boxes)


def test_the_detector_says_which_labels_are_things(checkpoint: Folder) -> None:
    both = load_predictor(checkpoint("detr"), checkpoint("mask2former"), options=options())
    assert [(cls.name, cls.kind) for cls in both.taxonomy.classes] == [
        ("bolt", "thing"),
        ("nut", "thing"),
        ("gear", "thing"),
        ("tray", "stuff"),
        ("belt", "stuff"),
    ]


def test_the_checkpoints_own_word_says_which_labels_are_things(tmp_path: Path) -> None:
    folder = tiny.save("mask2former", tmp_path / "m", thing_labels=("nut", "gear"))
    alone = load_predictor(None, str(folder), options=options())
    assert [cls.name for cls in alone.taxonomy.of_kind("stuff")] == ["bolt", "tray", "belt"]


def test_labels_become_the_taxonomys_and_the_rest_is_counted(checkpoint: Folder) -> None:
    taxonomy = Taxonomy((LabelClass("part", aliases=("bolt", "nut")), LabelClass("belt", "stuff")))
    plain = load_predictor(checkpoint("rt_detr_v2"), checkpoint("mask2former"), options=options())
    mapped = load_predictor(
        checkpoint("rt_detr_v2"), checkpoint("mask2former"), options=options(), taxonomy=taxonomy
    )
    assert mapped.unmapped == {}
    images = [made_image(97, 61, seed=seed) for seed in range(3)]
    seen = Counter(one.label for answer in plain.predict(images) for one in answer)
    labels = {one.label for answer in mapped.predict(images) for one in answer}
    assert labels <= {"part", "belt"}
    assert set(mapped.unmapped) == {name for name in seen if name in ("gear", "tray")}
    assert plain.unmapped == {}


def test_a_strict_project_refuses_unknown_labels(checkpoint: Folder) -> None:
    taxonomy = Taxonomy((LabelClass("bolt"), LabelClass("nut")))
    with pytest.raises(ModelError, match=r"has no thing for 1 of its labels \(gear\)"):
        load_predictor(checkpoint("detr"), None, options=options(strict=True), taxonomy=taxonomy)


def test_threads_share_a_predictor(checkpoint: Folder) -> None:
    taxonomy = Taxonomy((LabelClass("moose"),))
    predictor = load_predictor(checkpoint("rt_detr_v2"), None, options=options(), taxonomy=taxonomy)
    predictor.predict([made_image(40, 30)])
    once = sum(predictor.unmapped.values())
    threads = [threading.Thread(target=predictor.predict, args=([made_image(40, 30)],)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert once > 0
    assert sum(predictor.unmapped.values()) == 7 * once


@dataclass
class Crowded:
    """A network on an accelerator with room for so many images; each image has one box, as wide as it is."""

    room: int
    batches: list[int] = field(default_factory=list)
    n_waiting: int = 0
    most_waiting: int = 0

    def prepare(self, images: Sequence[DecodedImage]) -> list[int]:
        self.n_waiting += len(images)
        self.most_waiting = max(self.most_waiting, self.n_waiting)
        return [image.size.width for image in images]

    def run(self, inputs: list[int]) -> list[int]:
        self.batches.append(len(inputs))
        self.n_waiting -= len(inputs)
        if len(inputs) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inputs

    def read(self, output: list[int], sizes: Sequence[Size]) -> tuple[tuple[RawDetection, ...], ...]:
        assert len(output) == len(sizes)
        return tuple(
            (RawDetection(0, 0.9, Box(0, 0, width, size.height)),)
            for width, size in zip(output, sizes, strict=True)
        )


def crowded(room: int) -> tuple[Crowded, CheckpointPredictor]:
    taxonomy = Taxonomy((LabelClass("bolt"),))
    network, accelerator = Crowded(room), Engine(torch.device("meta"))
    part = Part({"detector": "m"}, network, map_labels({0: "bolt"}, taxonomy, boxes=True), accelerator)
    version = ModelVersion("m@00000000")
    return network, CheckpointPredictor(
        [part], taxonomy=taxonomy, version=version, options=options(batch_size=8)
    )


def test_what_does_not_fit_into_memory_runs_in_halves() -> None:
    network, predictor = crowded(room=2)
    images = [made_image(9, 7, seed=i) for i in range(7)] + [made_image(5, 7)]
    answers = predictor.predict(images)
    assert [answer[0].box.x1 for answer in answers if answer[0].box] == [9.0] * 7 + [5.0]
    assert network.batches == [7, 3, 1, 2, 4, 2, 2, 1]


def test_inputs_of_a_window_are_in_memory_however_many_images_there_are() -> None:
    network, predictor = crowded(room=8)
    images = [made_image(9 + i % 2, 7, seed=i) for i in range(200)]
    answers = predictor.predict(images)
    assert [answer[0].box.x1 for answer in answers if answer[0].box] == [9.0, 10.0] * 100
    assert network.most_waiting == predictor.window == 32
    assert network.batches[:4] == [8, 8, 8, 8]  # those of one size run together


def test_one_image_that_does_not_fit_says_so() -> None:
    _, predictor = crowded(room=0)
    with pytest.raises(ModelError, match=r"m with 1 image of 9x7 at once: set source\.max_pixels below 63,"):
        predictor.predict([made_image(9, 7), made_image(9, 7)])
