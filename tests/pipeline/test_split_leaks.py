"""Versions whose images have near duplicates: one side for all of them, and no leak unless it is wished."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from detseg.datasets.splits import SplitRule, split_of_group
from detseg.datasets.store import DatasetStore
from detseg.datasets.version import Version
from detseg.errors import DatasetError
from detseg.images.fingerprints import fingerprint
from detseg.pipeline.datasets import Wish, create_version
from detseg.pipeline.workspace import opened_catalog
from detseg.samples.scenes import generate_scene
from detseg.types import ImageFeatures, Size
from tests.pipeline.labeled import LabeledProject, bolt, make_project

HALVES = SplitRule((("train", 0.5), ("val", 0.5)))


@pytest.fixture
def project(tmp_path: Path) -> LabeledProject:
    return make_project(tmp_path)


def add(project: LabeledProject, scenes: Mapping[int, int], *, metadata: str = "") -> None:
    """Labeled images by their numbers, which look like the scenes of those seeds."""
    project.add(scenes, metadata=metadata)
    for number in scenes:
        project.review(number, [bolt(f"r{number}")])
    features = [
        ImageFeatures(project.images[number].id, fingerprint(generate_scene(seed, Size(160, 120)).image))
        for number, seed in scenes.items()
    ]
    with opened_catalog(project.settings) as catalog:
        catalog.features.record(features)


def sides(project: LabeledProject, version: Version) -> dict[int, str]:
    splits = DatasetStore(project.settings.datasets_location).splits(version)
    numbers = {bytes.fromhex(image.id.removeprefix("sha256:")): n for n, image in project.images.items()}
    return {numbers[image]: split for image, split in splits.items()}


def apart(project: LabeledProject, one: int, numbers: range) -> int:
    """A number whose image would be on another side than that one, alone."""
    side = split_of_group(HALVES.shares, project.images[one].id)
    return next(n for n in numbers if split_of_group(HALVES.shares, project.images[n].id) != side)


def damage_part(kept: Path, name: str) -> None:
    """Change one part of what is kept, as by hand."""
    with np.load(kept) as found:
        parts = dict(found)
    changes = {
        "ids": parts["ids"][::-1],
        "hashes": parts["hashes"][:-1],
        "pairs": parts["pairs"] + 99,
        "alike": parts["alike"][:0],
    }
    with kept.open("wb") as file:
        np.savez(file, **parts | {name: changes[name]})


ROTTEN_BYTES = {
    "method": (rb"(PK\x01\x02.{6})..", b"c\0"),
    "encrypted": (rb"(PK\x01\x02.{4})..", b"\1\0"),
    "version": (rb"(PK\x01\x02..)..", b"\xff\0"),
}
"""What stands in the file, and what then follows its first part."""


@pytest.mark.parametrize("damage", ["", "not an archive", "ids", "hashes", "pairs", "alike", *ROTTEN_BYTES])
def test_comparisons_are_kept_and_made_anew_where_they_are_damaged(
    project: LabeledProject, damage: str
) -> None:
    add(project, {n: n % 3 for n in range(6)})
    create_version(project.settings, "v1", Wish())
    kept = project.settings.state_path / "near_duplicates.npz"
    before = kept.read_bytes()
    if damage == "not an archive":
        kept.write_text(damage)
    elif damage in ROTTEN_BYTES:
        place, rotten = ROTTEN_BYTES[damage]
        kept.write_bytes(re.sub(place, lambda found: found[1] + rotten, before, flags=re.DOTALL))
        assert kept.read_bytes() != before
    elif damage:
        damage_part(kept, damage)
    assert create_version(project.settings, "v2", Wish()).counts.duplicates["clusters"] == 3
    assert kept.exists()
    add(project, {n: n % 3 for n in range(6, 9)})
    counts = create_version(project.settings, "v3", Wish()).counts.duplicates
    assert (counts["clusters"], counts["images"]) == (3, 9)
    assert kept.read_bytes() != before


def test_near_duplicates_are_on_one_side_and_are_counted(project: LabeledProject) -> None:
    add(project, {n: n % 5 for n in range(20)})
    version = create_version(project.settings, "v1", Wish(split=HALVES))
    found = sides(project, version)
    assert all(found[n] == found[n % 5] for n in range(20))
    assert version.counts.duplicates == {"clusters": 5, "images": 20, "leaks": 0}
    assert create_version(project.settings, "v2", Wish()).counts.duplicates["leaks"] == 0


def test_nobody_moves_when_duplicates_come(project: LabeledProject) -> None:
    add(project, {n: n for n in range(6)})
    before = sides(project, create_version(project.settings, "v1", Wish(split=HALVES)))
    add(project, {n: n % 6 for n in range(6, 30)})
    after = sides(project, create_version(project.settings, "v2", Wish(split=HALVES)))
    assert before.items() <= after.items()
    assert all(after[n] == before[n % 6] for n in range(6, 30))


def test_two_that_turn_out_alike_later_stay_where_they_are_and_that_is_said(project: LabeledProject) -> None:
    add(project, {n: n for n in range(12)})
    before = sides(project, create_version(project.settings, "v1", Wish(split=HALVES)))
    other = apart(project, 0, range(12))
    scene = fingerprint(generate_scene(0, Size(160, 120)).image)
    with opened_catalog(project.settings) as catalog:
        catalog.features.record([ImageFeatures(project.images[other].id, scene)])
    with pytest.raises(DatasetError, match=r"1 pair of near duplicates would be on two sides.*--allow-leaks"):
        create_version(project.settings, "v2", Wish(split=HALVES))
    add(project, {12: 12})
    version = create_version(project.settings, "v2", Wish(split=HALVES, leaks=True))
    assert before.items() <= sides(project, version).items()
    assert version.counts.duplicates == {"clusters": 1, "images": 2, "leaks": 1}


def test_a_column_that_parts_near_duplicates_is_refused(project: LabeledProject) -> None:
    add(project, {0: 0, 1: 1}, metadata=json.dumps({"side": "train"}))
    add(project, {2: 0}, metadata=json.dumps({"side": "val"}))
    wish = Wish(split=SplitRule(column="side"))
    with pytest.raises(DatasetError, match="near duplicates would be on two sides"):
        create_version(project.settings, "v1", wish)
    assert DatasetStore(project.settings.datasets_location).versions() == ()
    assert create_version(project.settings, "v1", Wish(where="meta.side = train", split=wish.split))


def test_an_image_without_features_is_alone(project: LabeledProject) -> None:
    project.add(range(4))
    for number in range(4):
        project.review(number, [bolt(f"r{number}")])
    version = create_version(project.settings, "v1", Wish(split=HALVES))
    expected = {n: split_of_group(HALVES.shares, image.id) for n, image in project.images.items()}
    assert sides(project, version) == expected
    assert version.counts.duplicates == {"clusters": 0, "images": 0, "leaks": 0}
