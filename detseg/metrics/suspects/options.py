"""The thresholds of the rules."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SuspectOptions:
    """The threshold of every rule: there it is as likely right as wrong, so a finding starts with 0.5."""

    min_side_px: float = 1.0
    """A shorter side may hold no pixel's centre: training code rounds the box to nothing."""
    max_outside_px: float = 1.0
    """Percentages and half pixels of the annotation tool's page move an edge by less."""
    tiny_px: float = 16.0
    """Area, 4x4 pixels: half of what one cell of a detector's finest grid (stride 8) sees of a side."""
    duplicate_iou: float = 0.85
    """Detectors themselves take boxes of one class for one object from 0.5 to 0.7 on."""
    two_labels_iou: float = 0.95
    """From here on two boxes with two labels are one object (cleanlab's LABEL_OVERLAP_THRESHOLD)."""
    far_smaller: float = 0.5
    """Area over area: below, one of two regions of one object holds less than half of it."""
    inside: float = 0.9
    """The share of the smaller one that lies in the larger one, below which they are just apart."""
    same_iou: float = 0.5
    """From here on two regions are of one object, as in COCO's and PASCAL VOC's AP50."""
    badly_placed: float = 0.65
    """IoU with the model's region of the object: below, a label may be badly placed where others of its class
    meet the model's better. Boxes that lie a quarter of their width apart have 0.6."""
    offset: float = 0.16
    """The root mean square of how far the four sides of a box are from the model's, as shares of its width
    and height: boxes a quarter of their width apart have 0.18."""
    offset_px: float = 1.0
    """The same in pixels: nobody draws better than that, and small objects then overlap badly."""
    touching_iou: float = 0.1
    """Below, two regions are not in one place."""
    most_unseen: float = 0.08
    """The share of a class's labels that nobody else sees, above which that proves nothing: the model does
    not know the class. People draw few labels where nothing is at all."""
    double_iou: float = 0.6
    """Of two labels of one class where the model sees one object."""
    most_holed: float = 0.1
    """The share of a class's masks with large holes, above which the things have holes."""
    apart_iou: float = 0.7
    """Of a box with its mask's tight box; two heads of one network agree better on most objects."""
    speck_px: int = 25
    """Pieces of up to 5x5 pixels, the mark of a click beside the object,"""
    hole_px: int = 100
    """holes of up to 10x10 pixels, what a round brush leaves between its strokes,"""
    stray_share: float = 0.02
    """and neither above this share of the mask, so that the eye of a needle stays one."""
    rough: float = 0.15
    """Of an outline's length, see ``detseg.geometry.outlines.roughness``; chance has 0.3 and more."""
    rough_from_px: int = 256
    """Smaller masks (16x16) are mostly corners."""
    thin_px: float = 4.0
    """Mean width below which a mask is a line, all of it outline."""
    smoothed: float = 0.75
    """An outline's length over that of the model's or of another person's for the same object."""
    glance_s: float = 1.0
    """Seconds to see the page and to press a key,"""
    fixation_s: float = 0.25
    """and to look at one region once: a fixation takes 0.18 to 0.33 s (Rayner 1998, Psychol. Bull. 124)."""
    witness_score: float = 0.5
    """The model's regions below it say nothing about how large an object is."""
    sure_score: float = 0.8
    """The model is sure from here on: of a calibrated one, four of five such regions are right."""
    least_sure_score: float = 0.6
    """But from here on, where nine of ten of its regions that people drew have at least the score."""
    least_share: float = 0.2
    """The chance that people overlooked an object and the model did not make it up, below which nothing is
    said."""
    least_wrong_share: float = 0.5
    """The same of a label that the model denies. Here people did look, so it is said where they are rather
    wrong than not."""


def sureness(value: float, *, even: float, certain: float) -> float:
    """Return the confidence of a rule: 0.5 where the value is at ``even``, 1 from ``certain`` on, straight in
    between.

    >>> sureness(0.3, even=0.5, certain=0.1)
    0.75
    """
    share = (value - even) / (certain - even)
    return 0.5 + 0.5 * min(max(share, 0.0), 1.0)
