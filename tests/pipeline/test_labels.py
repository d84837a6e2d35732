"""Nothing of an experiment leaves a catalog as a label by mistake."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import detseg
from detseg.catalog import Assignment, Catalog, Project
from detseg.config.sections import QueueSettings
from detseg.pipeline.labels import Label, LabelRules, label_rules, read_labels
from detseg.types import Arm, Box, Decoy, ImageId, Instance, Region, RegionId
from tests.catalog.made import VERSION, found, image_id, record_project, review

BOLT = Region(RegionId("detseg-0000000000000001"), "model", Instance("bolt", "thing", Box(0, 0, 10, 10)))
DRAWN = Region(RegionId("aaaaaaaaaa"), "person", Instance("bolt", "thing", Box(20, 20, 40, 40)))
WRONG = Region(RegionId("detseg-00000000000000dd"), "model", Instance("nut", "thing", Box(0, 0, 10, 10)))
MENDED = Region(WRONG.id, "model", Instance("washer", "thing", Box(0, 0, 10, 10)))
PASTED = Region(RegionId("bbbbbbbbbb"), "person", Instance("nut", "thing", Box(0, 0, 10, 10)))
DECOY = Decoy("label", WRONG)


def make_project(catalog: Catalog, arms: Iterable[Arm]) -> Project:
    """A new project, in which image n is task 100 + n, in the n-th arm."""
    arms = tuple(arms)
    project = record_project(catalog, server_id=1 + len(catalog.projects.all()))
    ids = [image_id(n) for n in range(len(arms))]
    catalog.images.record(found(n) for n in range(len(arms)))
    assigned = [
        Assignment(image, arm, (DECOY,) if arm == "decoy" else ())
        for image, arm in zip(ids, arms, strict=True)
    ]
    catalog.tasks.open_push(project.key, ids, VERSION, arms=assigned)
    catalog.tasks.confirm_push(project.key, {image: 100 + n for n, image in enumerate(ids)})
    return project


def labels_of(catalog: Catalog, project: Project, rules: LabelRules | None = None) -> dict[ImageId, Label]:
    found = list(read_labels(catalog, project, rules or LabelRules()))
    assert [label.image for label in found] == sorted({label.image for label in found})
    return {label.image: label for label in found}


def regions_of(label: Label) -> set[str]:
    return {region.id for region in label.annotation.regions}


def test_every_arm_gives_what_people_said_and_nothing_else(catalog: Catalog) -> None:
    project = make_project(catalog, ["assisted", "control", "decoy", "gold", "assisted"])
    catalog.reviews.record(
        project.key,
        [
            review(1, 0, regions=[BOLT, DRAWN]),
            review(2, 1, regions=[DRAWN]),
            review(3, 2, regions=[BOLT, WRONG]),
            review(4, 3, regions=[BOLT]),
        ],
    )
    labels = labels_of(catalog, project)
    assert {image: regions_of(label) for image, label in labels.items()} == {
        image_id(0): {BOLT.id, DRAWN.id},
        image_id(1): {DRAWN.id},
        image_id(2): {BOLT.id},
    }
    assert [label.arm for label in labels.values()] == ["assisted", "control", "decoy"]
    with_gold = labels_of(catalog, project, LabelRules(gold=True))
    assert with_gold.keys() - labels.keys() == {image_id(3)}


@pytest.mark.parametrize(
    ("regions", "left", "state"),
    [
        ([BOLT, WRONG], {BOLT.id}, "labeled"),
        ([WRONG], set(), "empty"),  # nobody said that anything else is there
        ([BOLT, MENDED], {BOLT.id, WRONG.id}, "labeled"),  # a person made it right
        ([BOLT, PASTED], {BOLT.id}, "labeled"),
        ([BOLT], {BOLT.id}, "labeled"),
        ([], set(), "empty"),
    ],
)
def test_a_decoy_is_no_label(catalog: Catalog, regions: list[Region], left: set[str], state: str) -> None:
    project = make_project(catalog, ["decoy"])
    catalog.reviews.record(
        project.key, [review(1, 0, regions=regions, state="labeled" if regions else "empty")]
    )
    (label,) = labels_of(catalog, project).values()
    assert (regions_of(label), label.annotation.state) == (left, state)


def test_what_says_nothing_is_left_out(catalog: Catalog) -> None:
    project = make_project(catalog, ["assisted"] * 5)
    half = review(4, 3, regions=[BOLT])
    catalog.reviews.record(
        project.key,
        [
            review(1, 0, state="skipped", regions=[]),
            review(2, 1, state="unlabeled", regions=[]),
            review(3, 2, state="empty", regions=[]),
            replace(half, unread=("a region",)),
            review(5, 4, regions=[BOLT]),
        ],
    )
    catalog.reviews.mark_deleted(project.key, [5])
    labels = labels_of(catalog, project)
    assert labels.keys() == {image_id(2)}
    assert labels[image_id(2)].annotation.state == "empty"
    assert labels_of(catalog, record_project(catalog, server_id=9)) == {}


def test_the_latest_word_counts_where_nobody_asked_for_several(catalog: Catalog) -> None:
    project = make_project(catalog, ["assisted", "assisted"])
    catalog.reviews.record(
        project.key,
        [
            review(1, 0, author="ann", regions=[BOLT], minute=5),
            review(2, 0, author="bob", regions=[BOLT, DRAWN], minute=9),
            review(3, 0, author="cyd", state="skipped", regions=[], minute=20),
        ],
    )
    (label,) = labels_of(catalog, project).values()
    assert (regions_of(label), label.authors, label.annotation.author) == (
        {BOLT.id, DRAWN.id},
        ("bob",),
        "bob",
    )


def test_where_several_were_asked_their_consensus_counts(catalog: Catalog) -> None:
    project = make_project(catalog, ["assisted", "decoy", "assisted"])
    both = ("ann", "bob")
    catalog.reviews.record(
        project.key,
        [
            *(review(1 + n, 0, author=name, regions=[BOLT]) for n, name in enumerate(both)),
            *(review(3 + n, 1, author=name, regions=[BOLT, WRONG]) for n, name in enumerate(both)),
            review(5, 2, author="ann", regions=[BOLT]),
            review(6, 2, author="bob", regions=[BOLT, DRAWN]),
        ],
    )
    labels = labels_of(catalog, project, LabelRules(consensus=True))
    assert {image: regions_of(label) for image, label in labels.items()} == {
        image_id(0): {BOLT.id},
        image_id(1): {BOLT.id},  # also a decoy that everybody missed
    }
    assert labels[image_id(0)].authors == both
    assert labels[image_id(0)].annotation.author == "consensus"
    divided = labels_of(catalog, project, LabelRules(consensus=True, disputed=True))[image_id(2)]
    assert (regions_of(divided), divided.n_disputed) == ({BOLT.id}, 1)
    assert labels_of(catalog, project, LabelRules(consensus=True, quorum=3)) == {}


@given(
    data=st.data(),
    rules=st.builds(
        LabelRules,
        consensus=st.booleans(),
        quorum=st.none() | st.integers(1, 3),
        disputed=st.booleans(),
    ),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_people_did_no_decoy_and_no_gold_image_comes_out(
    catalog: Catalog, data: st.DataObject, rules: LabelRules
) -> None:
    arms = data.draw(
        st.lists(st.sampled_from(["assisted", "control", "decoy", "gold"]), min_size=1, max_size=6)
    )
    project = make_project(catalog, arms)
    reviews = []
    for n, _ in enumerate(arms):
        for author in sorted(data.draw(st.sets(st.sampled_from(["ann", "bob", "cyd"])))):
            some = data.draw(st.lists(st.sampled_from([BOLT, DRAWN, WRONG, PASTED]), unique=True))
            state = data.draw(st.sampled_from(["labeled", "skipped"])) if some else "empty"
            left = some if state == "labeled" else []
            reviews.append(review(1 + len(reviews), n, author=author, regions=left, state=state))
    catalog.reviews.record(project.key, reviews)
    for image, label in labels_of(catalog, project, rules).items():
        arm = arms[int(image.removeprefix("sha256:"), 16)]
        assert label.arm == arm != "gold"
        assert arm != "decoy" or not regions_of(label) & {WRONG.id, PASTED.id}
        assert label.annotation.state == ("labeled" if label.annotation.regions else "empty")


def test_the_settings_say_whether_a_consensus_counts() -> None:
    assert label_rules(QueueSettings()) == LabelRules()
    assert label_rules(QueueSettings(overlap=2)) == LabelRules(consensus=True)


def test_there_is_no_other_door() -> None:
    """Whoever reads reviews beside it measures people, colours a map, or asks people again about a class that
    was split; a new name here is a decision."""
    root = Path(detseg.__file__).parent
    readers = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"\.reviews\.(latest|of_images)\(", path.read_text())
    }
    assert readers <= {
        "pipeline/labels.py",
        "pipeline/qa/cases.py",
        "pipeline/evaluate.py",
        "pipeline/image_map.py",
        "pipeline/recording.py",
        "pipeline/taxonomy.py",
    }
