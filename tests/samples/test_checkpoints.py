"""The checkpoints that come with the package: small, plain, and as good as their cards say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoImageProcessor,
    AutoModelForObjectDetection,
    AutoModelForUniversalSegmentation,
)

from detseg.samples.checkpoints import Role, checkpoint_path
from detseg.samples.scenes import SAMPLE_CLASSES, THING_NAMES, generate_scene
from detseg.samples.train.__main__ import measure
from detseg.samples.train.rendering import (
    HELD_OUT_SEEDS,
    PROGRESS_SEEDS,
    TRAIN_SEEDS_FROM,
    read_scene,
    render,
)
from detseg.training.evaluate import Split
from tests.samples.checkpoints import load_sample, sample_classes

ROLES: tuple[Role, ...] = ("detector", "segmenter")
AUTO = {"detector": AutoModelForObjectDetection, "segmenter": AutoModelForUniversalSegmentation}
GOAL = {"detector": 0.75, "segmenter": 0.70}


def figure_of_card(role: Role) -> float:
    """The card's headline on the held-out scenes: box AP or PQ."""
    card = (checkpoint_path(role) / "README.md").read_text(encoding="utf-8")
    assert "\n1000 scenes of 640x480, seeds 0 to 999" in card
    found = re.search(r"^\| all \| (0\.\d+) ", card, flags=re.MULTILINE)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("role", ROLES)
def test_a_checkpoint_is_small_and_holds_no_code(role: Role) -> None:
    files = {f.name: f.stat().st_size for f in checkpoint_path(role).iterdir()}
    assert set(files) == {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}
    assert sum(files.values()) <= 10_000_000


@pytest.mark.parametrize("role", ROLES)
def test_transformers_loads_it_whole_and_in_full_precision(role: Role) -> None:
    model, info = AUTO[role].from_pretrained(checkpoint_path(role), output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    names = [model.config.id2label[i] for i in range(len(model.config.id2label))]
    assert names == (list(THING_NAMES) if role == "detector" else [c.name for c in SAMPLE_CLASSES])


def test_the_segmenter_says_what_can_be_counted() -> None:
    model = AutoModelForUniversalSegmentation.from_pretrained(checkpoint_path("segmenter"))
    assert model.config.thing_labels == list(THING_NAMES)


@pytest.mark.parametrize("role", ROLES)
def test_the_card_reaches_the_goal(role: Role) -> None:
    assert figure_of_card(role) >= GOAL[role]


@pytest.mark.parametrize("role", ROLES)
def test_the_card_says_what_is_measured(role: Role, tmp_path: Path) -> None:
    """On a few of the held-out scenes, so only roughly."""
    torch.set_num_threads(1)
    split = Split(render(tmp_path, range(32), n_workers=1), read_scene, sample_classes(role))
    best = measure(load_sample(role), split)
    assert best.figures[best.chosen_by].value == pytest.approx(figure_of_card(role), abs=0.08)


def test_held_out_scenes_are_not_trained_on() -> None:
    assert max(*HELD_OUT_SEEDS, *PROGRESS_SEEDS) < TRAIN_SEEDS_FROM
    assert not set(HELD_OUT_SEEDS) & set(PROGRESS_SEEDS)


@pytest.mark.parametrize("role", ROLES)
def test_a_picture_of_any_size_can_be_asked_about(role: Role) -> None:
    model = AUTO[role].from_pretrained(checkpoint_path(role)).eval()
    processor = AutoImageProcessor.from_pretrained(checkpoint_path(role))
    image = generate_scene(0).image[:33, :401]
    with torch.inference_mode():
        answer = model(**processor(images=[image], return_tensors="pt"))
    if role == "detector":
        (found,) = processor.post_process_object_detection(answer, threshold=0.0, target_sizes=[(33, 401)])
        assert found["boxes"].shape[1] == 4
    else:
        (found,) = processor.post_process_panoptic_segmentation(answer, target_sizes=[(33, 401)])
        assert found["segmentation"].shape == (33, 401)
