"""What pre-annotations saved: against images that people labeled without them, or against a cost model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from detseg.metrics.intervals import Estimate

Method = Literal["blind", "costs"]
"""``blind``: measured against the blind arm; ``costs``: against what a cost model says by hand would take."""


@dataclass(frozen=True, slots=True)
class Saving:
    """What was saved on the images that were reviewed with the model's regions.

    Negative where people were slower with them. Hours and money follow from the share, so they are told
    whenever it is, and their intervals are those of the share.
    """

    share: Estimate
    """1 - seconds with help / seconds by hand for the same images, at most 1; by image of both arms"""
    hours: Estimate
    """hours by hand - hours with help"""
    money: Estimate
    """share * the price of drawing all regions of those reviews by hand, in the settings' currency"""
    hours_spent: float
    """with help, over all reviews; where no lead time is of use the mean (blind) or the model's (costs)"""
    n_images: int
    """reviewed with help"""
    n_blind: int
    """images of the blind arm that it was compared with; 0 for the cost model"""
    n_timed: int
    """reviews with help whose lead time is known and no outlier"""
    n_strata: int
    """annotators who were compared with themselves; 0 where all were compared together, and by cost model"""


@dataclass(frozen=True, slots=True)
class Effort:
    """The saving and which way it was found: the blind arm wherever it holds enough, else the cost model."""

    method: Method | None
    """None where neither tells a figure"""
    blind: Saving
    costs: Saving
    """the interval is about which images were drawn; whether the settings' seconds are right it cannot say"""

    @property
    def saving(self) -> Saving:
        """The one to quote."""
        return self.blind if self.method == "blind" else self.costs
