"""The training of the sample checkpoints, on a handful of scenes and steps."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoImageProcessor,
    AutoModelForObjectDetection,
    AutoModelForUniversalSegmentation,
)

from detseg.errors import ModelError
from detseg.samples.checkpoints import Role
from detseg.samples.scenes import SAMPLE_CLASSES, THING_NAMES, generate_scene
from detseg.samples.train import losses
from detseg.samples.train.__main__ import main
from detseg.samples.train.batches import Batch, batch_indices, load_batch
from detseg.samples.train.data import (
    DETECTOR_SIZE,
    NO_LABEL,
    TRAIN_SEEDS_FROM,
    SceneStore,
    open_store,
    render,
    render_shard,
    shrink,
)
from detseg.samples.train.evaluate import score_model
from detseg.samples.train.loop import Pauses, Plan, Training, train
from detseg.samples.train.models import PIXEL_DEVIATION, PIXEL_MEAN, build_processor

N_SCENES = 6
ROLES: tuple[Role, ...] = ("detector", "segmenter")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    assert list(render(folder / "scenes", N_SCENES, n_workers=1)) == [N_SCENES]
    return folder


@pytest.fixture(scope="module")
def store(scratch: Path) -> SceneStore:
    return open_store(scratch / "scenes", N_SCENES)


@pytest.fixture
def batch(store: SceneStore) -> Batch:
    return load_batch(store, 0, "segmenter", batch_size=4, seed=1)


def plan(role: Role, *, n_images: int = 8) -> Plan:
    return Plan(role, n_images, batch_size=2, warmup_steps=2)


# The pictures


def test_a_shard_holds_the_scenes_as_the_models_see_them() -> None:
    block, scene = render_shard([3]), generate_scene(3)
    assert block.detector.shape == (1, 224, 288, 3)
    assert block.segmenter.shape == (1, 192, 256, 3)
    names = [SAMPLE_CLASSES[i].name for i in block.labels[0] if i != NO_LABEL]
    assert names == [i.label for i in scene.instances]
    assert abs(block.detector[0].mean() - scene.image.mean()) < 1
    for i, instance in enumerate(scene.instances):
        assert instance.mask is not None
        share = np.mean(block.owner[0] == i)
        assert share == pytest.approx(instance.mask.area / scene.size.area, abs=0.002)
        if instance.box is not None:
            cx, cy, width, height = block.boxes[0, i] * np.array([640, 480, 640, 480])
            xyxy = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
            assert instance.box.xyxy == pytest.approx(xyxy, abs=1e-3)


def test_rendering_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    assert list(render(tmp_path, 3, n_workers=1)) == [3]
    (shard,) = tmp_path.iterdir()
    written = (shard / "labels.npy").stat().st_mtime_ns
    (tmp_path / f"{TRAIN_SEEDS_FROM}-9.part1").mkdir()  # what a killed process leaves behind
    assert list(render(tmp_path, 3, n_workers=1)) == [3]
    assert (shard / "labels.npy").stat().st_mtime_ns == written
    assert len(open_store(tmp_path, 3)) == 3


def test_an_epoch_sees_every_scene_once_in_an_order_of_its_own() -> None:
    def epoch(first: int) -> list[int]:
        steps = range(first, first + 5)
        return [int(i) for s in steps for i in batch_indices(s, n_scenes=20, batch_size=4, seed=1)]

    assert sorted(epoch(0)) == sorted(epoch(5)) == list(range(20))
    assert epoch(0) != epoch(5)


def test_a_batch_is_a_function_of_its_step(store: SceneStore) -> None:
    first, again, other = (load_batch(store, s, "detector", batch_size=3, seed=1) for s in (4, 4, 5))
    for field in dataclasses.fields(Batch):
        assert torch.equal(getattr(first, field.name), getattr(again, field.name))
    assert not torch.equal(first.pixels, other.pixels)


def test_boxes_and_masks_are_mirrored_together(store: SceneStore) -> None:
    for step in range(4):
        batch = load_batch(store, step, "segmenter", batch_size=6, seed=2)
        for owner, labels, boxes in zip(batch.owner, batch.labels, batch.boxes, strict=True):
            for i in torch.nonzero(labels < len(THING_NAMES)).flatten().tolist():
                ys, xs = torch.nonzero(owner == i, as_tuple=True)
                cx, cy, width, height = boxes[i].tolist()
                assert float(xs.min()) / 256 == pytest.approx(cx - width / 2, abs=0.008)
                assert float(xs.max() + 1) / 256 == pytest.approx(cx + width / 2, abs=0.008)
                assert float(ys.min()) / 192 == pytest.approx(cy - height / 2, abs=0.008)
                assert float(ys.max() + 1) / 192 == pytest.approx(cy + height / 2, abs=0.008)


# The losses


def perfect_answer(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Class and mask logits of 14 queries that answer for the instances in reverse order."""
    truth = losses.owner_to_masks(batch, 4)
    masks = torch.full((len(truth), 14, *truth.shape[-2:]), -12.0)
    classes = torch.zeros(len(truth), 14, len(SAMPLE_CLASSES) + 1)
    classes[..., -1] = 12.0
    for b, labels in enumerate(batch.labels):
        for i, label in enumerate(labels.tolist()):
            if label != NO_LABEL:
                masks[b, 13 - i] = torch.where(truth[b, i] > 0.5, 12.0, -12.0)
                classes[b, 13 - i] = 0
                classes[b, 13 - i, label] = 12.0
    return classes, masks


