"""Images that are worth showing: of every kind of edit in every class a bad and an ordinary one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from statistics import median_low
from typing import Literal

from detseg.metrics.cases import Case
from detseg.report.pictures import seen_alone
from detseg.types import EDIT_KINDS, Edit, EditKind, ImageId

Why = Literal["worst", "typical", "disagreement", "perfect"]

_Stratum = tuple[EditKind, str]


@dataclass(frozen=True, slots=True)
class Example:
    """An image to show, and what for: an edit of a class, models that disagree, or nothing to correct."""

    image: ImageId
    why: Why
    kind: EditKind | None = None
    label: str | None = None


@dataclass(slots=True)
class ExampleTally:
    """Chooses among all cases of arms assisted and gold; keeps some numbers of each image.

    >>> ExampleTally().result(limit=60)
    ()
    """

    _strata: dict[_Stratum, list[tuple[float, ImageId]]] = field(default_factory=lambda: defaultdict(list))
    _disputed: list[tuple[int, ImageId]] = field(default_factory=list)
    _perfect: list[tuple[int, ImageId]] = field(default_factory=list)

    def add(self, case: Case, edits: Sequence[Edit]) -> None:
        """``edits`` are those from what was shown to the case's truth."""
        if case.truth is None or case.arm not in ("assisted", "gold"):
            return
        badness: dict[_Stratum, float] = {}
        for edit in edits:
            region = edit.before or edit.after
            if edit.kind != "kept" and region is not None:
                stratum: _Stratum = (edit.kind, region.instance.label)
                badness[stratum] = _worse(badness.get(stratum), edit)
        for stratum, value in badness.items():
            self._strata[stratum].append((round(value, 4), case.image))
        n_disputed = len(seen_alone([region.instance for region in case.prediction.regions]))
        if n_disputed:
            self._disputed.append((n_disputed, case.image))
        if edits and not badness:
            self._perfect.append((len(edits), case.image))

    def result(self, *, limit: int = 60) -> tuple[Example, ...]:
        """At most ``limit`` images, each once, sorted by kind of edit and frequency of the class.

        A tenth of the places goes to images on which models disagree and a tenth to those without a change,
        as far as there are such. The order in which the cases came does not matter.
        """
        apart = max(1, limit // 10) if limit else 0
        edited = _first(_turns(self._strata), limit)
        disputed = _first(_ranked(self._disputed, "disagreement"), apart)
        perfect = _first(_ranked(self._perfect, "perfect"), apart)
        disputed = [e for e in disputed if e.image not in {x.image for x in edited[: limit - 2 * apart]}]
        room = limit - len(disputed) - len(perfect)
        chosen = _first([*edited[: max(room, 0)], *disputed, *perfect], limit)
        return tuple(sorted(chosen, key=self._order))

    def _order(self, example: Example) -> tuple[int, int, int, str, str]:
        if example.kind is None:
            return len(EDIT_KINDS), example.why == "perfect", 0, "", example.image
        label = example.label or ""
        often = -len(self._strata[example.kind, label])
        return EDIT_KINDS.index(example.kind), 0, often, label, example.image


def _worse(so_far: float | None, edit: Edit) -> float:
    """Rate the edits of one kind and class on an image: the worst of them, or how many were added."""
    if edit.kind == "added":
        return (so_far or 0.0) + 1.0
    score = edit.before.instance.score if edit.before is not None else None
    if edit.kind in ("moved", "reshaped"):
        value = 1.0 - (edit.iou if edit.iou is not None else 0.0)
    else:
        value = score if score is not None else 0.0
    return max(value, so_far or 0.0)


def _turns(strata: dict[_Stratum, list[tuple[float, ImageId]]]) -> Iterator[Example]:
    """The worst of every stratum, then a typical one of each, then the next worst, and so on."""
    order = sorted(strata, key=lambda s: (-len(strata[s]), EDIT_KINDS.index(s[0]), s[1]))
    queues = [list(_queue(strata[stratum])) for stratum in order]
    for turn in zip_longest(*queues):
        for (kind, label), entry in zip(order, turn, strict=True):
            if entry is not None:
                why, image = entry
                yield Example(image, why, kind, label)


def _queue(entries: Sequence[tuple[float, ImageId]]) -> Iterator[tuple[Why, ImageId]]:
    """The images of one stratum: by badness, with the one in the middle in the second place."""
    ranked = [image for _, image in sorted(entries, key=lambda entry: (-entry[0], entry[1]))]
    typical = ranked[median_low(range(len(ranked)))]
    yield "worst", ranked[0]
    if typical != ranked[0]:
        yield "typical", typical
    for image in ranked[1:]:
        if image != typical:
            yield "worst", image


def _ranked(entries: Sequence[tuple[int, ImageId]], why: Why) -> Iterator[Example]:
    for _, image in sorted(entries, key=lambda entry: (-entry[0], entry[1])):
        yield Example(image, why)


def _first(examples: Iterable[Example], limit: int) -> list[Example]:
    """The first examples of ``limit`` different images."""
    found: dict[ImageId, Example] = {}
    for example in examples:
        if len(found) >= limit:
            break
        found.setdefault(example.image, example)
    return list(found.values())
