"""The cost model of people's work: seconds and prices per region, as settings give them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from detseg.types import Edit, EditKind, Instance


@dataclass(frozen=True, slots=True)
class CostModel:
    """Seconds and prices of one region. Settings of the same names change them; prices have any currency.

    Sources of the defaults: a box by hand takes 35 s by the protocol of ILSVRC and 7 s with extreme clicks,
    which is the most that checking one may take (Papadopoulos et al., "Extreme clicking for efficient object
    annotation", ICCV 2017); a mask takes 80 s in COCO (scaling-anno.csail.mit.edu; arXiv 2212.07911); 1,000
    boxes are $63 and 1,000 segments $870 (cloud.google.com/ai-platform/data-labeling/pricing).
    """

    box_by_hand_s: float = 35.0
    mask_by_hand_s: float = 80.0
    check_s: float = 7.0
    """looking at a region that is there; deleting it takes no longer"""
    box_price: float = 0.063
    mask_price: float = 0.87

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not 0.0 <= value < float("inf"):
                raise ValueError(f"{name} is a number from 0, not {value}")

    def drawing_s(self, instance: Instance) -> float:
        """Seconds to draw it by hand. The box around a mask comes with it."""
        return self.box_by_hand_s if instance.mask is None else self.mask_by_hand_s

    def drawing_price(self, instance: Instance) -> float:
        """The price of drawing it by hand. The box around a mask comes with it."""
        return self.box_price if instance.mask is None else self.mask_price

    def reviewing_s(self, instances: Iterable[Instance], *, shown: bool = True) -> float:
        """Seconds that an image is expected to take: a look at each region, and its drawing as often as its
        score says that it is wrong; one look where there is none. Not ``shown``, all are drawn."""
        costs = [
            self.check_s + (1.0 - (one.score or 0.0) if shown else 1.0) * self.drawing_s(one)
            for one in instances
        ]
        return sum(costs) if costs else self.check_s

    def edit_s(self, edit: Edit) -> float:
        """Seconds that the edit took."""
        region = edit.after or edit.before
        return self.kind_s(edit.kind, masked=region is not None and region.instance.mask is not None)

    def redrawing_s(self, edit: Edit) -> float:
        """Seconds of ``edit_s`` in which something is drawn; the others are looks at what is there."""
        region = edit.after or edit.before
        is_drawn = region is not None and edit.kind in ("added", "moved", "reshaped")
        return self.drawing_s(region.instance) if region is not None and is_drawn else 0.0

    def kind_s(self, kind: EditKind, *, masked: bool) -> float:
        """Seconds that such an edit takes of a region with a mask, or of one without.

        That is a look at what was there, and the drawing of what has to be drawn. Another label is one more
        look; a moved box and a reshaped mask count as drawn anew, which is the most that they can cost.
        """
        drawing_s = self.mask_by_hand_s if masked else self.box_by_hand_s
        if kind == "added":
            return drawing_s
        if kind == "relabeled":
            return 2.0 * self.check_s
        return self.check_s + (drawing_s if kind in ("moved", "reshaped") else 0.0)
