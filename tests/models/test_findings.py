"""Sightings become instances: labels mapped, boxes clipped, stuff united, doubles dropped."""

from __future__ import annotations

from dataclasses import replace

from detseg.models.findings import boxes_of_masks, drop_faint, read_findings
from detseg.models.labels import map_labels
from detseg.models.network import RawDetection
from detseg.models.predictor import PredictorOptions
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, Instance, Mask, Size

SIZE = Size(10, 10)
TAXONOMY = Taxonomy((LabelClass("bolt"), LabelClass("tray", "stuff")))
LABELS = map_labels({0: "bolt", 1: "tray", 2: "moose", 3: "N/A"}, TAXONOMY, boxes=False)
BOX = Box(1, 2, 5, 6)


def mask(start: int, length: int) -> Mask:
    return Mask(SIZE, (start, length, 100 - start - length))


def instances(*detections: RawDetection) -> tuple[Instance, ...]:
    return read_findings(detections, LABELS, SIZE).instances


def test_a_thing_keeps_what_was_seen_of_it() -> None:
    both = RawDetection(0, 0.9, BOX, mask(0, 7))
    assert instances(both) == (Instance("bolt", "thing", BOX, mask(0, 7), 0.9, "both"),)
    assert instances(RawDetection(0, 0.9, mask=mask(0, 7)))[0].seen_by == "segmenter"
    assert instances(RawDetection(0, 0.9, BOX)) == (Instance("bolt", "thing", BOX, None, 0.9, "detector"),)


def test_what_is_empty_is_not_there() -> None:
    outside, nothing = Box(20, 20, 30, 30), mask(0, 0)
    assert instances(RawDetection(0, 0.9, outside), RawDetection(0, 0.9, mask=nothing)) == ()
    assert instances(RawDetection(0, 0.9, outside, mask(0, 7)))[0].seen_by == "segmenter"
    assert instances(RawDetection(0, 0.9, BOX, nothing))[0].seen_by == "detector"


def test_boxes_are_clipped_to_the_image() -> None:
    (one,) = instances(RawDetection(0, 0.9, Box(-3, 4, 12, 20)))
    assert one.box == Box(0, 4, 10, 10)


def test_of_equal_things_the_best_stays() -> None:
    doubled = [RawDetection(0, score, BOX) for score in (0.6, 0.9, 0.7)]
    assert [one.score for one in instances(*doubled, RawDetection(0, 0.5, BOX, mask(3, 4)))] == [0.9, 0.5]


def test_stuff_is_one_surface_without_a_box() -> None:
    (tray,) = instances(
        RawDetection(1, 0.6, BOX, mask(0, 10)),
        RawDetection(1, 0.8, mask=mask(50, 5)),
        RawDetection(1, 0.99, BOX),
    )
    assert tray == Instance("tray", "stuff", None, Mask(SIZE, (0, 10, 40, 5, 45)), 0.8, "segmenter")
    assert instances(RawDetection(1, 0.9, BOX)) == ()


def test_what_no_class_takes_is_counted_and_placeholders_are_not() -> None:
    found = read_findings([RawDetection(i, 0.9, BOX) for i in (2, 2, 3, 7)], LABELS, SIZE)
    assert found.instances == ()
    assert found.unmapped == {"moose": 2, "label 7": 1}


def test_what_scores_too_little_for_its_class_loses_its_box_its_mask_or_both() -> None:
    options = PredictorOptions(
        box_threshold=0.5,
        mask_threshold=0.4,
        class_box_thresholds={"bolt": 0.3},
        class_mask_thresholds={"tray": 0.8},
    )
    own, faint, other = (
        Instance(label, "thing", BOX, mask(0, 7), 0.45, "both") for label in ("bolt", "nut", "nut")
    )
    assert drop_faint([own], options) == (own,)
    assert drop_faint([faint], options) == (Instance("nut", "thing", None, mask(0, 7), 0.45, "segmenter"),)
    assert drop_faint([replace(other, mask=None), replace(other, score=0.35)], options) == ()
    tray = Instance("tray", "stuff", None, mask(0, 7), 0.7, "segmenter")
    assert drop_faint([tray, replace(tray, score=0.8)], options) == (replace(tray, score=0.8),)


def test_scores_above_one_by_rounding_are_one() -> None:
    assert instances(RawDetection(0, 1.0000001, BOX))[0].score == 1.0


def test_masks_bring_their_boxes_where_there_is_none() -> None:
    own = Instance("bolt", "thing", BOX, mask(0, 7), 0.9, "both")
    alone = Instance("bolt", "thing", None, mask(10, 7), 0.9, "segmenter")
    tray = Instance("tray", "stuff", None, mask(0, 7), 0.9, "segmenter")
    boxed = boxes_of_masks([own, alone, tray])
    assert boxed[0] == own
    assert boxed[1].box == Box(1, 0, 2, 7)
    assert boxed[2] == tray
