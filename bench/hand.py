"""A hand on mouse and keyboard in Label Studio's page, whose movements are counted and timed.

Seconds are those of the keystroke-level model (Card, Moran and Newell, "The keystroke-level model for user
performance time with interactive systems", CACM 23, 1980; the mouse's button as in Kieras, "Using the
keystroke-level model to estimate execution times", 1993). The left hand stays on the keyboard, the right
one on the mouse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.e2e.page import LabelingPage
from tests.labelstudio.scenes import SIZE

KEY_S, POINT_S, BUTTON_S = 0.28, 1.1, 0.1
"""Of a key, of pointing somewhere, of pressing or releasing the mouse's button."""

THINK_S = 1.35
"""Of choosing what to work on, a tool or a label."""

PIECE_S, CM_S = 0.9, 0.16
"""Of drawing: of each straight piece, and of each cm."""

PX_PER_CM = 96 / 2.54
TOOL_PX = 34
"""The width of brush and eraser in pixels of the image, set once before."""

_WIDEN = """width => Object.values(
    window.Htx.annotationStore.selected.names.get("image").getToolsManager().tools
).forEach(tool => tool.setStroke?.(width))"""

Point = tuple[float, float]


@dataclass(slots=True)
class Tally:
    """The movements of the hand for one edit, and the seconds of hand and head."""

    clicks: int = 0
    drags: int = 0
    keys: int = 0
    seconds: float = 0.0

    @property
    def movements(self) -> int:
        return self.clicks + self.drags + self.keys


@dataclass(slots=True)
class Hand:
    """Mouse and keyboard in the page, counted. Places are pixels of the image."""

    tab: LabelingPage
    tally: Tally = field(default_factory=Tally)

    def think(self) -> None:
        self.tally.seconds += THINK_S

    def click(self, place: Point, *, held: str = "", again: bool = False) -> None:
        """Click there, with a key held down or not; ``again`` where the mouse is already."""
        if held:
            self._count_key()
        self.tab.click(place, size=SIZE, held=held)
        self.tally.clicks += 1
        self.tally.seconds += 2 * BUTTON_S + (0.0 if again else POINT_S)

    def move(self, start: Point, end: Point) -> None:
        """Take hold of something and put it elsewhere."""
        self.tab.drag(start, end, size=SIZE)
        self.tally.drags += 1
        self.tally.seconds += 2 * (POINT_S + BUTTON_S)

    def draw(self, path: Sequence[Point]) -> None:
        """Draw along straight pieces with the button held down."""
        self.tab.draw_along(path, size=SIZE)
        on_screen = [self.tab.on_screen(*point, size=SIZE) for point in path]
        length_cm = sum(math.dist(a, b) for a, b in pairwise(on_screen)) / PX_PER_CM
        self.tally.drags += 1
        self.tally.seconds += POINT_S + 2 * BUTTON_S + PIECE_S * (len(path) - 1) + CM_S * length_cm

    def click_listed(self, region_id: str) -> None:
        """Click a region in the list at the side."""
        self.tab.select(region_id)
        self.tally.clicks += 1
        self.tally.seconds += POINT_S + 2 * BUTTON_S

    def prepare(self, *, show_corners: bool) -> None:
        """Make brushes and erasers wide, and let polygons show their corners: both are done once."""
        across = math.dist(*(self.tab.on_screen(x, 0, size=SIZE) for x in (0, SIZE.width)))
        self.tab.page.evaluate(_WIDEN, TOOL_PX * across / SIZE.width)
        if show_corners and self.tab.tool() == "MoveTool":
            self.tab.page.keyboard.press("v")

    def draw_polygon(self, corners: Sequence[Point]) -> None:
        """Click the corners and the first again."""
        self.tab.draw_polygon(corners, size=SIZE)
        self.tally.clicks += len(corners) + 1
        self.tally.seconds += (POINT_S + 2 * BUTTON_S) * (len(corners) + 1)

    def press(self, key: str) -> None:
        self._count_key()
        self.tab.page.keyboard.press(key)

    def choose(self, control: str, label: str) -> None:
        """The key of a label, which the page shows beside it: what is drawn next is of it."""
        self._count_key()
        self.tab.choose(control, label)

    def _count_key(self) -> None:
        self.tally.keys += 1
        self.tally.seconds += KEY_S
