from dataclasses import replace
from datetime import datetime
from functools import partial

import pytest

from detseg.catalog import Catalog, Incomplete, ProjectKey, ReviewCounts
from detseg.errors import CatalogError
from detseg.types import SeenTask
from tests.catalog.made import NOON, REGIONS, found, image_id, image_ids, review


def test_recording_twice_changes_nothing(catalog: Catalog, project: ProjectKey) -> None:
    reviews = [review(1, 0), review(2, 1, state="empty", regions=()), review(3, 2, state="skipped")]
    assert catalog.reviews.record(project, reviews) == ReviewCounts(new=3)
    assert catalog.reviews.record(project, reviews) == ReviewCounts(unchanged=3)
    assert list(catalog.reviews.latest(project)) == reviews
    assert catalog.reviews.record(project, []) == ReviewCounts()


def test_a_changed_review_replaces_the_old_one(catalog: Catalog, project: ProjectKey) -> None:
    catalog.reviews.record(project, [review(1, 0), review(2, 1)])
    changed = review(1, 0, minute=5, regions=REGIONS[:1])
    counts = catalog.reviews.record(project, [changed, review(2, 1), review(3, 2)])
    assert counts == ReviewCounts(new=1, updated=1, unchanged=1)
    assert next(catalog.reviews.latest(project)) == changed


def test_an_older_state_never_overwrites_a_newer_one(catalog: Catalog, project: ProjectKey) -> None:
    newer = review(1, 0, minute=5)
    catalog.reviews.record(project, [newer])
    assert catalog.reviews.record(project, [review(1, 0, minute=1, regions=())]) == ReviewCounts(unchanged=1)
    assert list(catalog.reviews.latest(project)) == [newer]


def test_the_latest_per_image_and_author(catalog: Catalog, project: ProjectKey) -> None:
    reviews = [
        review(1, 0, author="b", minute=3),
        review(2, 0, author="b", minute=9),
        review(3, 0, author="a", minute=1),
        review(4, 1, author="b", minute=2),
        review(5, 1, author="b", minute=2),  # equally late: the later annotation
    ]
    catalog.reviews.record(project, reviews)
    assert [record.annotation_id for record in catalog.reviews.latest(project)] == [3, 2, 5]
    catalog.reviews.mark_deleted(project, [2, 5])
    assert [record.annotation_id for record in catalog.reviews.latest(project)] == [3, 1, 4]


def test_latest_pages_through_many(catalog: Catalog, project: ProjectKey) -> None:
    reviews = [review(n, n % 6, author=f"person {n // 6:04}") for n in range(1_203)]
    catalog.reviews.record(project, reviews)
    found_back = list(catalog.reviews.latest(project))
    assert len(found_back) == 1_203
    keys = [(record.annotation.image, record.annotation.author) for record in found_back]
    assert keys == sorted(keys)


def test_deleted_reviews_are_marked_and_come_back(catalog: Catalog, project: ProjectKey) -> None:
    catalog.reviews.record(project, [review(1, 0), review(2, 1)])
    assert catalog.reviews.mark_deleted(project, [1, 77]) == 1
    assert catalog.reviews.mark_deleted(project, [1]) == 0
    assert catalog.reviews.ids_of_tasks(project, [100, 101, 102]) == {2}
    assert catalog.reviews.record(project, [review(1, 0)]) == ReviewCounts(updated=1)
    assert catalog.reviews.ids_of_tasks(project, [100]) == {1}


def test_what_so_many_people_have_labeled(catalog: Catalog, project: ProjectKey) -> None:
    made = [
        review(1, 0),
        review(2, 0, author="person 2", state="empty", regions=()),
        review(3, 1),
        review(4, 1, minute=1),
        review(5, 2),
        review(6, 2, author="person 2", state="skipped"),
        review(7, 3, author="person 2", state="skipped"),
        review(8, 4),
    ]
    catalog.reviews.record(project, made)
    catalog.reviews.mark_deleted(project, [8])
    assert catalog.reviews.labeled(project, image_ids(5)) == {*image_ids(3)}
    assert catalog.reviews.labeled(project, image_ids(5), n_people=2) == {image_id(0)}
    assert catalog.reviews.labeled(project, [image_id(1), image_id(4)]) == {image_id(1)}