def test_queries_are_matched_to_what_they_found(batch: Batch) -> None:
    classes, masks = perfect_answer(batch)
    truth = losses.owner_to_masks(batch, 4)
    _, query, instance = losses.match(classes, masks.flatten(2), batch.labels, truth.flatten(2))
    assert torch.equal(query, 13 - instance)
    assert len(query) == int((batch.labels != NO_LABEL).sum())


def test_the_set_loss_is_small_for_a_perfect_answer_only(batch: Batch) -> None:
    classes, masks = perfect_answer(batch)
    coarse = (losses.owner_to_masks(batch, 4) > 0.5).float()
    truth = (coarse, coarse, losses.near_weights(coarse)[0])
    perfect = losses.set_loss(classes, masks, batch.labels, truth=truth)
    wrong_classes = losses.set_loss(classes.roll(1, -1), masks, batch.labels, truth=truth)
    wrong_masks = losses.set_loss(classes, masks.roll(6, -1), batch.labels, truth=truth)
    assert float(perfect) < 0.2
    assert float(wrong_classes) > 10
    assert float(wrong_masks) > 10


def test_masks_of_a_batch_cover_every_cell_once(batch: Batch) -> None:
    for cell in (2, 4):
        total = losses.owner_to_masks(batch, cell).sum(1)
        assert total.shape == (4, 192 // cell, 256 // cell)
        assert torch.allclose(total, torch.ones_like(total))


def test_the_dense_loss_needs_no_things() -> None:
    labels = torch.full((1, 12), NO_LABEL)
    labels[0, 0] = SAMPLE_CLASSES.index(next(c for c in SAMPLE_CLASSES if c.name == "belt"))
    empty = Batch(torch.zeros(1, 3, 192, 256), torch.zeros(1, 192, 256).long(), labels, torch.zeros(1, 12, 4))
    loss = losses.dense_loss(losses.DenseHead(8), torch.zeros(1, 8, 24, 32), empty)
    assert loss.item() == pytest.approx(np.log(len(SAMPLE_CLASSES)), abs=0.5)


# The loop


@pytest.mark.parametrize("role", ROLES)
def test_a_few_steps_make_the_loss_smaller(role: Role, store: SceneStore) -> None:
    """All scenes in every step, so that steps differ by what was learned and not by what they see."""
    training = Training(dataclasses.replace(plan(role, n_images=1000), batch_size=N_SCENES))
    seen = [training.advance(store) for _ in range(5)]
    assert max(seen[-2:]) < seen[0]


@pytest.mark.parametrize("role", ROLES)
def test_a_resumed_training_goes_on_as_if_nothing_had_happened(
    role: Role, store: SceneStore, tmp_path: Path
) -> None:
    straight, resumed = Training(plan(role)), Training(plan(role))
    straight.advance(store)
    straight.write(tmp_path / "state.pt")
    resumed.read(tmp_path / "state.pt")
    assert resumed.progress == straight.progress
    for training in (straight, resumed):
        training.advance(store)
        training.advance(store)
    assert resumed.n_images == straight.n_images == 6
    for one, other in ((straight.model, resumed.model), (straight.average, resumed.average)):
        values = other.state_dict()
        for name, value in one.state_dict().items():
            assert torch.equal(value, values[name]), name


def test_the_learning_rate_rises_and_falls_with_what_is_done() -> None:
    training = Training(Plan("segmenter", n_images=1000, batch_size=10, warmup_steps=10))
    rates = []
    for step in range(101):
        training.progress.step = step
        rates.append(training.learning_rate() / training.plan.learning_rate)
    assert rates[0] == pytest.approx(0.1, abs=0.01)
    assert max(rates) == rates[9] > 0.95
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[100] == pytest.approx(0.01)


def test_the_clock_ends_a_training(store: SceneStore, tmp_path: Path) -> None:
    training = Training(Plan("segmenter", n_images=10**9, minutes=1e-6, batch_size=2))
    lines: list[str] = []
    train(
        training,
        store,
        state_path=tmp_path / "state.pt",
        report=lines.append,
        evaluate=lambda _: 0.25,
        pauses=Pauses(line_s=0, save_s=0, evaluate_s=0),
    )
    assert training.n_images == 2
    assert training.share_done == 1
    assert "100.0%" in lines[0]
    assert "score 0.2500" in lines[1]


def test_the_state_of_the_other_model_is_refused(tmp_path: Path) -> None:
    Training(plan("detector")).write(tmp_path / "state.pt")
    with pytest.raises(ModelError, match="not the state of this training"):
        Training(plan("segmenter")).read(tmp_path / "state.pt")


# The command


def command(role: Role, scratch: Path, *more: str) -> list[str]:
    sizes = ["--scenes", str(N_SCENES), "--batch-size", "2", "--held-out", "2", "--workers", "1"]
    return [role, "--scratch", str(scratch), *sizes, *more]


@pytest.mark.parametrize("role", ROLES)
def test_the_command_writes_a_checkpoint_that_transformers_loads(
    role: Role, scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(role, scratch, "--images", "4", "--out", str(tmp_path / role))) == 0
    assert "held-out score" in capsys.readouterr().err
    auto = AutoModelForObjectDetection if role == "detector" else AutoModelForUniversalSegmentation
    model, info = auto.from_pretrained(tmp_path / role, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    processor = AutoImageProcessor.from_pretrained(tmp_path / role)
    pixels = processor(images=[generate_scene(0).image], return_tensors="pt")["pixel_values"]
    assert pixels.shape == ((1, 3, 224, 288) if role == "detector" else (1, 3, 192, 256))
    assert score_model(model.eval(), role, range(2)).n_scenes == 2
    assert sum(f.stat().st_size for f in (tmp_path / role).iterdir()) <= 10_000_000
    card = (tmp_path / role / "README.md").read_text()
    assert f"python -m detseg.samples.train {role} --scenes {N_SCENES} --images 4" in card
    assert "| images seen | 4 in batches of 2 |" in card


def test_the_pictures_are_shrunk_as_the_processor_shrinks_them() -> None:
    """What the model was trained on has to look like what it is asked about."""
    image = generate_scene(1).image
    ours = (shrink(image, DETECTOR_SIZE).astype(float) / 255 - PIXEL_MEAN) / PIXEL_DEVIATION
    theirs = build_processor("detector")(images=[image], return_tensors="pt")["pixel_values"][0]
    difference = np.abs(ours - theirs.permute(1, 2, 0).numpy())
    assert difference.max() <= 1.1 / 255 / PIXEL_DEVIATION


def test_a_killed_training_goes_on(scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "scenes").symlink_to(scratch / "scenes")
    endless = command("segmenter", folder, "--images", "1000000", "--save-every", "0")
    child = subprocess.Popen(
        [sys.executable, "-m", "detseg.samples.train", *endless],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    state = folder / "segmenter.pt"
    while not state.exists():
        assert child.poll() is None, "the training ended before it saved anything"
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    n_images = torch.load(state, weights_only=True)["progress"][0] * 2
    assert main(command("segmenter", folder, "--images", str(n_images + 2))) == 0
    assert f"going on after {n_images} images" in capsys.readouterr().err
    assert torch.load(state, weights_only=True)["progress"][0] * 2 == n_images + 2


def test_what_goes_wrong_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Training(plan("detector")).write(tmp_path / "segmenter.pt")
    assert main(command("segmenter", tmp_path)) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "remove it" in said[0]
