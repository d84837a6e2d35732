"""Every zero-shot family end to end, against the library's own processor and post-processing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from detseg.errors import ModelError
from detseg.geometry.boxes import clip_box
from detseg.models.checkpoints import load_with_text, read_architecture
from detseg.models.families import FAMILIES
from detseg.models.loading import load_predictor
from detseg.models.network import RawDetection
from detseg.models.networks.zero_shot import TEXT_THRESHOLD, classes_of_words, make_prompt
from detseg.models.predictor import PredictorOptions
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import DecodedImage
from tests.models import tiny
from tests.models.answers import detections, network_of, photo, wanted
from tests.models.made import made_image
from tests.models.tiny_families import NAMES, ZERO_SHOT

IMAGE = made_image(160, 120)
BY_WORDS = {"grounding-dino", "mm-grounding-dino"}
Row = tuple[Any, float, list[float]]


@pytest.fixture(scope="module", params=sorted(ZERO_SHOT))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(request.param, tmp_path_factory.mktemp("zero-shot") / request.param)


def theirs(folder: Path, image: DecodedImage, threshold: float) -> list[Row]:
    """Label, score and box as the library answers: label ids, or the words that a box matches."""
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    texts = [f"a photo of a {name}" for name in NAMES] if folder.name.startswith("owl") else list(NAMES)
    with torch.no_grad():
        outputs = model(**processor(images=image.rgb.copy(), text=[texts], return_tensors="pt"))
    more = {"text_threshold": TEXT_THRESHOLD} if folder.name in BY_WORDS else {}
    (result,) = processor.post_process_grounded_object_detection(
        outputs, threshold=threshold, target_sizes=[(image.size.height, image.size.width)], **more
    )
    labels = result["text_labels"] if folder.name in BY_WORDS else result["labels"].tolist()
    return list(zip(labels, result["scores"].tolist(), result["boxes"].tolist(), strict=True))


def rows(some: tuple[RawDetection, ...]) -> list[Row]:
    return [(one.label_id, one.score, list(one.box.xyxy)) for one in some if one.box]


def near(row: Row) -> Row:
    label, score, box = row
    return label, pytest.approx(score, abs=1e-5), pytest.approx(box, rel=1e-5, abs=1e-3)


def require_equal(folder: Path, image: DecodedImage) -> None:
    (answer,) = detections(network_of(folder, wanted(names=NAMES, box_threshold=0.3)), [image])
    ours, expected = rows(answer), theirs(folder, image, 0.3)
    assert len(ours) > 2
    if folder.name not in BY_WORDS:
        assert ours == [near(row) for row in expected]
        return
    boxes = [near(row)[2] for row in expected]  # random weights mean half names, and what stands between them
    assert all(box in boxes for _, _, box in ours)


def test_the_float32_twin_of_a_model_in_half_precision_is_exact(folder: Path) -> None:
    taxonomy = Taxonomy(tuple(LabelClass(name) for name in NAMES))

    def load(precision: str) -> Any:
        options = PredictorOptions(device="cpu", precision=precision, box_threshold=0.05)  # type: ignore[arg-type]
        return load_predictor(str(folder), None, options=options, taxonomy=taxonomy)

    exact, half = load("float32").predict([IMAGE]), load("bfloat16")
    assert exact[0]
    assert half.predict([IMAGE]) != exact
    assert half.in_float32().predict([IMAGE]) == exact


@pytest.mark.parametrize("kind", sorted(BY_WORDS))
def test_boxes_that_match_exactly_one_name_are_the_librarys(kind: str, tmp_path: Path) -> None:
    tiny.save(kind, tmp_path)
    network = network_of(tmp_path, wanted(names=NAMES, box_threshold=0.3))
    inputs = network.prepare([IMAGE])
    output = network.run(inputs)
    owners = make_prompt(load_with_text(str(tmp_path), read_architecture(str(tmp_path))), NAMES).owners
    for query, logits in enumerate(output.logits[0]):  # one name each, with the scores that the model gave it
        logits[: len(owners)].masked_fill_(owners != query % len(NAMES), -20.0)
    (result,) = AutoProcessor.from_pretrained(tmp_path).post_process_grounded_object_detection(
        output, inputs["input_ids"], threshold=0.3, text_threshold=TEXT_THRESHOLD, target_sizes=[(120, 160)]
    )
    expected = zip(result["text_labels"], result["scores"].tolist(), result["boxes"].tolist(), strict=True)
    ids = {name.lower(): i for i, name in enumerate(NAMES)}
    exact = [near((ids[words], score, box)) for words, score, box in expected if words in ids]
    (answer,) = network.read(output, [IMAGE.size])
    assert len({label for label, _, _ in exact}) > 1
    assert [row for row in rows(answer) if row in exact] == exact
    assert len(answer) - len(exact) == sum(words not in ids for words in result["text_labels"])


def test_the_answer_is_the_librarys(folder: Path) -> None:
    require_equal(folder, IMAGE)


def test_the_answer_for_a_photo_is_the_librarys(folder: Path, shared_data: Path) -> None:
    require_equal(folder, photo(shared_data))


def test_an_image_alone_is_the_image_in_a_batch(folder: Path) -> None:
    network = network_of(folder, wanted(names=NAMES))
    images = [made_image(120, 160, seed=seed) for seed in (1, 2)]
    together = detections(network, images)
    for image, in_batch in zip(images, together, strict=True):
        (alone,) = detections(network, [image])
        assert [one.label_id for one in alone] == [one.label_id for one in in_batch]
        for one, other in zip(rows(alone), rows(in_batch), strict=True):
            assert one[1] == pytest.approx(other[1], abs=1e-4)
            assert one[2] == pytest.approx(other[2], rel=1e-5, abs=1e-3)
    assert together[0] != together[1]


def test_label_ids_are_the_positions_of_the_names(folder: Path) -> None:
    """In another order they are others, for the families that look for each name by itself."""
    (answer,) = detections(network_of(folder, wanted(names=NAMES)), [IMAGE])
    if folder.name.startswith("owl"):
        (turned,) = detections(network_of(folder, wanted(names=NAMES[::-1])), [IMAGE])
        assert [2 - one.label_id for one in turned] == [one.label_id for one in answer]
    assert {one.label_id for one in answer} <= {0, 1, 2}


def test_without_a_name_there_is_nothing_to_look_for(folder: Path) -> None:
    with pytest.raises(ModelError, match="looks for classes by name, and there is none"):
        network_of(folder, wanted())


def test_the_prompt_is_the_librarys(tmp_path: Path) -> None:
    tiny.save("grounding-dino", tmp_path)
    checkpoint = load_with_text(str(tmp_path), "GroundingDinoForObjectDetection")
    prompt = make_prompt(checkpoint, NAMES)
    library = AutoProcessor.from_pretrained(tmp_path)(text=list(NAMES), return_tensors="pt")
    assert set(prompt.tokens) == set(library)
    for name, tokens in prompt.tokens.items():
        assert tokens.tolist() == library[name].tolist()
    assert prompt.owners.tolist() == [-1, 0, -1, 1, 1, -1, 2, -1, -1]  # [CLS] bolt . hex nut . gear . [SEP]


def test_a_name_may_hold_what_separates_phrases(tmp_path: Path) -> None:
    tiny.save("grounding-dino", tmp_path)
    checkpoint = load_with_text(str(tmp_path), "GroundingDinoForObjectDetection")
    prompt = make_prompt(checkpoint, ["hex. nut?", " gear  "])
    assert prompt.owners.tolist() == [-1, 0, 0, -1, 1, -1, -1]
    assert (
        prompt.tokens["input_ids"].tolist()
        == make_prompt(checkpoint, ["hex nut", "gear"]).tokens["input_ids"].tolist()
    )


def test_names_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    tiny.save("grounding-dino", tmp_path)
    checkpoint = load_with_text(str(tmp_path), "GroundingDinoForObjectDetection")
    with pytest.raises(ModelError, match=r"cannot look for a class named '\?'"):
        make_prompt(checkpoint, ["bolt", "?"])
    with pytest.raises(ModelError, match="reads 32 words at most, and the names of 16 classes are 34"):
        make_prompt(checkpoint, ["bolt"] * 16)


#            [CLS] hot  dog   .   dog   .  [SEP]
OWNERS = torch.tensor([-1, 0, 0, -1, 1, -1, -1])


@pytest.mark.parametrize(
    ("words", "label_id", "score", "passes"),
    [
        ([0.0, 0.9, 0.7, 0.0, 0.1, 0.0, 0.0], 0, 0.9, True),  # "hot dog"
        ([0.0, 0.1, 0.1, 0.0, 0.6, 0.0, 0.0], 1, 0.6, True),  # "dog"
        ([0.0, 0.1, 0.8, 0.0, 0.7, 0.0, 0.0], 1, 0.7, True),  # "dog dog": half of the first name
        ([0.0, 0.1, 0.8, 0.0, 0.2, 0.0, 0.0], 0, 0.8, True),  # "dog", the one of the first name
        ([0.0, 0.4, 0.05, 0.0, 0.2, 0.0, 0.0], 0, 0.4, False),  # "hot", and hardly any dog
        ([0.9, 0.1, 0.1, 0.9, 0.3, 0.9, 0.9], 1, 0.3, True),  # what stands between names is nothing
    ],
)
def test_a_box_is_of_the_class_whose_words_it_matches_best(
    words: list[float], label_id: int, score: float, passes: bool
) -> None:
    padded = torch.tensor([words + [0.0] * 3])
    scores, label_ids, kept = classes_of_words(padded, OWNERS, 2)
    assert label_ids.tolist() == [label_id]
    assert scores.tolist() == pytest.approx([score])
    assert kept.tolist() == [passes]


def test_no_boxes_are_of_no_class() -> None:
    scores, label_ids, kept = classes_of_words(torch.zeros(0, 7), OWNERS, 2)
    assert scores.tolist() == label_ids.tolist() == kept.tolist() == []


def test_each_zero_shot_detector_of_the_library_is_in_the_registry() -> None:
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING_NAMES as NAMED,
    )

    for kind, architecture in NAMED.items():
        family = FAMILIES[architecture]
        assert replace(family, weights="", licence="") == replace(
            family,
            kind=kind,
            boxes=True,
            masks=False,
            prompt="names",
            load=load_with_text,
            weights="",
            licence="",
        )


def test_the_project_says_what_to_look_for(folder: Path) -> None:
    """The things of the taxonomy are looked for, by its names; what is found bears them."""
    taxonomy = Taxonomy((LabelClass("belt", "stuff"), *(LabelClass(name) for name in NAMES)))
    options = PredictorOptions(device="cpu", box_threshold=0.3)
    (instances,) = load_predictor(str(folder), None, options=options, taxonomy=taxonomy).predict([IMAGE])
    (answer,) = detections(network_of(folder, wanted(names=NAMES, box_threshold=0.3)), [IMAGE])
    inside = [one for one in answer if one.box and clip_box(one.box, IMAGE.size)]
    assert sorted(one.label for one in instances) == sorted(NAMES[one.label_id] for one in inside)
    with pytest.raises(ModelError, match="looks for what it is told to"):
        load_predictor(str(folder), None, options=options)
