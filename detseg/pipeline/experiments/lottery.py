"""The arm of an image: drawn by lot, but always the same, whatever is pushed with it or before it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detseg.types import Arm, ImageId

if TYPE_CHECKING:
    from detseg.config.sections import ExperimentSettings


@dataclass(frozen=True, slots=True)
class Lottery:
    """The lots of one project's images. Another seed, or another project, makes others."""

    project: str
    seed: int
    control_share: float
    decoy_share: float

    def draw(self, image: ImageId, purpose: str) -> float:
        """A number in [0, 1), uniform over images, independent between purposes."""
        digest = hashlib.sha256(f"{self.seed}\n{self.project}\n{purpose}\n{image}".encode()).digest()
        return int.from_bytes(digest[:7]) / 2**56  # as many bits as a float holds, and no rounding up to 1

    def arm(self, image: ImageId) -> Arm:
        """The arm of an image whose truth is not known.

        A larger share takes images from the arm "assisted" alone, and gives a smaller one's none away.

        >>> Lottery("parts", 0, control_share=1.0, decoy_share=0.0).arm(ImageId("sha256:0"))
        'control'
        """
        lot = self.draw(image, "arm")
        if lot < self.control_share:
            return "control"
        return "decoy" if lot >= 1.0 - self.decoy_share else "assisted"


def lottery_of(shares: ExperimentSettings, project: str) -> Lottery:
    """The lottery of the settings for the project of that title."""
    return Lottery(project, shares.seed, shares.control_share, shares.decoy_share)
