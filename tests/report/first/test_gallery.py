"""Which images are shown, and what their cards say."""

import base64
import io
from dataclasses import replace

import pytest
from PIL import Image

from detseg.errors import ImageError
from detseg.report.first.gallery import choose_items, make_cards, n_changes, n_disputed
from detseg.types import DecodedImage
from tests.report.first.reports import TAXONOMY, perfect, sample_items

ITEMS = sample_items(12)


def test_most_edited_first_then_disagreement_then_perfect_ones() -> None:
    items = [*ITEMS[:8], *(perfect(item) for item in ITEMS[8:])]
    chosen = choose_items(items, limit=8)
    reasons = [reason for _, reason in chosen]
    assert len(chosen) == 8
    assert len({id(item) for item, _ in chosen}) == 8
    assert reasons == sorted(reasons, key=["most edited", "models disagree", "nothing to correct"].index)
    assert reasons.count("nothing to correct") == 1
    edited = [n_changes(item) for item, reason in chosen if reason == "most edited"]
    assert edited == sorted(edited, reverse=True)
    assert edited[0] == max(map(n_changes, items))
    assert all(n_disputed(item) for item, reason in chosen if reason == "models disagree")


def test_the_choice_does_not_depend_on_the_order() -> None:
    there, back = choose_items(ITEMS, limit=5), choose_items(ITEMS[::-1], limit=5)
    assert [item.name for item, _ in there] == [item.name for item, _ in back]


@pytest.mark.parametrize("limit", [0, 1, 3, 100])
def test_the_limit_holds(limit: int) -> None:
    assert len(choose_items(ITEMS, limit=limit)) == min(limit, len(ITEMS))
    assert choose_items([], limit=limit) == ()


def test_a_card_shows_four_pictures_and_every_edit_in_words() -> None:
    chosen = choose_items(ITEMS, limit=3)
    cards = make_cards(chosen, TAXONOMY, max_bytes=1_000_000)
    for (item, _), card in zip(chosen, cards, strict=True):
        titles = [picture.title for picture in card.pictures]
        assert titles == ["Original", "Detection", "Segmentation", "Corrected"]
        assert all(item.name in picture.alt for picture in card.pictures)
        assert len(card.changes) == n_changes(item)
        assert card.n_kept + len(card.changes) == len(item.edits)
        assert card.task_url == item.task_url
        for picture in card.pictures:
            data = base64.b64decode(picture.uri.removeprefix("data:image/webp;base64,"))
            assert Image.open(io.BytesIO(data)).size == (picture.width, picture.height)


def test_pictures_keep_to_their_budget() -> None:
    chosen = choose_items(ITEMS, limit=4)
    sizes = []
    for budget in (10_000_000, 120_000):
        cards = make_cards(chosen, TAXONOMY, max_bytes=budget)
        sizes.append(sum(len(picture.uri) for card in cards for picture in card.pictures))
    roomy, tight = sizes
    assert roomy > 125_000
    assert tight <= 121_000  # the prefix of a data URI comes on top


def test_an_image_that_is_gone_has_a_card_that_says_so() -> None:
    def gone() -> DecodedImage:
        raise ImageError("no such file: scene-0.png")

    item = replace(ITEMS[0], load=gone)
    (card,) = make_cards(choose_items([item], limit=1), TAXONOMY, max_bytes=1000)
    assert card.pictures == ()
    assert card.failure == "no such file: scene-0.png"
    assert len(card.changes) == n_changes(item)


def test_an_image_of_another_size_is_not_drawn_on() -> None:
    item = replace(ITEMS[0], prediction=replace(ITEMS[0].prediction, size=type(ITEMS[0].review.size)(9, 9)))
    (card,) = make_cards(choose_items([item], limit=1), TAXONOMY, max_bytes=1000)
    assert card.failure is not None
    assert "is 240x180 now and was 9x9" in card.failure


@pytest.mark.parametrize("url", [None, "javascript:alert(1)", "data:text/html,x", "http//[", ""])
def test_only_web_addresses_become_links(url: str | None) -> None:
    (card,) = make_cards(choose_items([replace(ITEMS[0], task_url=url)], limit=1), TAXONOMY, max_bytes=9)
    assert card.task_url is None