def test_the_four_states_sum_to_the_tasks(catalog: Catalog, project: ProjectKey) -> None:
    assert catalog.reviews.states(project) == {"unlabeled": 6, "labeled": 0, "empty": 0, "skipped": 0}
    catalog.reviews.record(
        project,
        [
            review(1, 0),
            review(2, 1, state="empty", regions=()),
            review(3, 2, state="skipped"),
            review(4, 2, state="labeled", author="another", minute=1),  # the later word counts
            review(5, 3),
            review(6, 4),
        ],
    )
    catalog.reviews.mark_deleted(project, [5])
    catalog.server_tasks.mark_deleted(project, [104])
    assert catalog.reviews.states(project) == {"unlabeled": 2, "labeled": 2, "empty": 1, "skipped": 0}


def test_who_skips_an_image_takes_no_label_of_others_back(catalog: Catalog, project: ProjectKey) -> None:
    skips = partial(review, state="skipped", regions=())
    catalog.reviews.record(
        project,
        [
            review(1, 0),
            skips(2, 0, author="another", minute=1),  # labeled all the same
            review(3, 1),
            skips(4, 1, minute=1),  # the same person: that is their last word
            review(5, 2, state="empty", regions=()),
            review(6, 2, author="another", minute=1),
            skips(7, 2, author="another", minute=2),  # their label is taken back, and so the other's counts
        ],
    )
    assert catalog.reviews.states(project) == {"unlabeled": 3, "labeled": 1, "empty": 1, "skipped": 1}


def test_simulated_reviews_stay_marked(catalog: Catalog, project: ProjectKey) -> None:
    simulated = replace(review(1, 0, lead_time_s=None), simulated=True)
    catalog.reviews.record(project, [simulated])
    assert list(catalog.reviews.latest(project)) == [simulated]


def test_a_review_of_a_foreign_image_is_refused(catalog: Catalog, project: ProjectKey) -> None:
    catalog.images.record([found(60)])
    with pytest.raises(CatalogError, match=r"(?i)foreign key"):
        catalog.reviews.record(project, [review(1, 0), review(2, 60)])
    assert list(catalog.reviews.latest(project)) == []


@pytest.mark.parametrize("moment", [None, NOON.replace(tzinfo=None)])
def test_a_review_needs_its_time(catalog: Catalog, project: ProjectKey, moment: datetime | None) -> None:
    timeless = replace(review(1, 0).annotation, updated_at=moment)
    with pytest.raises(ValueError, match="review 1 has no updated_at with a timezone"):
        catalog.reviews.record(project, [replace(review(1, 0), annotation=timeless)])
    assert list(catalog.reviews.latest(project)) == []


def test_with_replace_the_given_state_counts_whatever_its_time(catalog: Catalog, project: ProjectKey) -> None:
    catalog.reviews.record(project, [review(1, 0, minute=5)])
    older = review(1, 0, minute=1, regions=())
    assert catalog.reviews.record(project, [older], replace=True) == ReviewCounts(updated=1)
    assert catalog.reviews.record(project, [older], replace=True) == ReviewCounts(unchanged=1)
    assert list(catalog.reviews.latest(project)) == [older]


def test_what_could_not_be_read_is_kept_and_listed(catalog: Catalog, project: ProjectKey) -> None:
    incomplete = replace(review(2, 1), unread=("region a: odd", "region b: odd"))
    catalog.reviews.record(project, [incomplete, review(1, 0)])
    assert list(catalog.reviews.latest(project)) == [review(1, 0), incomplete]
    assert catalog.reviews.incomplete(project) == (Incomplete(101, 2, incomplete.unread),)
    catalog.reviews.mark_deleted(project, [2])
    assert catalog.reviews.incomplete(project) == ()


def test_counts_are_of_what_is_there(catalog: Catalog, project: ProjectKey) -> None:
    skipped = review(4, 2, state="skipped", regions=())
    again = review(6, 2, author="b", state="skipped", regions=())
    catalog.reviews.record(
        project, [review(1, 0), review(2, 1), review(3, 1, author="b"), skipped, again, review(5, 3)]
    )
    assert catalog.reviews.counts(project, after=0, last=200) == (6, 4, 1)
    assert catalog.reviews.counts(project, after=100, last=102) == (2, 2, 1)
    catalog.reviews.mark_deleted(project, [3])
    catalog.server_tasks.mark_deleted(project, [103])
    assert catalog.reviews.counts(project, after=0, last=200) == (5, 2, 1)
    assert catalog.tasks.ids(project) == (100, 101, 102, 104, 105)
    assert catalog.tasks.ids(project, after=100, last=104) == (101, 102, 104)
    assert catalog.tasks.last_id(project) == 105
    back = SeenTask(103, NOON, image_id(3))
    assert catalog.server_tasks.recognise(project, [back]).images == {103: image_id(3)}
    assert catalog.tasks.ids(project, after=102) == (103, 104, 105)
