"""A task's annotations as reviews, whatever is in them: what cannot be read is said, and the rest is kept.

A review with something unread is incomplete. It says that a person worked there, but not all of what they
said: it is kept and counted, but nothing is measured with it until the rest can be read. Answers that are no
shapes (choices, texts, ratings) say nothing of what is where: they are counted, and stay in Label Studio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from detseg.errors import FormatError
from detseg.labelstudio.results import decode_results
from detseg.labelstudio.session import Json
from detseg.taxonomy import Taxonomy
from detseg.types import Annotation, ImageId, Region, Size, State

SIMULATED_EMAIL = "simulated-reviewer@detseg.invalid"
"""The user in whose name simulated reviews are submitted; a made-up address by RFC 2606."""

SIMULATED_AUTHOR = "simulated-reviewer"

_ANSWERS = frozenset(
    ("choices", "datetime", "number", "pairwise", "ranker", "rating", "taxonomy", "textarea")
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a task of ours is about, as the catalog knows it. ``sent`` are our labels by result id."""

    image: ImageId
    size: Size
    sent: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """One annotation. ``unread`` has a line for every result of it that cannot be read.

    ``n_answers`` are results that are no shapes.
    """

    annotation_id: int
    annotation: Annotation
    unread: tuple[str, ...] = ()
    n_answers: int = 0

    @property
    def simulated(self) -> bool:
        return self.annotation.author == SIMULATED_AUTHOR


def read_reviews(task: Json, target: Target, taxonomy: Taxonomy) -> tuple[Reading, ...]:
    """What people made of a task, by ascending annotation id. Never raises for what they drew.

    Skipped annotations have no regions, whatever their result holds. Of a task whose data is not about the
    target any more (another image, another size) nothing is read.
    """
    where = f"task {task['id']}"
    problem = _mismatch(task["data"], target)
    readings = []
    for entry in sorted(task["annotations"], key=lambda annotation: int(annotation["id"])):
        place = f"{where}, annotation {entry['id']}"
        results: Sequence[Json] = () if entry.get("was_cancelled") else entry.get("result") or ()
        shapes = [result for result in results if result.get("type") not in _ANSWERS]
        regions, unread = _read_results(shapes, target, taxonomy, place, problem=problem)
        annotation = _annotation(entry, target, regions, unread)
        readings.append(Reading(int(entry["id"]), annotation, unread, len(results) - len(shapes)))
    return tuple(readings)


def _mismatch(data: Json, target: Target) -> str:
    """Why the task's data is not about the target; empty if it is."""
    if data.get("image_id") != target.image:
        return (
            f"the task was pushed for image {target.image[:19]}, its data now says "
            f"{str(data.get('image_id'))[:19]}: put image_id and image back"
        )
    stated = (data.get("width"), data.get("height"))
    if stated != (target.size.width, target.size.height):
        return (
            f"the image is {target.size}, the task's data now says {stated[0]}x{stated[1]}: the image was "
            "replaced, or put width and height back"
        )
    return ""


def _read_results(
    results: Sequence[Json], target: Target, taxonomy: Taxonomy, place: str, *, problem: str
) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    """The regions that can be read, and a line for each result that cannot."""
    if problem:
        return (), (f"{place}: {problem}",) if results else ()

    def decode(some: Sequence[Json]) -> tuple[Region, ...]:
        return decode_results(some, target.size, taxonomy, sent=target.sent, where=place)

    try:
        return decode(results), ()
    except FormatError as error:
        whole = str(error)
    readable, unread = [], []
    for result in results:
        try:
            decode([result])
            readable.append(result)
        except FormatError as error:
            unread.append(str(error))
    try:
        return decode(readable), tuple(unread)
    except FormatError as error:  # each alone is well, together they are not
        return (), (*unread, str(error) if unread else whole)


def _annotation(
    entry: Mapping[str, Any], target: Target, regions: tuple[Region, ...], unread: tuple[str, ...]
) -> Annotation:
    state: State = "skipped" if entry.get("was_cancelled") else "labeled" if regions or unread else "empty"
    return Annotation(
        image=target.image,
        size=target.size,
        author=_author(entry),
        state=state,
        regions=regions,
        lead_time_s=None if entry.get("lead_time") is None else float(entry["lead_time"]),
        updated_at=datetime.fromisoformat(entry["updated_at"]),
    )


def _author(entry: Mapping[str, Any]) -> str:
    """``user-<id>``: no names of people are kept. A simulated review is told by its user's address."""
    person = entry.get("completed_by")
    number, email = (person.get("id"), person.get("email")) if isinstance(person, Mapping) else (person, None)
    # Lists of tasks give the id alone, and the address within "First Last address, id".
    if email == SIMULATED_EMAIL or f"{SIMULATED_EMAIL}," in str(entry.get("created_username")).split():
        return SIMULATED_AUTHOR
    return f"user-{number}"
