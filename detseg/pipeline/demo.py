"""The demo's own parts, besides the loop: the folder of sample scenes, and the simulated reviewer at work."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from detseg.config import FILE_NAME, Settings, settings_template
from detseg.errors import ConfigError
from detseg.files import write_whole
from detseg.images import image_id
from detseg.labelstudio.label_config import config_to_taxonomy
from detseg.pipeline import progress
from detseg.pipeline.workspace import find_project, open_client
from detseg.samples.reviewer import ReviewerHabits, truth_of_scene
from detseg.samples.scenes import generate_scene
from detseg.samples.simulate import SimulatedReviewer
from detseg.types import Annotation, ImageId, State

if TYPE_CHECKING:
    from detseg.config import Settings

MARKER = ".detseg-demo"
PROJECT = "detseg demo"
MOST_SCENES = 10_000

_FIRST_SEED = 5_000_000  # far from the scenes that the shipped checkpoints were trained on


def clear_folder(folder: Path) -> None:
    """Makes the demo's folder, empty. Raises ConfigError if something is in it that no demo made.

    The servers of an earlier demo in it have to be stopped.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).is_file():
            raise ConfigError(f"{folder} holds files that no demo made: choose another folder with --out")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()


def write_settings(folder: Path) -> Path:
    """The demo's detseg.toml: the defaults, with the project's title. The file's path.

    A quarter are control images: of a few dozen, the usual share would be too few to tell anything.
    """
    path = folder / FILE_NAME
    write_whole(
        path, settings_template(Settings().updated(queue__project=PROJECT, experiments__control_share=0.25))
    )
    return path


def write_scenes(folder: Path, n_scenes: int, *, seed: int) -> dict[ImageId, Annotation]:
    """Writes that many sample scenes as PNGs into the folder; their truth by image. Seeds share no scene."""
    folder.mkdir(parents=True, exist_ok=True)
    progress.report("make scenes", total=n_scenes)
    truth: dict[ImageId, Annotation] = {}
    for number in range(n_scenes):
        scene = generate_scene(_FIRST_SEED + seed * MOST_SCENES + number)
        path = folder / f"scene-{number + 1:04d}.png"
        Image.fromarray(scene.image).save(path, compress_level=3)
        image = image_id(path.read_bytes())
        truth[image] = truth_of_scene(scene, image)
        progress.report("make scenes", advance=1)
    return truth


def review_as_simulated(
    settings: Settings, truth: Mapping[ImageId, Annotation], *, seed: int
) -> Counter[State]:
    """Has the simulated reviewer submit every open task of the queue; how many ended in which state."""
    progress.report("review", total=len(truth))
    states: Counter[State] = Counter()
    with open_client(settings.server) as client:
        project = find_project(client, settings.queue.project)
        taxonomy, habits = (
            config_to_taxonomy(project.label_config),
            ReviewerHabits(annotate=settings.labels.annotate),
        )
        reviewer = SimulatedReviewer(client, taxonomy, truth.get, habits, seed=seed)
        for _, review in reviewer.review_all(project.id):
            states[review.state] += 1
            progress.report("review", advance=1)
    return states
