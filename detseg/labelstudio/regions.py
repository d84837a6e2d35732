"""The regions in an annotation's ``result``, whatever is in it: every result is read, counted, or said.

    read = read_regions(results, size, taxonomy, sent=..., where="task 5, annotation 3")
    read.regions, read.unread, read.n_answers

The one door for what other people's programs and pages write. It takes any JSON, raises nothing, and is
bounded in memory and time by the image's size: values become numbers, texts and lists of their kind first
(``detseg.labelstudio.fields``), then shapes (``detseg.labelstudio.values``), then regions.

A result is a shape of ours (``SHAPES``, with its label in it or in a ``labels`` result of the same id), or an
answer: a choice, a text, a key point, a relation, of a tag that we do not know, or about another image of the
task. Answers say nothing of what is where: they are counted, and stay in Label Studio. A shape that covers
none of the image is nothing.

Where the page turned the image (``image_rotation``), values are those of the image as it is, not as it is
shown: the editor turns the stage that it draws on, and writes what is below.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detseg.errors import FormatError
from detseg.labelstudio.fields import describe, get_number, get_object, is_name, quote
from detseg.labelstudio.joining import Half, join_halves, read_links
from detseg.labelstudio.values import SHAPES, crossing_budget, decode_value
from detseg.taxonomy import Taxonomy
from detseg.types import Box, Instance, Mask, Region, RegionId, Size

Json = dict[str, Any]

_MOST_SHAPES = 10_000
"""Of an annotation. Pages freeze long before."""

_MOST_RUNS, _MOST_RUNS_PER_PIXEL = 1_000_000, 8
"""Of all masks of an annotation together. Objects lie beside each other, so that theirs are fewer."""

_MOST_BITMASKS = 1_000
"""Of an annotation, each of which is decoded as a whole, however few bytes it has."""

_MOST_LINES = 20

_LABELS = "labels"


@dataclass(frozen=True, slots=True)
class ReadRegions:
    """``unread`` has a line for each result that cannot be read, up to 20 and one that counts the others.

    ``n_answers`` are results that are no shapes, ``n_empty`` are shapes that cover none of the image.
    """

    regions: tuple[Region, ...] = ()
    unread: tuple[str, ...] = ()
    n_answers: int = 0
    n_empty: int = 0


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A result that is to be a shape, its value not looked at. ``place`` is what errors call it."""

    id: str
    type: str
    fields: Json
    place: str


def read_regions(
    results: Any,
    size: Size,
    taxonomy: Taxonomy,
    *,
    sent: Mapping[str, str],
    where: str,
    image_name: str | None = None,
) -> ReadRegions:
    """The regions of a ``result`` in the order in which they come. Never raises.

    ``image_name`` is the image's tag, None where the task has no other image. ``sent`` gives the label that
    we sent by result id. If an annotator relabeled one half of a thing, the whole is relabeled. A mask
    without foreground is nothing: a box keeps without it, alone it is gone.
    """
    if not isinstance(results, list | None):
        return ReadRegions(unread=(f"{where}: its result is {describe(results)}, expected a list",))
    numbered = list(enumerate(results or [], 1))
    here = [(number, entry) for number, entry in numbered if _is_on(image_name, entry)]
    drawn, answers, unread = _sort_out(here, where)
    names = _names_beside(answers, {one.id for one in drawn})
    n_answers = len(numbered) - len(here) + len(answers) - sum(map(len, names.values()))
    if len(drawn) > _MOST_SHAPES:
        line = f"{where}: it has {len(drawn)} regions, more than {_MOST_SHAPES} are not read"
        return ReadRegions(unread=(line,), n_answers=n_answers)
    halves, more = _read_halves(drawn, names, size, taxonomy)
    n_empty = len(drawn) - len(halves) - len(more)
    unread += more
    by_key: dict[tuple[str, type[Box | Mask]], list[Half]] = {}
    for half in halves:
        by_key.setdefault((half.region_id, type(half.shape)), []).append(half)
    unread += [
        f"{where}: {len(same)} results have the id {same[0].result_id}"
        for same in by_key.values()
        if len(same) > 1
    ]
    if len(unread) > _MOST_LINES:
        unread[_MOST_LINES:] = [f"{where}: {len(unread) - _MOST_LINES} more cannot be read"]
    things = frozenset(cls.name for cls in taxonomy.of_kind("thing"))
    groups = join_halves(
        [same[0] for same in by_key.values() if len(same) == 1],
        read_links([*(one.fields for one in drawn), *answers]),
        things,
    )
    regions = tuple(_join(group, taxonomy, sent) for group in groups)
    return ReadRegions(regions, tuple(unread), n_answers, n_empty)


def _is_on(image_name: str | None, entry: Any) -> bool:
    """Tell whether a result may be about the image: it names no other tag, and no other image of a list."""
    if not isinstance(entry, dict):
        return True  # which is said where it is read
    names = (None, image_name or entry.get("to_name"))
    return entry.get("to_name") in names and entry.get("item_index") in (None, 0)


