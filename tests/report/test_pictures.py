"""Pixel facts about the pictures: what is coloured, what is not, and how large they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from detseg.geometry.masks import bitmap_to_mask, empty_mask, mask_to_bitmap
from detseg.report.drawing import Chip, Frame, crop_mask, draw_box, draw_mask, ink_on, luminance, place_chips
from detseg.report.pictures import (
    PanelSize,
    count_labels,
    instances_panel,
    prediction_picture,
    scale_to,
    seen_alone,
)
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, DecodedImage, ImageId, ImageRef, Instance, Mask, Size

TAXONOMY = Taxonomy((LabelClass("nut", colour="#ff0000"), LabelClass("belt", "stuff", "#0000ff")))
GREY = 200


def grey_image(width: int, height: int, uri: str = "file:///pictures/a%20b.png") -> DecodedImage:
    rgb = np.full((height, width, 3), GREY, dtype=np.uint8)
    return DecodedImage(ImageRef(ImageId("sha256:" + "0" * 64), uri), Size(width, height), rgb)


def ring(size: Size, *, outer: int, inner: int) -> Mask:
    """A square ring around the middle: ``outer`` and ``inner`` are half sides."""
    y, x = np.ogrid[: size.height, : size.width]
    away = np.maximum(abs(x - size.width // 2), abs(y - size.height // 2))
    return bitmap_to_mask((away < outer) & (away >= inner))


def is_grey(pixels: np.ndarray) -> np.ndarray:
    return (pixels == GREY).all(axis=-1)


@pytest.mark.parametrize("side", [40, 400, 2000])
def test_a_mask_colours_its_inside_and_leaves_its_hole(side: int) -> None:
    image = grey_image(side, side)
    mask = ring(image.size, outer=side * 4 // 10, inner=side // 10)
    panel = instances_panel(
        scale_to(image, PanelSize()), [Instance("nut", "thing", mask=mask)], TAXONOMY, show="masks", title=""
    )
    pixels = np.asarray(panel.picture)
    height, width, _ = pixels.shape
    assert is_grey(pixels[height // 2, width // 2])  # the hole
    red, green, blue = pixels[height // 2, width // 4]  # in the ring
    assert red > green == blue
    assert is_grey(pixels[height - 2, width - 2])  # outside


def test_the_contour_is_the_full_colour_and_the_fill_is_translucent() -> None:
    size = Size(100, 100)
    picture = Image.new("RGB", (100, 100), (GREY, GREY, GREY))
    mask = ring(size, outer=30, inner=10)
    draw_mask(picture, Frame(size, 100, 100), mask, (255, 0, 0), fill=0.5, line=2, hatched=False)
    pixels = np.asarray(picture)
    bitmap = mask_to_bitmap(mask)
    assert tuple(pixels[50, 21]) == (255, 0, 0)  # the outer edge
    assert tuple(pixels[50, 59]) == (255, 0, 0)  # the edge of the hole
    assert tuple(pixels[50, 30]) == (228, 100, 100)  # half way from grey to red
    assert is_grey(pixels[~bitmap])[is_grey(pixels[~bitmap])].size > 5000  # most of the outside is untouched
    assert is_grey(pixels[45:55, 45:55]).all()


def test_a_mask_and_its_frame_agree_at_the_border() -> None:
    size = Size(7, 5)
    picture = Image.new("RGB", (70, 50), (GREY, GREY, GREY))
    full = bitmap_to_mask(np.ones((5, 7), dtype=bool))
    place = draw_mask(picture, Frame(size, 70, 50), full, (255, 0, 0), fill=1.0, line=0, hatched=False)
    assert place is not None
    assert place.rectangle == (0, 0, 70, 50)
    assert (np.asarray(picture) == (255, 0, 0)).all()


def test_an_empty_mask_draws_nothing() -> None:
    size = Size(30, 20)
    picture = Image.new("RGB", (30, 20), (GREY, GREY, GREY))
    frame = Frame(size, 30, 20)
    place = draw_mask(picture, frame, empty_mask(size), (255, 0, 0), fill=1.0, line=2, hatched=False)
    assert place is None
    assert is_grey(np.asarray(picture)).all()


@given(st.integers(1, 9), st.integers(1, 9), st.randoms(use_true_random=False))
def test_cropping_a_mask_loses_nothing(width: int, height: int, random: object) -> None:
    bits = [random.random() < 0.2 for _ in range(width * height)]  # type: ignore[attr-defined]
    bitmap = np.array(bits).reshape(height, width)
    cropped = crop_mask(bitmap_to_mask(bitmap))
    back = np.zeros_like(bitmap)
    if cropped is not None:
        left, top, tight = cropped
        assert tight.any(axis=0)[[0, -1]].all()
        assert tight.any(axis=1)[[0, -1]].all()
        back[top : top + tight.shape[0], left : left + tight.shape[1]] = tight
    assert (back == bitmap).all()


def test_a_box_is_drawn_inside_its_half_open_edges() -> None:
    picture = Image.new("RGB", (60, 50), (GREY, GREY, GREY))
    rectangle = Frame(Size(60, 50), 60, 50).rectangle(Box(10, 12, 40, 42))
    draw_box(picture, rectangle, (255, 0, 0), line=2)
    red = (np.asarray(picture) == (255, 0, 0)).all(axis=-1)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (10, 12, 40, 42)
    assert is_grey(np.asarray(picture)[20:30, 20:30]).all()


def test_dashes_leave_gaps_and_solid_lines_do_not() -> None:
    shares = []
    for stroke in ("solid", "dashed", "dotted"):
        picture = Image.new("RGB", (100, 100), (GREY, GREY, GREY))
        draw_box(picture, (5, 5, 95, 95), (255, 0, 0), line=2, stroke=stroke)  # type: ignore[arg-type]
        edge = np.asarray(picture)[5, 5:95]
        shares.append((edge == (255, 0, 0)).all(axis=-1).mean())
    solid, dashed, dotted = shares
    assert solid == 1.0
    assert 0.5 < dashed < 0.8
    assert 0.2 < dotted < 0.5


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size(20, 20), (320, 320)),
        (Size(640, 480), (640, 480)),
        (Size(6000, 4000), (720, 480)),
        (Size(1, 1), (320, 320)),
        (Size(1, 60000), (1, 900)),
        (Size(300, 150), (320, 160)),
    ],
)
def test_panels_have_a_sensible_size(size: Size, expected: tuple[int, int]) -> None:
    frame = PanelSize().frame(size)
    assert (frame.width, frame.height) == expected


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20, 20), (640, 480), (3000, 10), (10, 3000)])
def test_any_image_makes_a_picture(width: int, height: int) -> None:
    image = grey_image(width, height)
    full = bitmap_to_mask(np.ones((height, width), dtype=bool))
    instances = [
        Instance("nut", "thing", Box(0, 0, width, height), full, 0.9, "both"),
        Instance("unknown", "thing", Box(0, 0, 0.1, 0.1), None, 0.1, "detector"),
        Instance("belt", "stuff", None, full, 0.8, "segmenter"),
    ]
    picture = prediction_picture(image, instances, TAXONOMY)
    assert picture.mode == "RGB"
    assert 300 < picture.width < 2400
    assert prediction_picture(image, [], TAXONOMY).size[0] == picture.width


def test_a_model_that_did_not_run_has_no_panel() -> None:
    image, box = grey_image(400, 400), Instance("nut", "thing", Box(10, 10, 90, 90), score=0.5)
    both = prediction_picture(image, [box], TAXONOMY)
    boxes = prediction_picture(image, [box], TAXONOMY, segmenter=False)
    found_anyway = prediction_picture(image, [box], TAXONOMY, detector=False)
    assert both.width == found_anyway.width
    assert both.width - boxes.width == 400 + 20


def test_a_wide_image_is_stacked() -> None:
    wide, square = (prediction_picture(grey_image(w, h), [], TAXONOMY) for w, h in [(2000, 400), (800, 800)])
    assert wide.height > 3 * 400 * 1440 / 2000 > 800
    assert square.width > 3 * 720


def test_any_label_can_be_written() -> None:
    labels = ["", "ボルト", "болт", "🔩", "a\nb\x00c", "\ud800", "x" * 4000, "<script>", "Schraube Größe ≥ 3"]
    instances = [
        Instance(label, "thing", Box(5, 5 + 8 * n, 60, 12 + 8 * n), None, 0.5, "detector")
        for n, label in enumerate(labels)
    ]
    image = grey_image(300, 200)
    plain = prediction_picture(image, [], TAXONOMY, title="t")
    picture = prediction_picture(image, instances, TAXONOMY, title="\ud800 ボルト" * 100, subtitle="\n")
    assert picture.width == plain.width


def test_names_do_not_cover_each_other_and_stay_inside() -> None:
    frame = Frame(Size(200, 150), 200, 150)
    chips = [Chip((n * 7 % 190, n * 11 % 140, 199, 149), f"label {n}", (n, n, n)) for n in range(60)]
    places = [place for _, place, _ in place_chips(chips, frame)]
    assert 5 < len(places) < 60
    cover = np.zeros((150, 200), dtype=int)
    for x0, y0, x1, y1 in places:
        assert 0 <= x0 < x1 <= 200
        assert 0 <= y0 < y1 <= 150
        cover[y0:y1, x0:x1] += 1
    assert cover.max() == 1


def test_counts_are_in_the_taxonomys_order_and_stuff_is_not_counted() -> None:
    full = bitmap_to_mask(np.ones((2, 2), dtype=bool))
    nut, other = Instance("nut", "thing", mask=full), Instance("axle", "thing", mask=full)
    counts = count_labels([other, Instance("belt", "stuff", mask=full), nut, nut], TAXONOMY)
    assert [str(count) for count in counts] == ["nut 2", "belt", "axle 1"]


def test_only_disagreement_between_two_models_is_marked() -> None:
    box = Box(0, 0, 1, 1)
    alone = Instance("nut", "thing", box, seen_by="detector")
    both = Instance("nut", "thing", box, seen_by="both")
    assert seen_alone([alone, alone]) == frozenset()
    assert seen_alone([alone, both]) == {id(alone)}
    assert seen_alone([Instance("nut", "thing", box)]) == frozenset()


def test_what_one_model_saw_has_a_legend() -> None:
    view = scale_to(grey_image(100, 100), PanelSize())
    alone = Instance("nut", "thing", Box(10, 10, 60, 60), seen_by="detector")
    both = Instance("nut", "thing", Box(20, 20, 80, 80), seen_by="both")
    marked = instances_panel(view, [alone, both], TAXONOMY, show="boxes", title="")
    plain = instances_panel(view, [both], TAXONOMY, show="boxes", title="")
    assert marked.strokes == ("dashed",)
    assert plain.strokes == ()


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_text_on_any_colour_has_enough_contrast(colour: tuple[int, int, int]) -> None:
    darker, lighter = sorted((luminance(colour), luminance(ink_on(colour))))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
