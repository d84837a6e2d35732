"""Labels that people drew: what the rules say of them as they are, and of one mistake made in each image."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detseg.geometry.boxes import xywh_to_box
from detseg.geometry.masks import decode_mask
from detseg.metrics.cases import Case
from detseg.metrics.suspects.findings import Suspects
from detseg.metrics.suspects.tally import SuspectTally
from detseg.taxonomy import Taxonomy, taxonomy_of_labels
from detseg.types import Annotation, Box, ImageId, Instance, ModelVersion, Region, RegionId, Size
from tests.metrics.suspects.making import find_suspects

Regions = list[Region]


def read_reviews(file: Path) -> tuple[Taxonomy, list[Annotation]]:
    """A COCO file's images as reviews; crowds left out."""
    data = json.loads(file.read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in data["categories"]}
    regions: dict[int, Regions] = {image["id"]: [] for image in data["images"]}
    for entry in data["annotations"]:
        if entry.get("iscrowd"):
            continue
        runs = entry.get("segmentation")
        mask = decode_mask(runs) if isinstance(runs, dict) else None
        instance = Instance(names[entry["category_id"]], "thing", xywh_to_box(entry["bbox"]), mask)
        regions[entry["image_id"]].append(Region(RegionId(str(entry["id"])), "person", instance))
    return taxonomy_of_labels(names.values()), [
        review(image["id"], Size(image["width"], image["height"]), regions[image["id"]])
        for image in data["images"]
    ]


def review(image: object, size: Size, regions: Regions) -> Annotation:
    return Annotation(
        ImageId(f"sha256:{image}"), size, "ann", "labeled" if regions else "empty", tuple(regions)
    )


def case(drawn: Annotation, *, seen: tuple[Region, ...] = ()) -> Case:
    """An image that nobody saw predictions of; the model sees these with a score of 0.97."""
    scored = [replace(one, instance=replace(one.instance, score=0.97)) for one in seen]
    return Case(
        image=drawn.image,
        uri="",
        task_id=1,
        task_url="",
        arm="control",
        model_version=ModelVersion("m@0"),
        prediction=replace(drawn, author="m@0", regions=tuple(scored), state="labeled"),
        reviews=(drawn,),
    )


def measure(file: Path) -> Suspects:
    taxonomy, reviews = read_reviews(file)
    tally = SuspectTally(taxonomy)
    for one in reviews:
        tally.add(case(one))
    return tally.result()


def found(result: Suspects) -> dict[str, int]:
    return {rule: count.n_suspects for rule, count in result.per_rule.items() if count.n_suspects}


def test_few_of_the_labels_that_people_drew_are_suspects(shared_data: Path) -> None:
    """2,184 boxes with three doubles that are really there; 3,713 masks: two are frayed, two have a hole."""
    assert found(measure(shared_data / "bccd" / "instances.json")) == {"duplicate": 3}
    assert found(measure(shared_data / "nuclei" / "instances.json")) == {"holes": 2, "jagged": 2}
    assert found(measure(shared_data / "coco20" / "instances.json")) == {}


def drop(regions: Regions, at: int) -> Regions:
    return [*regions[:at], *regions[at + 1 :]]


def double(regions: Regions, at: int) -> Regions:
    return [*regions, replace(regions[at], id=RegionId("double"))]


def rename(regions: Regions, at: int) -> Regions:
    label = "zebra" if regions[at].instance.label != "zebra" else "giraffe"
    return changed(regions, at, lambda instance: replace(instance, label=label))


def misspell(regions: Regions, at: int) -> Regions:
    return changed(regions, at, lambda instance: replace(instance, label="no such class"))


def halve(regions: Regions, at: int) -> Regions:
    def left_third(instance: Instance) -> Instance:
        assert instance.box is not None
        x0, y0, x1, y1 = instance.box.xyxy
        return replace(instance, box=Box(x0, y0, x0 + (x1 - x0) / 3, y1))

    return changed(regions, at, left_third)


def push_out(regions: Regions, at: int) -> Regions:
    def to_the_left(instance: Instance) -> Instance:
        assert instance.box is not None
        x0, y0, x1, y1 = instance.box.xyxy
        return replace(instance, box=Box(-3.0 - (x1 - x0) / 2, y0, (x1 - x0) / 2 - 3.0, y1))

    return changed(regions, at, to_the_left)


def changed(regions: Regions, at: int, change: Callable[[Instance], Instance]) -> Regions:
    made = replace(regions[at], instance=change(regions[at].instance))
    return [*regions[:at], made, *regions[at + 1 :]]


def alone(one: Annotation) -> Iterator[int]:
    """Regions of a size to see that overlap no other, in an image with others."""
    boxes = [region.instance.box for region in one.regions if region.instance.box]
    for at, box in enumerate(boxes):
        others = [b for b in boxes if b is not box]
        apart = all(b.x1 < box.x0 or box.x1 < b.x0 or b.y1 < box.y0 or box.y1 < b.y0 for b in others)
        if others and apart and box.area > 400:
            yield at


@pytest.mark.parametrize(
    ("mistake", "rule"),
    [
        (drop, "missed"),
        (double, "duplicate"),
        (rename, "wrong_label"),
        (misspell, "outside_taxonomy"),
        (halve, "partial"),
        (push_out, "out_of_frame"),
    ],
)
def test_a_mistake_in_each_image_is_found(
    mistake: Callable[[Regions, int], Regions], rule: str, shared_data: Path
) -> None:
    """The model sees what is there; each review but one region is right."""
    taxonomy, reviews = read_reviews(shared_data / "coco20" / "instances.json")
    rng = np.random.default_rng(0)
    n_made, rules = 0, Counter[str]()
    for one in reviews:
        assert not find_suspects(case(one, seen=one.regions), taxonomy=taxonomy)
        places = list(alone(one))
        if not places:
            continue
        n_made += 1
        wrong = tuple(mistake(list(one.regions), int(rng.choice(places))))
        rules.update(
            suspect.rule
            for suspect in find_suspects(
                case(replace(one, regions=wrong), seen=one.regions), taxonomy=taxonomy
            )
        )
    assert n_made >= 8
    assert rules[rule] == n_made
    beside = {"misspell": "wrong_label", "push_out": "missed"}.get(mistake.__name__)
    assert set(rules) <= {rule, beside}
