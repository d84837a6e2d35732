"""What the cards of the gallery show and say."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from detseg.errors import ImageError
from detseg.metrics.cases import Case
from detseg.metrics.edits import find_edits
from detseg.report.closeups import close_ups
from detseg.report.data import Images
from detseg.report.examples import Example
from detseg.report.gallery import image_name, make_cards, web_address
from detseg.report.page import render_report
from detseg.types import Box, DecodedImage, ImageRef, Region, Size
from tests.report.made import TAXONOMY, made_cases
from tests.report.reports import images_of, make_report, suspect_of

CASES = [case for case in made_cases(80) if case.arm in ("assisted", "gold") and case.truth is not None][:12]
IMAGES = images_of(CASES)


def examples(cases: list[Case]) -> list[Example]:
    return [Example(case.image, "worst", "moved", "bolt") for case in cases]


def test_a_card_shows_four_pictures_and_every_edit_in_words() -> None:
    cards = make_cards(examples(CASES[:3]), IMAGES, TAXONOMY, max_bytes=1_000_000)
    assert len(cards) == 3
    for case, card in zip(CASES, cards, strict=False):
        assert case.truth is not None
        edits = find_edits(case.prediction, case.truth)
        assert [picture.title for picture in card.pictures] == [
            "Original",
            "Detection",
            "Segmentation",
            "Corrected",
        ]
        assert card.name == case.uri.rpartition("/")[2]
        assert all(card.name in picture.alt for picture in card.pictures)
        assert card.n_kept + len(card.changes) == len(edits)
        assert [c.kind for c in card.changes if c.kind == "kept"] == []
        assert card.task_url == case.task_url
        for picture in card.pictures:
            data = base64.b64decode(picture.uri.removeprefix("data:image/jpeg;base64,"))
            assert Image.open(io.BytesIO(data)).size == (picture.width, picture.height)


def test_the_detector_picture_has_the_boxes_of_things_whose_masks_are_shown() -> None:
    """By default a thing is shown as one shape, its mask; its box was predicted nevertheless."""

    def without_box(region: Region) -> Region:
        instance = region.instance
        return replace(region, instance=replace(instance, box=None)) if instance.mask else region

    def notes(case: Case) -> tuple[str, str]:
        (card,) = make_cards(examples([case]), images_of([case]), TAXONOMY, max_bytes=1_000_000)
        detection, segmentation = card.pictures[1:3]
        return detection.note, segmentation.note

    case = next(case for case in CASES if any(one.instance.box for one in case.prediction.regions))
    whole = case.prediction.regions
    shown = replace(case.prediction, regions=tuple(map(without_box, whole)))
    as_masks = replace(case, prediction=shown, predicted=whole)
    assert notes(as_masks) == notes(case)
    assert notes(replace(as_masks, predicted=())) != notes(case)


@pytest.mark.parametrize(("part", "missing"), [("mask", "Segmentation"), ("box", "Detection")])
def test_what_the_model_never_answers_has_no_picture(part: str, missing: str) -> None:
    other = "box" if part == "mask" else "mask"
    case = next(case for case in CASES if any(getattr(one.instance, other) for one in case.shown))
    kept = (one for one in case.shown if getattr(one.instance, other))
    regions = tuple(replace(one, instance=replace(one.instance, **{part: None})) for one in kept)
    alone = replace(case, prediction=replace(case.prediction, regions=regions), predicted=())
    (card,) = make_cards(examples([alone]), images_of([alone]), TAXONOMY, max_bytes=1_000_000)
    titles = {"Original", "Detection", "Segmentation", "Corrected"} - {missing}
    assert {picture.title for picture in card.pictures} == titles


@pytest.mark.parametrize("budget", [80_000, 300_000, 10_000_000])
def test_pictures_keep_to_their_budget(budget: int) -> None:
    cards = make_cards(examples(CASES[:4]), IMAGES, TAXONOMY, max_bytes=budget)
    assert sum(len(picture.uri) for card in cards for picture in card.pictures) <= budget


def test_even_noise_makes_a_page_of_less_than_15_mb() -> None:
    """Nothing is harder to compress: 60 images of noise, and a hundred suspects on them."""
    rng = np.random.default_rng(0)

    def noise(uri: str) -> DecodedImage:
        rgb = rng.integers(0, 256, (CASES[0].prediction.size.height, CASES[0].prediction.size.width, 3))
        return DecodedImage(ImageRef(CASES[0].image, uri), CASES[0].prediction.size, rgb.astype(np.uint8))

    cases = made_cases(80)
    report = make_report(cases, limit=60)
    ranked = tuple(suspect_of(case, Box(5, 5, 60, 60)) for case in [*cases, *cases][:120])
    result = replace(report.result, suspects=replace(report.result.suspects, ranked=ranked))
    page = render_report(replace(report, result=result, images=replace(report.images, read=noise)))
    assert 2_000_000 < len(page.encode()) < 15_000_000


def test_an_image_that_is_gone_has_a_card_that_says_so() -> None:
    def gone(uri: str) -> DecodedImage:
        raise ImageError(f"no such file: {uri}")

    (card,) = make_cards(examples(CASES[:1]), replace(IMAGES, read=gone), TAXONOMY, max_bytes=1000)
    assert card.pictures == ()
    assert card.failure == f"no such file: {CASES[0].uri}"
    assert card.n_kept + len(card.changes) > 0


def test_a_case_that_is_gone_has_no_card() -> None:
    images = Images(lambda ids: {}, IMAGES.read)  # noqa: ARG005
    assert make_cards(examples(CASES), images, TAXONOMY, max_bytes=1000) == ()


def test_an_image_of_another_size_is_not_drawn_on() -> None:
    small = replace(CASES[0], prediction=replace(CASES[0].prediction, size=Size(9, 9), regions=()))
    (card,) = make_cards(examples([small]), images_of([small]), TAXONOMY, max_bytes=1000)
    assert card.failure is not None
    assert "is 320x240 now and was 9x9" in card.failure


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("file:///a%20b/c%20d.png", "c d.png"),
        ("s3://bucket/x/y.jpg?sig=secret", "y.jpg"),
        ("plain.png", "plain.png"),
        ("/one/two.png", "two.png"),
        ("https://host/", "https://host/"),
    ],
)
def test_the_name_of_an_image(uri: str, name: str) -> None:
    assert image_name(uri) == name


def test_only_the_web_is_linked() -> None:
    assert web_address("http://host/1") == "http://host/1"
    assert [web_address(url) for url in (None, "", "javascript:x", "file:///x", " https://x")] == [None] * 5


@pytest.mark.parametrize(
    "box",
    [
        None,
        Box(10, 10, 30, 40),
        Box(-50, -50, -20, -20),
        Box(300, 200, 900, 900),
        Box(5, 5, 5, 5),
        Box(0, 0, 320, 240),
    ],
)
def test_a_close_up_is_of_any_box(box: Box | None) -> None:
    pictures = close_ups([suspect_of(CASES[0], box)], IMAGES)
    picture = pictures[0]
    assert 1 <= min(picture.width, picture.height) <= max(picture.width, picture.height) <= 240
    assert CASES[0].uri.rpartition("/")[2] in picture.alt


def test_every_image_is_read_once_and_what_cannot_be_read_is_left_out() -> None:
    read: list[str] = []

    def count(uri: str) -> DecodedImage:
        read.append(uri)
        if uri == CASES[1].uri:
            raise ImageError("gone")
        return IMAGES.read(uri)

    suspects = [suspect_of(CASES[n % 2], Box(n, n, n + 20, n + 20)) for n in range(6)]
    pictures = close_ups(suspects, replace(IMAGES, read=count))
    assert sorted(pictures) == [0, 2, 4]
    assert sorted(read) == sorted([CASES[0].uri, CASES[1].uri])
