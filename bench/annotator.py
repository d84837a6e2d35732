"""Counts the hand movements of ten edits in Label Studio's page, for each way to draw a thing:

    python -m bench.annotator

Every edit is done in a real Chromium with the mouse and the keyboard, and what was submitted has to be what
the edit was for. ``bench.hand`` says what a second is.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.hand import TOOL_PX, Hand, Point, Tally
from detseg.geometry.boxes import box_iou
from detseg.geometry.extent import extent
from detseg.geometry.masks import bitmap_to_mask, mask_iou, mask_to_bitmap, mask_to_box
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import decode_task, encode_task, prediction_regions
from detseg.labelstudio.project import ensure_project
from detseg.labelstudio.server import EmbeddedLabelStudio
from detseg.labelstudio.shapes import MaskAs, ShapePolicy
from detseg.types import Box, ImageRef, Instance, Mask, Region
from tests.e2e.page import LabelingPage, labeling_page
from tests.labelstudio.scenes import SIZE, TAXONOMY, VERSION, disc, serve, write_image


def joined(*masks: Mask) -> Mask:
    return bitmap_to_mask(np.logical_or.reduce([mask_to_bitmap(mask) for mask in masks]))


def without(mask: Mask, part: Mask) -> Mask:
    return bitmap_to_mask(mask_to_bitmap(mask) & ~mask_to_bitmap(part))


def thing(label: str, mask: Mask) -> Instance:
    return Instance(label, "thing", mask_to_box(mask), mask, 0.8)


RIGHT, SHIFTED, WHOLE = disc(150, 120, 55), disc(150, 320, 50), disc(420, 220, 45)
PREDICTED: dict[str, Instance] = {
    "right": thing("bolt", RIGHT),
    "false": thing("nut", disc(300, 90, 40)),
    "false too": thing("nut", disc(420, 90, 35)),
    "false as well": thing("nut", disc(520, 90, 35)),
    "shifted": thing("bolt", disc(110, 300, 50)),
    "mislabeled": thing("bolt", disc(280, 220, 45)),
    "bulging": replace(thing("nut", joined(WHOLE, disc(465, 220, 20))), box=mask_to_box(WHOLE)),
    "bitten": replace(
        thing("nut", without(disc(550, 220, 45), disc(590, 220, 24))), box=mask_to_box(disc(550, 220, 45))
    ),
    "loose": Instance("bolt", "thing", Box(340.0, 320.0, 450.0, 435.0), None, 0.8),
    "merged": thing("nut", joined(disc(510, 390, 36), disc(581, 390, 36))),
}
TRUTH: dict[str, Instance] = {
    "right": PREDICTED["right"],
    "shifted": thing("bolt", SHIFTED),
    "mislabeled": replace(PREDICTED["mislabeled"], label="nut"),
    "bulging": thing("nut", WHOLE),
    "bitten": thing("nut", disc(550, 220, 45)),
    "loose": replace(PREDICTED["loose"], box=Box(340.0, 320.0, 420.0, 410.0)),
    "merged": thing("nut", disc(510, 390, 36)),
    "parted": thing("nut", disc(581, 390, 36)),
    "missing": thing("nut", disc(270, 380, 45)),
}


@dataclass(slots=True)
class Way:
    """A way in which things are drawn on the page, and what the edits take there. Places are pixels of the
    image."""

    name: str
    pairs: bool
    mask_as: MaskAs
    hand: Hand = field(init=False)
    ids: dict[str, str] = field(init=False)

    @property
    def control(self) -> str:
        return "polygon" if self.mask_as == "polygon" else "mask"

    @property
    def masks_move(self) -> bool:
        return self.mask_as == "polygon"

    def accept(self) -> None:
        self.hand.think()

    def delete(self, *names: str) -> None:
        for name in names:
            self._choose(name)
            self.hand.press("Backspace")
            if self.pairs:  # the mask is under the mouse now
                self.hand.click(_middle(PREDICTED[name]), again=True)
                self.hand.press("Backspace")

    def relocate(self, name: str) -> None:
        """To where its truth is: masks that cannot be moved are drawn anew."""
        if self.masks_move:
            self._choose(name)
            self.hand.move(_middle(PREDICTED[name]), _middle(TRUTH[name]))
        else:
            self.delete(name)
            self.add(name)

    def relabel(self, name: str) -> None:
        self._choose(name)
        self.hand.think()
        self.hand.choose("box" if self.pairs else self.control, TRUTH[name].label)

    def reshape(self, name: str, tool: str, path: Sequence[Point]) -> None:
        """To its truth: by leaving out corners, or with the tool along the path."""
        self._choose_mask(name)
        if self.mask_as == "polygon":
            self._drop_corners(name)
        else:
            self.hand.think()
            self.hand.press(tool)
            self.hand.draw(path)
        self._end()

    def resize(self, name: str) -> None:
        self._choose(name)
        before, after = extent(PREDICTED[name]), extent(TRUTH[name])
        self.hand.move((before.x1, before.y1), (after.x1, after.y1))
        self.hand.press("Escape")

    def part(self, name: str, second: str, path: Sequence[Point]) -> None:
        """Two things in one mask. Polygons are drawn anew: leaving out corners would take longer."""
        if self.mask_as == "polygon":
            self.delete(name)
            self.add(name)
        else:
            self.reshape(name, "e", path)
        if self.pairs:
            self.resize(name)
        self.add(second)

    def add(self, name: str) -> None:
        box, label = extent(TRUTH[name]), TRUTH[name].label
        if self.pairs:
            self.hand.think()
            self.hand.choose("box", label)
            self.hand.move((box.x0, box.y0), (box.x1, box.y1))
            self.hand.press("Escape")
        self.hand.think()
        self.hand.choose(self.control, label)
        middle, radius = _middle(TRUTH[name]), (box.x1 - box.x0) / 2
        if self.mask_as == "polygon":
            self.hand.draw_polygon(_ring(middle, radius * 1.02, 10))
        else:
            self.hand.draw(_spiral(middle, radius))
        self._end()

    def _choose(self, name: str) -> None:
        self.hand.think()
        self.hand.click(_middle(PREDICTED[name]))

    def _choose_mask(self, name: str) -> None:
        """Choose a mask in the list at the side, where a box lies above it."""
        if not self.pairs:
            self._choose(name)
            return
        self.hand.think()
        self.hand.click_listed(f"{self.ids[name]}-mask")

    def _drop_corners(self, name: str) -> None:
        """Leave out the corners that are more than 3 pixels off the true edge."""
        for x, y in self.hand.tab.corners(f"{self.ids[name]}-mask", size=SIZE):
            (cx, cy), box = _middle(TRUTH[name]), extent(TRUTH[name])
            if abs(math.dist((x, y), (cx, cy)) - (box.x1 - box.x0) / 2) > 3:
                self.hand.click((x, y), held="Alt")

    def _end(self) -> None:
        """Let go of the region, and of a tool with which none can be chosen."""
        self.hand.press("Escape")
        if self.hand.tab.tool() in ("BrushTool", "EraserTool"):
            self.hand.press("v")


def _middle(instance: Instance) -> Point:
    box = extent(instance)
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2


def _ring(middle: Point, radius: float, n: int) -> list[Point]:
    angles = [2 * math.pi * (i + 0.5) / n for i in range(n)]
    return [(middle[0] + radius * math.cos(a), middle[1] + radius * math.sin(a)) for a in angles]


def _spiral(middle: Point, radius: float) -> list[Point]:
    """Around inside the edge, then to the middle: what the brush covers is a disc."""
    ring = _ring(middle, radius - TOOL_PX / 2, 8)
    return [*ring, ring[0], middle]


def _arc(middle: Point, radius: float, degrees: float) -> list[Point]:
    """Three pieces on the right side."""
    angles = [math.radians(degrees * share) for share in (-1, -1 / 3, 1 / 3, 1)]
    return [(middle[0] + radius * math.cos(a), middle[1] + radius * math.sin(a)) for a in angles]


EDITS: dict[str, Callable[[Way], None]] = {
    "accept what is right": Way.accept,
    "delete a thing": lambda way: way.delete("false"),
    "delete two": lambda way: way.delete("false too", "false as well"),
    "move a thing": lambda way: way.relocate("shifted"),
    "change a label": lambda way: way.relabel("mislabeled"),
    "cut off a bulge": lambda way: way.reshape("bulging", "e", _arc((420, 220), 45 + 18, 30)),
    "fill a bite": lambda way: way.reshape("bitten", "b", _arc((550, 220), 45 - 18, 35)),
    "resize a box": lambda way: way.resize("loose"),
    "part two in one mask": lambda way: way.part("merged", "parted", _spiral((583, 390), 36 + 2)),
    "add a thing": lambda way: way.add("missing"),
}
WAYS = (
    Way("box and brush mask", True, "brush"),
    Way("brush mask", False, "brush"),
    Way("polygon", False, "polygon"),
)


def measure(way: Way, tab: LabelingPage, client: LabelStudioClient, folder: Path) -> dict[str, Tally]:
    """All edits in one task. Raises AssertionError if what was submitted is not the truth."""
    ref = write_image(folder / "a.png")
    regions = prediction_regions(ref.id, VERSION, list(PREDICTED.values()))
    policy = ShapePolicy(annotate="pairs" if way.pairs else "both", mask_as=way.mask_as)
    project = ensure_project(client, way.name, TAXONOMY, policy=policy)
    sent = _task(ref, regions, serve(client, project, ref), policy)
    (task,) = client.import_tasks(project, [sent])
    tab.open_task(project, task, n_regions=len(sent["predictions"][0]["result"]))
    way.hand, way.ids = Hand(tab), dict(zip(PREDICTED, (one.id for one in regions), strict=True))
    way.hand.prepare(show_corners=way.mask_as == "polygon")
    tallies: dict[str, Tally] = {}
    for name, edit in EDITS.items():
        tallies[name] = way.hand.tally = Tally()
        edit(way)
    tab.submit(task)
    (review,) = decode_task(client.task(task), TAXONOMY).reviews
    _check([one.instance for one in review.annotation.regions], way)
    return tallies


def links(tab: LabelingPage, client: LabelStudioClient, folder: Path) -> Iterator[str]:
    """Try what of a box and a mask is left when the box is deleted, for each way to link them in Label
    Studio."""
    ref = write_image(folder / "a.png")
    regions = prediction_regions(ref.id, VERSION, [PREDICTED["right"]])
    project = ensure_project(client, "links", TAXONOMY)
    for name in ("parentID", "relation"):
        sent = _task(ref, regions, serve(client, project, ref), ShapePolicy())
        mask, box = sent["predictions"][0]["result"]
        if name == "relation":
            del mask["parentID"]
            relation = {"type": "relation", "from_id": box["id"], "to_id": mask["id"], "direction": "right"}
            sent["predictions"][0]["result"].append(relation)
        (task,) = client.import_tasks(project, [sent])
        tab.open_task(project, task, n_regions=2)
        tab.delete(box["id"])
        left = ", ".join(region.type for region in tab.regions()) or "nothing"
        yield f"a box that is linked by {name} is deleted: {left} is left"


def _task(ref: ImageRef, regions: Sequence[Region], url: str, policy: ShapePolicy) -> dict[str, Any]:
    return encode_task(
        ref, SIZE, regions, version=VERSION, taxonomy=TAXONOMY, image_url=url, policy=policy
    ).task


def _check(made: Sequence[Instance], way: Way) -> None:
    """Check that it is the truth, to nine tenths of every shape."""
    left = list(made)
    for name, true in TRUTH.items():
        found = [one for one in left if one.label == true.label and _fits(one, true)]
        assert len(found) == 1, (way.name, name, found)
        left.remove(found[0])
    assert not left, (way.name, left)


def _fits(made: Instance, true: Instance) -> bool:
    masks_fit = true.mask is None or (made.mask is not None and mask_iou(made.mask, true.mask) > 0.9)
    return masks_fit and box_iou(extent(made), extent(true)) > 0.8


def table(measured: dict[str, dict[str, Tally]]) -> Iterator[str]:
    """Movements (clicks, drags and keys) and seconds, as Markdown."""
    yield "| edit | " + " | ".join(measured) + " |"
    yield "|---|" + "---|" * len(measured)
    for edit in EDITS:
        tallies = [of[edit] for of in measured.values()]
        yield f"| {edit} | " + " | ".join(f"{one.movements}, {one.seconds:.1f} s" for one in tallies) + " |"
    sums = [list(of.values()) for of in measured.values()]
    totals = (f"{sum(t.movements for t in of)}, {sum(t.seconds for t in of):.1f} s" for of in sums)
    yield "| all ten | " + " | ".join(totals) + " |"


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        server = EmbeddedLabelStudio(Path(scratch))
        try:
            connection = server.up()
            with (
                LabelStudioClient(connection.url, connection.token) as client,
                labeling_page(connection, height=1000) as tab,
            ):
                folder = Path(scratch) / "images"
                measured = {way.name: measure(way, tab, client, folder) for way in WAYS}
                linked = list(links(tab, client, folder))
        finally:
            server.down()
    print(*table(measured), "", *linked, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
