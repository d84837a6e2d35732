"""The study with simulated people: what they decide and take, what is measured of it, and its rounds."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.study.charts import draw_minutes
from bench.study.hands import draw_box, draw_mask, leave
from bench.study.loop import StudyFailed, Workspace, run_rounds
from bench.study.measure import (
    Both,
    World,
    estimate,
    expect,
    interval_by_person,
    judge,
    simulate,
    work_tables,
)
from bench.study.page import render
from bench.study.people import BOXES_7, BOXES_35, MASKS, Assumptions, Person, by_hand, with_help
from bench.study.pictures import draw_rounds
from bench.study.plans import NoData, Plan, read_images
from bench.study.results import measure_all
from bench.study.scenes import Scene, make_scene
from detseg.cli.app import app
from detseg.geometry.boxes import box_iou
from detseg.geometry.masks import bitmap_to_mask, mask_iou
from detseg.metrics.costs import CostModel
from detseg.metrics.edits import find_edits
from detseg.types import Annotation, Box, ImageId, Instance, Region, RegionId, Size
from tests.models import tiny

SIZE = Size(400, 300)
LABELS = ("bolt", "ring")
EXACT = replace(
    BOXES_35,
    person_spread=0.0,
    image_spread=0.0,
    missed=0.0,
    missed_with_help=0.0,
    mislabeled=0.0,
    waved_through=0.0,
    care_spread=0.0,
    look_spread=0.0,
    hand_iou=1.0,
)
"""People who never err, and all take the mean."""


def thing(label: str, *xyxy: float) -> Instance:
    return Instance(label, "thing", Box(*xyxy))


TRUTH = (thing("bolt", 10, 10, 60, 60), thing("ring", 100, 100, 150, 160), thing("bolt", 200, 50, 280, 90))
SHOWN = (
    thing("bolt", 10, 10, 60, 61),  # right
    thing("bolt", 100, 100, 150, 160),  # another label
    thing("bolt", 205, 60, 290, 95),  # beside it
    thing("ring", 300, 200, 340, 240),  # nothing there
)


def person(speed: float = 1.0, accept_iou: float = 0.8) -> Person:
    return Person("simulated person 1", speed, accept_iou)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_by_hand_everything_is_drawn() -> None:
    work = by_hand(make_scene("a", SIZE, TRUTH, SHOWN), person(speed=2.0), EXACT, labels=LABELS, rng=rng())
    assert work.seconds == pytest.approx(2.0 * (7.0 + 3 * 35.0))
    assert [(one.label, one.target, one.shown) for one in work.left] == [
        ("bolt", 0, None),
        ("ring", 1, None),
        ("bolt", 2, None),
    ]


def test_with_help_each_region_is_looked_at_and_what_is_wrong_is_changed() -> None:
    work = with_help(make_scene("a", SIZE, TRUTH, SHOWN), person(), EXACT, labels=LABELS, rng=rng())
    assert work.edits == ("kept", "relabeled", "moved", "deleted")
    assert work.seconds == pytest.approx(7.0 + 4 * 2.0 + 3.0 + 17.5 + 1.5)
    assert [(one.label, one.target, one.shown) for one in work.left] == [
        ("bolt", 0, 0),
        ("ring", 1, 1),
        ("bolt", 2, None),
    ]


def test_with_nothing_shown_both_arms_take_equally_long() -> None:
    scene = make_scene("a", SIZE, TRUTH, ())
    works = [arm(scene, person(), EXACT, labels=LABELS, rng=rng()) for arm in (by_hand, with_help)]
    assert works[0].seconds == works[1].seconds
    assert works[0].left == works[1].left


def test_a_box_that_is_nearly_right_stays_as_the_model_drew_it() -> None:
    scene = make_scene("a", SIZE, TRUTH[:1], [thing("bolt", 10, 10, 60, 68)])
    careless, careful = (
        with_help(scene, person(accept_iou=iou), EXACT, labels=LABELS, rng=rng()) for iou in (0.8, 0.9)
    )
    assert leave(scene, careless.left[0], EXACT, rng()).box == Box(10, 10, 60, 68)
    assert leave(scene, careful.left[0], EXACT, rng()).box == Box(10, 10, 60, 60)


def test_drawn_shapes_overlap_with_the_object_as_is_assumed() -> None:
    box = Box(100, 100, 180, 170)
    generator = rng()
    drawn = [draw_box(box, SIZE, 0.88, generator) for _ in range(300)]
    assert np.mean([box_iou(box, one) for one in drawn]) == pytest.approx(0.88, abs=0.02)
    rows, columns = np.ogrid[:100, :120]
    disc = bitmap_to_mask(np.hypot(rows - 50, columns - 60) < 12)
    masks = [draw_mask(disc, 0.88, generator) for _ in range(60)]
    assert np.mean([mask_iou(disc, one) for one in masks]) == pytest.approx(0.88, abs=0.04)


def random_world(n: int = 40, seed: int = 0, shown: float = 0.9) -> World:
    """Images of three to eight boxes, most of which a made-up model sees, some of them badly."""
    generator, scenes = rng(seed), []
    for number in range(n):
        places = [
            (40.0 * i + 5.0, float(generator.uniform(10, 200))) for i in range(generator.integers(3, 9))
        ]
        truth = [thing(str(generator.choice(LABELS)), x, y, x + 30, y + 40) for x, y in places]
        seen = [
            replace(one, box=draw_box(one.box or Box(0, 0, 1, 1), SIZE, 0.85, generator), score=0.9)
            for one in truth
            if generator.random() < shown
        ]
        scenes.append(make_scene(f"image {number}", SIZE, truth, seen))
    return World((tuple(scenes[: n // 2]), tuple(scenes[n // 2 :])), LABELS, 8)


def test_the_estimator_gets_what_it_would_read_from_reviews() -> None:
    """The rows are those of the house's own edits between the regions shown and left."""
    world = World(((make_scene("a", SIZE, TRUTH, SHOWN),),), LABELS, 1)
    scene, costs = world.scenes[0], CostModel()
    both = simulate(world, EXACT, 1)
    tables = work_tables(world, [(0, both.control[0], True), (0, both.assisted[0], False)])
    for row, work in zip(tables.reviews, (both.control[0], both.assisted[0]), strict=True):
        left = [leave(scene, one, EXACT, rng()) for one in work.left]
        assert row["lead_s"] == work.seconds
        assert row["by_hand_s"] == sum(map(costs.drawing_s, left))
    shown = annotation(scene, {f"m{i}": one for i, one in enumerate(scene.shown)})
    after = annotation(
        scene,
        {f"m{i}": leave(scene, one, EXACT, rng()) for i, one in enumerate(both.assisted[0].left)},
    )
    edits = find_edits(shown, after)
    assert sorted(edit.kind for edit in edits) == sorted(both.assisted[0].edits)
    assert tables.reviews["edits_s"][1] == sum(map(costs.edit_s, edits))
    assert tables.reviews["redrawn_s"][1] == sum(map(costs.redrawing_s, edits))


