"""The simulated reviewer on a real Label Studio: submits once, signs as simulated, is read back."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detseg.images import image_id
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import (
    SIMULATED_AUTHOR,
    SIMULATED_EMAIL,
    TaskReview,
    decode_task,
    encode_task,
    prediction_regions,
)
from detseg.labelstudio.project import ensure_project
from detseg.samples.reviewer import ReviewerHabits, review, truth_of_scene
from detseg.samples.scenes import SAMPLE_CLASSES, Scene, generate_scene
from detseg.samples.simulate import SimulatedReviewer
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Annotation, ImageId, ImageRef, Instance, ModelVersion, Size

VERSION = ModelVersion("model@00000000")
TAXONOMY = Taxonomy(tuple(LabelClass(c.name, c.kind, c.colour) for c in SAMPLE_CLASSES))
HABITS = ReviewerHabits(error_rate=0.1, skip_rate=0.0)
N_SCENES = 3


def id_of(scene: Scene) -> ImageId:
    data = io.BytesIO()
    Image.fromarray(scene.image).save(data, "PNG")
    return image_id(data.getvalue())


def shifted(scene: Scene) -> tuple[Instance, ...]:
    """What a model may have seen: all but the first part, the rest a little to the side."""
    seen = []
    for one in scene.instances[1:]:
        box = one.box and type(one.box)(one.box.x0 * 0.97, one.box.y0, one.box.x1 * 0.97, one.box.y1)
        seen.append(Instance(one.label, one.kind, box, one.mask, 0.75, "both"))
    return tuple(seen)


@pytest.fixture(scope="module")
def truths() -> dict[ImageId, Annotation]:
    scenes = [generate_scene(seed, Size(160, 120)) for seed in range(N_SCENES)]
    return {id_of(scene): truth_of_scene(scene, id_of(scene)) for scene in scenes}


@pytest.fixture
def project(client: LabelStudioClient, new_title: Callable[[], str]) -> int:
    """A project with a task per scene, and one whose truth nobody knows."""
    number = ensure_project(client, new_title(), TAXONOMY)
    tasks = []
    for seed in [*range(N_SCENES), 99]:
        scene = generate_scene(seed, Size(160, 120))
        ref = ImageRef(id_of(scene), f"{seed}.png")
        regions = prediction_regions(ref.id, VERSION, shifted(scene))
        tasks.append(
            encode_task(
                ref, scene.size, regions, version=VERSION, taxonomy=TAXONOMY, image_url="/none.png"
            ).task
        )
    client.import_tasks(number, tasks)
    return number


def decoded(client: LabelStudioClient, project: int) -> dict[ImageId, TaskReview]:
    reviews = [decode_task(task, TAXONOMY) for task in client.tasks(project)]
    return {review.image: review for review in reviews}


def test_every_task_is_submitted_once_and_signed_as_simulated(
    client: LabelStudioClient, project: int, truths: dict[ImageId, Annotation]
) -> None:
    reviewer = SimulatedReviewer(client, TAXONOMY, truths.get, HABITS, seed=7)
    made = dict(reviewer.review_all(project))
    assert len(made) == N_SCENES
    assert dict(reviewer.review_all(project)) == {}
    on_server = decoded(client, project)
    for image, truth in truths.items():
        (submitted,) = on_server[image].reviews
        decision = made[on_server[image].task_id]
        assert submitted.annotation.author == SIMULATED_AUTHOR
        assert submitted.annotation.state == decision.state
        assert submitted.annotation.lead_time_s == decision.lead_time_s
        assert {region.id for region in submitted.annotation.regions} == {r.id for r in decision.regions}
        for region in submitted.annotation.regions:
            (decided,) = (other for other in decision.regions if other.id == region.id)
            assert (region.origin, region.instance.label) == (decided.origin, decided.instance.label)
            assert region.instance.mask == decided.instance.mask
        assert any(region.origin == "person" for region in submitted.annotation.regions)
        assert truth.size == submitted.annotation.size
    unknown = set(on_server) - set(truths)
    assert [on_server[image].reviews for image in unknown] == [()]


def test_the_page_shows_who_it_was_and_what_it_started_from(
    client: LabelStudioClient, project: int, truths: dict[ImageId, Annotation]
) -> None:
    made = dict(SimulatedReviewer(client, TAXONOMY, truths.get, HABITS).review_all(project))
    task = client.task(min(made))
    (annotation,) = task["annotations"]
    assert annotation["completed_by"]["email"] == SIMULATED_EMAIL
    assert annotation["completed_by"]["first_name"] == "Simulated"
    assert annotation["parent_prediction"] == task["predictions"][0]["id"]
    assert decode_task(task, TAXONOMY).reviews[0].annotation.author == SIMULATED_AUTHOR


def test_decisions_depend_on_seed_and_image_and_not_on_the_order_of_tasks(
    client: LabelStudioClient, project: int, truths: dict[ImageId, Annotation]
) -> None:
    made = dict(SimulatedReviewer(client, TAXONOMY, truths.get, HABITS, seed=3).review_all(project))
    image, truth = next(iter(truths.items()))
    scene = generate_scene(0, Size(160, 120))
    regions = prediction_regions(image, VERSION, shifted(scene))
    prediction = Annotation(image, scene.size, VERSION, "labeled", regions)
    generator = np.random.default_rng([3, int(image.removeprefix("sha256:")[:16], 16)])
    alone = review(prediction, truth, rng=generator, habits=HABITS)
    on_server = made[decoded(client, project)[image].task_id]
    assert on_server.lead_time_s == alone.lead_time_s
    assert {region.id for region in on_server.regions} == {region.id for region in alone.regions}


def test_skipped_tasks_come_back_as_skipped(
    client: LabelStudioClient, project: int, truths: dict[ImageId, Annotation]
) -> None:
    always = ReviewerHabits(skip_rate=1.0)
    list(SimulatedReviewer(client, TAXONOMY, truths.get, always).review_all(project))
    on_server = decoded(client, project)
    assert {on_server[image].reviews[0].annotation.state for image in truths} == {"skipped"}


def test_only_classes_of_the_project_are_asked_for(
    client: LabelStudioClient, new_title: Callable[[], str], truths: dict[ImageId, Annotation]
) -> None:
    things = Taxonomy(TAXONOMY.of_kind("thing"))
    number = ensure_project(client, new_title(), things)
    image, truth = next(iter(truths.items()))
    ref = ImageRef(image, str(Path("a.png")))
    task = encode_task(ref, truth.size, (), version=VERSION, taxonomy=things, image_url="/none.png").task
    client.import_tasks(number, [task])
    ((_, made),) = SimulatedReviewer(client, things, truths.get, HABITS).review_all(number)
    assert made.regions
    assert {region.instance.kind for region in made.regions} == {"thing"}
