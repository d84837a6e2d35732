"""The chart of the study's page: minutes per image by round, in both arms, as SVG with colours of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HAND, _HELP = "#8a8f98", "#2f6fdb"
_INK, _SOFT = "#1f2328", "#59606a"


def draw_minutes(results: Sequence[Mapping[str, Any]], file: Path) -> None:
    """A panel for each data set and way of drawing; bars of both arms by round, labeled with the saving."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = [(one, way) for one in results for way in one["ways"]]
    style: Any = {
        "svg.hashsalt": "detseg",
        "svg.fonttype": "none",
        "font.size": 10,
        "text.color": _INK,
        "axes.labelcolor": _SOFT,
    }
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(3.4 * len(panels) + 0.4, 3.1), squeeze=False, layout="constrained"
        )
        for axis, (one, way) in zip(axes[0], panels, strict=True):
            _paint(axis, one["ways"][way])
            axis.set_title(f"{one['name']}, {way}", fontsize=11, loc="left")
        axes[0][0].set_ylabel("minutes per image (simulated)")
        handles, names = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, facecolor="white", metadata={"Date": None} if file.suffix == ".svg" else None)
        plt.close(figure)


def _paint(axis: Axes, way: Mapping[str, Any]) -> None:
    hand, helped = way["minutes_by_hand"], way["minutes_with_help"]
    first = way["minutes_first_round"]
    places = range(1, len(hand) + 1)
    axis.bar([0, *(place - 0.2 for place in places)], [first, *hand], 0.38, color=_HAND, label="by hand")
    axis.bar([place + 0.2 for place in places], helped, 0.38, color=_HELP, label="with help")
    for place, slow, quick in zip(places, hand, helped, strict=True):
        saved = 100.0 * (1.0 - quick / slow)
        axis.annotate(
            f"{-saved:+.0f} %".replace("-", "\N{MINUS SIGN}"),
            (place + 0.02, quick),
            xytext=(0, 3),
            textcoords="offset points",
            ha="left",
            fontsize=8.5,
            color=_HELP,
        )
    axis.set_xticks([0, *places], ["first labels", *(f"round {place}" for place in places)])
    axis.set_ylim(0.0, 1.12 * max(first, *hand))
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axis.spines[side].set_color("#c9ced6")
    axis.tick_params(length=0, labelsize=9, labelcolor=_SOFT)