def annotation(scene: Scene, regions: dict[str, Instance]) -> Annotation:
    made = tuple(Region(RegionId(name), "model", one) for name, one in regions.items())
    return Annotation(ImageId(scene.name), scene.size, "someone", "labeled", made)


def test_intervals_hold_the_saving_that_the_people_were_made_with() -> None:
    """Where people do not differ in care; nine of ten seeds at the least, so that chance fails it never."""
    world, assumed = random_world(), replace(BOXES_35, care_spread=0.0)
    truth = expect(world, assumed, n=20).saving
    both = [simulate(world, assumed, seed) for seed in range(1, 31)]
    by_person = [interval_by_person(one) for one in both]
    measured = [estimate(one, world) for one in both]
    assert sum(low <= truth <= high for low, high in by_person) >= 26
    assert sum((one.low or 1.0) <= truth <= (one.high or 0.0) for one in measured) >= 26


def test_the_expected_saving_is_the_mean_of_people() -> None:
    world = random_world(n=10)
    truth = expect(world, BOXES_7, n=60)
    both = [simulate(world, BOXES_7, seed) for seed in range(400)]
    seconds = [sum(work.seconds for one in both for work in arm(one)) for arm in (control, assisted)]
    assert 1.0 - seconds[1] / seconds[0] == pytest.approx(truth.saving, abs=0.04)


def control(both: Both) -> Sequence[object]:
    return both.control


def assisted(both: Both) -> Sequence[object]:
    return both.assisted


def test_people_who_never_err_leave_the_truth() -> None:
    world = random_world(n=6)
    both = simulate(world, EXACT, 1)
    assert judge(both.control, world.scenes, EXACT, seed=1).f1 == (1.0, 1.0)
    assert judge(both.assisted, world.scenes, EXACT, seed=1).f1 == (1.0, 1.0)


