"""The rounds with help, as a user would go through them: the commands of detseg, in a folder of their own.

Each step leaves a file, so a study that was stopped goes on where it was; ``detseg train`` does so by itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.processes import environment
from bench.study.hands import leave
from bench.study.people import Assumptions, Person, by_hand, draw_people, with_help
from bench.study.plans import Plan, image_folder
from bench.study.scenes import Scene, make_scene
from detseg.files import read_json, write_whole
from detseg.formats import ImageLabels
from detseg.formats.predictions import read_predictions
from detseg.geometry.boxes import box_to_xywh
from detseg.geometry.extent import extent
from detseg.geometry.masks import encode_mask
from detseg.types import Instance

Say = Callable[[str], None]
Shown = Mapping[str, tuple[Instance, ...]]
"""The regions that a model found, by the name of the image."""

LOWEST = 0.05
"""The score from which what a model finds is kept; what people are shown begins higher."""


class StudyFailed(Exception):
    """A command of the study that ended with an error, and what it said last."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder in which commands of detseg run, with so many threads."""

    folder: Path
    threads: int

    def detseg(self, *words: str) -> str:
        """Return the output of a command. Raises StudyFailed with its last line if it ends with an error."""
        done = subprocess.run(
            [sys.executable, "-m", "detseg", *words],
            cwd=self.folder,
            env=environment(self.folder, self.threads),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            said = " ".join(last)
            raise StudyFailed(f"detseg {words[0]} in {self.folder} ended with {done.returncode}: {said}")
        return done.stdout


@dataclass(frozen=True, slots=True)
class Round:
    """A round as it was: its images with truth, what the model found on them, and how the model was made.

    Without ``training``, there was no model and all was drawn by hand.
    """

    images: tuple[ImageLabels, ...]
    found: Shown
    training: Mapping[str, Any] | None


def run_rounds(
    plan: Plan, rounds: Sequence[Sequence[ImageLabels]], place: Workspace, *, data: Path, say: Say
) -> list[Round]:
    """Go through all rounds of a plan in a workspace, or on from where it was stopped."""
    folder = place.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "detseg.toml", _settings(plan, image_folder(plan, data)))
    assumed = next(iter(plan.assumed.values()))
    people = draw_people(plan.n_people, assumed, np.random.default_rng([plan.seed, 0]))
    done: list[Round] = []
    training = None
    for number, images in enumerate(rounds):
        found: Shown = {}
        if number:
            say(f"{plan.name}, round {number}: train on {sum(map(len, rounds[:number]))} images")
            training = _train(plan, place, number)
            found = _predict(plan, place, number, [image_folder(plan, data) / one.name for one in images])
        done.append(Round(tuple(images), found, training))
        if number + 1 < len(rounds):  # nothing learns from the last labels
            _label(plan, folder / f"labels-{number}.json", number, done[-1], people=people, assumed=assumed)
            _import(plan, place, number, image_folder(plan, data))
    return done


def scenes_of(one: Round, *, threshold: float) -> list[Scene]:
    """The images of a round with what people are shown of them: from the threshold on."""
    return [
        make_scene(
            image.name,
            image.size,
            image.instances,
            [region for region in one.found.get(image.name, ()) if (region.score or 0.0) >= threshold],
        )
        for image in one.images
    ]


def _settings(plan: Plan, images: Path) -> str:
    training = "".join(f"{name} = {json.dumps(value)}\n" for name, value in plan.training.items())
    classes = "".join(f"\n[[classes]]\nname = {json.dumps(name)}\n" for name in plan.classes)
    return f"""\
[source]
location = {json.dumps(str(images))}

[queue]
project = "study of {plan.name}, with simulated people"

[engine]
device = "cpu"

[training]
patience = 0
evaluations = 4
{training}{classes}"""


def _train(plan: Plan, place: Workspace, number: int) -> Mapping[str, Any]:
    base = plan.base if number == 1 else f"model-{number - 1}"
    steps = str(plan.steps[number - 1])
    out = f"model-{number}"
    words = ["train", f"round-{number}", "--base", base, "--out", out, "--steps", steps, "--json"]
    answer: Mapping[str, Any] = json.loads(place.detseg(*words, "--seed", str(plan.seed)))
    return answer


def _predict(plan: Plan, place: Workspace, number: int, files: Sequence[Path]) -> Shown:
    out = f"found-{number}"
    file = place.folder / out / "predictions.json"
    if not file.is_file():
        other = "--segmenter" if plan.flag == "--detector" else "--detector"
        low = ["--box-threshold", str(LOWEST), "--mask-threshold", str(LOWEST)]
        words = [plan.flag, f"model-{number}", other, "", "--out", out, "--no-pictures", *low]
        place.detseg("predict", *map(str, files), *words)
    labels = read_predictions(read_json(file), file)
    return {Path(one.name).name: one.instances for one in labels}


def _label(
    plan: Plan, file: Path, number: int, one: Round, *, people: Sequence[Person], assumed: Assumptions
) -> None:
    """Write the labels that simulated people made of a round's images, as COCO."""
    if file.is_file():
        return
    rng, hand = (np.random.default_rng([plan.seed, 1 + number, which]) for which in (0, 1))
    work = with_help if one.training is not None else by_hand
    scenes = scenes_of(one, threshold=plan.threshold)
    made = []
    for place, scene in enumerate(scenes):
        done = work(scene, people[place % len(people)], assumed, labels=plan.classes, rng=rng)
        made.append([leave(scene, left, assumed, hand) for left in done.left])
    write_whole(file, json.dumps(_to_coco(scenes, made, plan.classes)))


def _import(plan: Plan, place: Workspace, number: int, images: Path) -> None:
    """Take the labels in, and make a dataset version of all so far."""
    version = f"round-{number + 1}"
    name = f"simulated-people-{number}"
    known = json.loads(place.detseg("dataset", "list", "--json"))["versions"]
    if any(one["name"] == version for one in known):
        return
    words = ["--format", "coco", "--as", "labels", "--images", str(images), "--name", name]
    place.detseg("import", f"labels-{number}.json", *words)
    split = f"train={1.0 - plan.val_share},val={plan.val_share}"
    # the sides only choose weights: each model is measured on images that come later
    place.detseg("dataset", "create", version, "--split", split, "--allow-leaks")


def _to_coco(
    scenes: Sequence[Scene], made: Sequence[Sequence[Instance]], classes: Sequence[str]
) -> dict[str, Any]:
    entries: list[dict[str, Any]] = []
    for image, regions in enumerate(made, 1):
        for region in regions:
            entry: dict[str, Any] = {
                "id": len(entries) + 1,
                "image_id": image,
                "category_id": classes.index(region.label) + 1,
                "bbox": list(box_to_xywh(extent(region))),
                "iscrowd": 0,
            }
            if region.mask is not None:
                entry |= {"segmentation": encode_mask(region.mask), "area": region.mask.area}
            entries.append(entry)
    return {
        "images": [
            {"id": number, "file_name": one.name, "width": one.size.width, "height": one.size.height}
            for number, one in enumerate(scenes, 1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
        "annotations": entries,
    }
