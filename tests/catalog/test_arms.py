import pytest

from detseg.catalog import Assignment, Catalog, ProjectKey
from detseg.catalog.region_json import decode_decoys, encode_decoys
from detseg.errors import FormatError
from detseg.types import ARMS, Annotation, Decoy, ModelVersion
from tests.catalog.made import REGIONS, SIZE, VERSION, found, image_id, image_ids, record_project
from tests.catalog.reading import prediction_states

OTHER = ModelVersion("other@ffffffff")
DECOYS = (Decoy("label", REGIONS[0]), Decoy("nothing", REGIONS[1]))
ARM_OF = {
    image_id(1): Assignment(image_id(1), "control"),
    image_id(2): Assignment(image_id(2), "decoy", DECOYS),
    image_id(3): Assignment(image_id(3), "gold"),
}


@pytest.fixture
def empty(catalog: Catalog) -> ProjectKey:
    """A project without tasks, of a catalog that knows six images."""
    catalog.images.record(found(n) for n in range(6))
    return record_project(catalog).key


def claim(catalog: Catalog, project: ProjectKey, n: int = 6) -> None:
    arms = [Assignment(image_id(0), "assisted"), *ARM_OF.values()]
    catalog.tasks.open_push(project, image_ids(n), VERSION, arms=arms)


def confirm(catalog: Catalog, project: ProjectKey, n: int = 6) -> None:
    catalog.tasks.confirm_push(project, {image_id(i): 100 + i for i in range(n)})


def test_arms_come_with_the_intent(catalog: Catalog, empty: ProjectKey) -> None:
    claim(catalog, empty)
    assert catalog.arms.of_images(empty, image_ids(6)) == ARM_OF
    assert catalog.arms.labels(empty, image_ids(6)) == {
        image_id(2): {region.id: region.instance.label for region in REGIONS}
    }


def test_an_arm_is_given_once_and_stays(catalog: Catalog, empty: ProjectKey) -> None:
    claim(catalog, empty)
    catalog.tasks.drop_intents(empty, image_ids(6))
    catalog.tasks.open_push(
        empty, image_ids(6), OTHER, arms=[Assignment(image, "gold") for image in image_ids(4)]
    )
    assert (
        catalog.arms.of_images(empty, image_ids(6)) == {image_id(0): Assignment(image_id(0), "gold")} | ARM_OF
    )


def test_what_was_a_task_before_is_not_assigned_again(catalog: Catalog, project: ProjectKey) -> None:
    claim(catalog, project)
    assert catalog.arms.of_images(project, image_ids(6)) == {}
    catalog.server_tasks.mark_deleted(project, [101, 102])
    control = [Assignment(image_id(1), "control")]
    assert catalog.tasks.open_push(project, image_ids(3), OTHER, restore=True, arms=control)
    assert catalog.arms.of_images(project, image_ids(6)) == {}


def test_the_task_of_a_control_image_never_has_a_prediction(catalog: Catalog, empty: ProjectKey) -> None:
    claim(catalog, empty)
    confirm(catalog, empty)
    assert catalog.tasks.without_prediction(empty) == ()
    assert prediction_states(catalog, empty, image_id(1)) == {}
    assert len(catalog.task_predictions.present(empty, image_ids(6), VERSION)) == 5
    more = catalog.task_predictions.open_push(empty, image_ids(6), OTHER)
    assert more == tuple(image for image in image_ids(6) if image != image_id(1))
    assert catalog.task_predictions.open_push(empty, [image_id(1)], OTHER) == ()


def test_tasks_are_counted_by_arm(catalog: Catalog, empty: ProjectKey) -> None:
    assert catalog.arms.counts(empty) == dict.fromkeys(ARMS, 0)
    claim(catalog, empty)
    assert catalog.arms.counts(empty) == dict.fromkeys(ARMS, 0)  # no task is there yet
    confirm(catalog, empty)
    assert catalog.arms.counts(empty) == {"assisted": 3, "control": 1, "decoy": 1, "gold": 1}
    catalog.server_tasks.mark_deleted(empty, [100, 101])
    assert catalog.arms.counts(empty) == {"assisted": 2, "control": 0, "decoy": 1, "gold": 1}


def test_an_arm_is_one_of_a_project(catalog: Catalog, empty: ProjectKey) -> None:
    claim(catalog, empty)
    other = record_project(catalog, server_id=2).key
    assert catalog.arms.of_images(other, image_ids(6)) == {}
    catalog.arms.record(other, [Assignment(image_id(1), "decoy", DECOYS)])
    assert catalog.arms.of_images(other, image_ids(6))[image_id(1)].decoys == DECOYS
    assert catalog.arms.of_images(empty, image_ids(6)) == ARM_OF


def test_gold_truth_is_kept_and_renewed(catalog: Catalog) -> None:
    catalog.images.record(found(n) for n in range(3))
    truth = Annotation(image_id(1), SIZE, "gold", "labeled", REGIONS)
    nothing = Annotation(image_id(2), SIZE, "gold", "empty")
    catalog.gold.record([truth, nothing])
    assert catalog.gold.read(image_ids(6)) == {image_id(1): truth, image_id(2): nothing}
    better = Annotation(image_id(1), SIZE, "gold", "labeled", REGIONS[:1])
    catalog.gold.record([better])
    assert catalog.gold.read([image_id(1)]) == {image_id(1): better}


def test_decoys_survive_as_json() -> None:
    assert decode_decoys(encode_decoys(DECOYS)) == DECOYS
    with pytest.raises(FormatError, match="not the catalog's JSON of decoys"):
        decode_decoys('[{"id":"x"}]')