def _sort_out(results: Sequence[tuple[int, Any]], where: str) -> tuple[list[_Drawn], list[Json], list[str]]:
    """Numbered results: those that are to be shapes, those that are answers, and a line for each other."""
    drawn: list[_Drawn] = []
    answers: list[Json] = []
    unread: list[str] = []
    for number, entry in results:
        if not isinstance(entry, dict):
            unread.append(f"{where}, result {number}: it is {describe(entry)}, expected an object")
            continue
        type_, id_ = entry.get("type"), entry.get("id")
        place = f"{where}, region {id_}" if is_name(id_) else f"{where}, result {number}"
        if not isinstance(type_, str):
            unread.append(f"{place}: its 'type' is {describe(type_)}, expected text")
        elif type_.removesuffix(_LABELS) not in SHAPES:
            answers.append(entry)
        elif id_ is None or is_name(id_):
            drawn.append(_Drawn(id_ or f"result-{number}", type_, entry, place))
        else:
            unread.append(
                f"{place}: its 'id' is {describe(id_)}, expected a short text without odd characters"
            )
    return drawn, answers, unread


def _names_beside(answers: Sequence[Json], ids: Collection[str]) -> dict[str, list[Any]]:
    """The labels in each ``labels`` result that stands beside a shape of its id."""
    beside: dict[str, list[Any]] = {}
    for entry in answers:
        id_, value = entry.get("id"), entry.get("value")
        if entry["type"] == _LABELS and isinstance(id_, str) and id_ in ids:
            beside.setdefault(id_, []).append(value.get(_LABELS) if isinstance(value, dict) else None)
    return beside


def _read_halves(
    drawn: Sequence[_Drawn], beside: Mapping[str, Sequence[Any]], size: Size, taxonomy: Taxonomy
) -> tuple[list[Half], list[str]]:
    """The shapes that cover some of the image, and a line for each that cannot be read."""
    halves: list[Half] = []
    unread: list[str] = []
    n_runs, most_runs = 0, _MOST_RUNS + _MOST_RUNS_PER_PIXEL * size.area
    n_bitmasks, budget = 0, crossing_budget(size)
    for one in drawn:
        try:
            type_, value = one.type.removesuffix(_LABELS), get_object(one.fields, "value")
            n_bitmasks += type_ == "bitmask"
            if type_ == "bitmask" and n_bitmasks > _MOST_BITMASKS:
                raise FormatError(f"more than {_MOST_BITMASKS:,} bitmasks in an annotation are not read")
            shape = decode_value(type_, value, size, budget)
            if not shape.area:
                continue
            n_runs += len(shape.counts) if isinstance(shape, Mask) else 0
            if n_runs > most_runs:
                raise FormatError("it and the masks before it are too ragged together")
            label = _read_label([value.get(one.type), *beside.get(one.id, ())], taxonomy)
            _check_size(one.fields, size)
        except FormatError as error:
            unread.append(f"{one.place}: {error}")
        else:
            halves.append(Half(one.id, label, shape, _read_score(one.fields)))
    return halves, unread


def _read_label(chosen: Sequence[Any], taxonomy: Taxonomy) -> str:
    """The one name in the lists of a region's labels, which is a class."""
    names = [name for one in chosen if isinstance(one, list) for name in one]
    if len(names) != 1 or not isinstance(names[0], str):
        raise FormatError("a region has one label: open the task and give it one")
    cls = taxonomy.find(names[0])
    if cls is None or cls.name != names[0]:
        raise FormatError(
            f"the label {quote(names[0])} is none of the classes ({', '.join(taxonomy.names)}): add it to "
            "[[classes]], or where there are none to the labeling interface, or relabel the region"
        )
    return cls.name


def _check_size(fields: Json, size: Size) -> None:
    """Raises FormatError for what was drawn on an image of another size. Programs may leave the size out."""
    stated = [fields.get("original_width"), fields.get("original_height")]
    if any(side not in (None, own) for side, own in zip(stated, (size.width, size.height), strict=True)):
        width, height = (side if type(side) is int and side < 10**9 else "?" for side in stated)
        raise FormatError(
            f"drawn on an image of {width}x{height}, but the task was made for {size}: the image was "
            "replaced: put it back, or delete the task (the new one gets a task of its own)"
        )


def _read_score(fields: Json) -> float | None:
    """The model's score that a region of ours came back with; None also for what is no score."""
    try:
        score = get_number(fields, "score")
    except FormatError:
        return None
    return score if 0 <= score <= 1 else None


def _join(halves: Sequence[Half], taxonomy: Taxonomy, sent: Mapping[str, str]) -> Region:
    box = next((half.shape for half in halves if isinstance(half.shape, Box)), None)
    mask = next((half.shape for half in halves if isinstance(half.shape, Mask)), None)
    changed = [half.label for half in halves if half.label != sent.get(half.result_id, half.label)]
    label = changed[0] if changed else halves[0].label
    first = next((half for half in halves if half.is_models), halves[0])
    score = next((half.score for half in halves if half.score is not None), None) if first.is_models else None
    instance = Instance(label, taxonomy[label].kind, box, mask, score)
    return Region(RegionId(first.region_id), "model" if first.is_models else "person", instance)