@pytest.mark.parametrize("name", ["missed", "waved_through", "mislabeled"])
def test_every_error_of_people_lowers_the_quality(name: str) -> None:
    world = random_world(n=20, shown=1.0)
    world = replace(world, rounds=tuple(tuple(with_false(one) for one in some) for some in world.rounds))
    worse = replace(EXACT, **{name: 0.5})
    both = simulate(world, worse, 1)
    arm = both.assisted if name == "waved_through" else both.control
    assert judge(arm, world.scenes, worse, seed=1).f1[0] < 0.97


def with_false(scene: Scene) -> Scene:
    shown = [*scene.shown, thing("ring", 350, 250, 390, 290)]
    return make_scene(scene.name, scene.size, scene.truth, shown)


def test_assumptions_are_varied_towards_perfect_and_away() -> None:
    assert BOXES_7.varied("draw_s", 2.0).draw_s == 14.0
    assert BOXES_7.varied("hand_iou", 0.5).hand_iou == pytest.approx(0.94)


# The rounds, by the real commands.


@dataclass(frozen=True, slots=True)
class InProcess(Workspace):
    """The commands without a new interpreter for each."""

    said: list[tuple[str, ...]]

    def detseg(self, *words: str) -> str:
        self.said.append(words)
        printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
            app(list(words), standalone_mode=False)
        printed.seek(0)
        return printed.read()


def make_data(folder: Path, n: int) -> None:
    """Pictures of one box each, none like another, and their truth as COCO."""
    generator = rng()
    (folder / "made" / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(1, n + 1):
        pixels = np.kron(generator.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        pixels[10:30, number : number + 20] = (200, 40, 40)
        file = folder / "made" / "images" / f"{number}.png"
        Image.fromarray(pixels).save(
            file, compress_level=0
        )  # the same bytes everywhere: they choose the side
        images.append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 48})
        box = {"id": number, "image_id": number, "category_id": 1, "bbox": [number, 10, 20, 20]}
        annotations.append({**box, "area": 400, "iscrowd": 0})
    truth = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "bolt"}]}
    (folder / "made" / "instances.json").write_text(json.dumps(truth))


def test_rounds_run_by_the_real_commands_and_go_on_where_they_were(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    make_data(tmp_path / "data", 10)  # of ten, the plan takes eight
    base = tiny.save("rt_detr", tmp_path / "base")
    plan = Plan(
        "made",
        "--detector",
        ("bolt",),
        sizes=(6, 2),
        steps=(1,),
        assumed={"35 s a box": BOXES_35},
        base=str(base),
        val_share=0.4,
        seed=2,
        threshold=0.3,
    )
    place = InProcess(tmp_path / "work", 1, [])
    lines: list[str] = []
    images = read_images(plan, tmp_path / "data")
    first = run_rounds(plan, images, place, data=tmp_path / "data", say=lines.append)
    assert [words[0] for words in place.said] == [
        *("dataset", "import", "dataset", "train", "predict"),
    ]
    assert [one.training is None for one in first] == [True, False]
    assert lines == ["made, round 1: train on 6 images"]
    place.said.clear()
    assert run_rounds(plan, images, place, data=tmp_path / "data", say=lines.append) == first
    assert [words[0] for words in place.said] == ["dataset", "train"]
    found = measure_all(plan, first, n_seeds=3, n_expect=2, n_judged=1)
    drawn = draw_rounds(plan, first, place.folder, images=tmp_path / "data/made/images", out=tmp_path)
    assert [file.name for file in drawn if file.stat().st_size > 1000] == ["made-1.png"]
    draw_minutes([found], tmp_path / "chart.svg")
    assert "simulated" in (tmp_path / "chart.svg").read_text()
    text = "\n".join(render([json.loads(json.dumps(found))], chart="pictures/chart.svg"))
    assert text.count("simulated") >= 5
    assert "made, 35 s a box" in text


def test_a_command_that_fails_ends_the_study_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(StudyFailed, match=r"detseg dataset in .* ended with \d+: .*no-such"):
        Workspace(tmp_path, 1).detseg("dataset", "show", "no-such-version")


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    plan = Plan("made", "--detector", ("bolt",), sizes=(9,), steps=(), assumed={"by hand": MASKS})
    with pytest.raises(NoData, match=r"instances.json is missing"):
        read_images(plan, tmp_path)
    make_data(tmp_path, 4)
    with pytest.raises(NoData, match="has 4 images, and the study takes 9"):
        read_images(plan, tmp_path)


def test_every_assumption_has_words_on_the_page() -> None:
    from bench.study.page import _WORDS
    from bench.study.people import NAMES

    assert tuple(_WORDS) == NAMES
    assert Assumptions(1.0, 1.0, 1.0).varied(NAMES[0], 2.0).draw_s == 2.0
