"""Rules about how a review came about."""

from __future__ import annotations

from collections.abc import Iterator

from detseg.metrics.suspects.options import sureness
from detseg.metrics.suspects.scene import Finding, Scene
from detseg.plurals import format_count


def find_too_fast(scene: Scene) -> Iterator[Finding]:
    """Reviews that took less time than looking at every region once.

    The regions are those that were shown, or those that are there now if these are more.
    """
    took_s = scene.truth.lead_time_s
    n_regions = max(len(scene.case.shown), len(scene.truth.regions))
    needed_s = scene.options.glance_s + scene.options.fixation_s * n_regions
    if took_s is not None and 0.0 <= took_s < needed_s:
        reason = (
            f"{format_count(n_regions, 'region')} in {took_s:.1f} s: looking at each takes {needed_s:.1f} s"
        )
        yield Finding("too_fast", sureness(took_s, even=needed_s, certain=0.0), reason)
