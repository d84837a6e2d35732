"""How far people say the same of images that several saw: matched regions, overlap, Krippendorff's alpha."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detseg.metrics.intervals import Estimate


@dataclass(frozen=True, slots=True)
class PairScore:
    """How far two people agree, on images that both judged; or all pairs of people together.

    Regions of two people meet one to one by the largest sum of IoUs, those of one label from ``min_iou`` on.
    """

    n_images: int
    """images that both judged"""
    n_regions: int
    """regions of both, each side counted"""
    f1: Estimate
    """2 matched / n_regions, in [0, 1]: the share of regions that the other person has, too"""
    box_iou: Estimate
    """mean IoU of matched regions' boxes (tight ones of masks), in [0, 1]"""
    mask_iou: Estimate
    """mean IoU of matched regions' masks where both have one, in [0, 1]"""


@dataclass(frozen=True, slots=True)
class AgreementScore:
    """``pairs`` is over all pairs of people; ``alpha`` over all who judged an image."""

    pairs: PairScore
    alpha: Estimate
    """Krippendorff's alpha, 1 - observed / expected disagreement, at most 1: 1 agree, 0 as by chance"""


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two people, in alphabetical order."""

    first: str
    second: str
    score: PairScore


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement on the images that at least two people judged; ``per_class`` looks at regions of one label.

    ``per_pair`` is sorted by names.
    """

    min_iou: float
    n_images: int
    """images that at least two people judged"""
    n_people: int
    all: AgreementScore
    per_class: Mapping[str, AgreementScore]
    per_pair: tuple[PairAgreement, ...]
