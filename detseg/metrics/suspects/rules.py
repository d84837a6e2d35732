"""The rules about labels: name, words for the page, what such a label costs, and the function that finds it.

A new rule is a function that yields findings, and a row here; ``docs/suspects.md`` says what triggers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detseg.metrics.suspects.contours import find_contours, find_over_smoothed
from detseg.metrics.suspects.evidence import (
    find_misplaced,
    find_missed,
    find_other_sizes,
    find_unseen,
    find_wrong_label,
)
from detseg.metrics.suspects.labels import find_duplicate, find_outside_taxonomy, find_too_fast
from detseg.metrics.suspects.scene import FindingsOf
from detseg.metrics.suspects.shapes import find_box_mask_apart, find_degenerate, find_out_of_frame, find_tiny


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that may be wrong with a label.

    ``words`` say it in a few words. ``cost`` is what such a label costs if it stays, as a share of the worst:
    1.0: it teaches the model that an object is none or another, or no training code takes it; 0.7: the object
    is there, and misplaced or counted twice; 0.5: nothing is known to be wrong, but nobody looked; 0.4: some
    pixels of an outline. ``find`` looks at one image, and may find for several rules, as others may for its
    own.
    """

    name: str
    words: str
    cost: float
    find: FindingsOf


RULES = (
    Rule("degenerate", "no area", 1.0, find_degenerate),
    Rule("out_of_frame", "leaves the image", 0.7, find_out_of_frame),
    Rule("tiny", "too small to be meant", 0.4, find_tiny),
    Rule("duplicate", "drawn twice", 0.7, find_duplicate),
    Rule("oversized", "far too large", 0.7, find_other_sizes),
    Rule("partial", "covers only a part", 0.7, find_other_sizes),
    Rule("misplaced", "badly placed", 0.7, find_misplaced),
    Rule("box_mask_apart", "box and mask disagree", 0.7, find_box_mask_apart),
    Rule("outside_taxonomy", "not a class of the project", 1.0, find_outside_taxonomy),
    Rule("specks", "stray specks", 0.4, find_contours),
    Rule("holes", "unfilled holes", 0.4, find_contours),
    Rule("jagged", "jagged outline", 0.4, find_contours),
    Rule("over_smoothed", "outline too smooth", 0.4, find_over_smoothed),
    Rule("too_fast", "accepted faster than a look takes", 0.5, find_too_fast),
    Rule("empty_though_sure", "empty, though the model is sure", 1.0, find_missed),
    Rule("missed", "probably missing", 1.0, find_missed),
    Rule("wrong_label", "probably another class", 1.0, find_wrong_label),
    Rule("unseen", "nobody else sees it", 0.7, find_unseen),
)

RULE_OF: Mapping[str, Rule] = {rule.name: rule for rule in RULES}
