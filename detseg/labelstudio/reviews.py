"""A task's annotations as reviews, whatever is in them: what cannot be read is said, and the rest is kept.

A review with something unread is incomplete. It says that a person worked there, but not all of what they
said: it is kept and counted, but nothing is measured with it until the rest can be read. Answers do not make
it so (choices, texts, key points, relations, and what is about another image of the task): they are counted,
and stay in Label Studio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from detseg.errors import FormatError
from detseg.labelstudio.fields import describe, get_number, quote
from detseg.labelstudio.listing import UNSHOWN
from detseg.labelstudio.regions import ReadRegions, read_regions
from detseg.labelstudio.session import Json
from detseg.taxonomy import Taxonomy
from detseg.types import Annotation, ImageId, Size, State

SIMULATED_EMAIL = "simulated-reviewer@detseg.invalid"
"""The user in whose name simulated reviews are submitted; a made-up address by RFC 2606."""

SIMULATED_AUTHOR = "simulated-reviewer"

_AT_ONCE = timedelta(seconds=1)
"""A request that makes an annotation dates its making and its last change microseconds apart."""


@dataclass(frozen=True, slots=True)
class Target:
    """The image and labels that a task of ours is about, as the catalog knows them. ``sent`` are our labels
    by result id.

    ``image_name`` is the tag of the interface that shows the image; None where there is no other image.
    """

    image: ImageId
    size: Size
    sent: Mapping[str, str]
    image_name: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One annotation. ``created_at`` tells it from another that was given its number.

    ``unread`` has a line for every result of it that cannot be read.

    ``n_answers`` are results that are no shapes. ``is_edited``: somebody else than the annotation's owner
    changed it last, and is its author.
    """

    annotation_id: int
    created_at: datetime
    annotation: Annotation
    unread: tuple[str, ...] = ()
    n_answers: int = 0
    is_edited: bool = False

    @property
    def simulated(self) -> bool:
        return self.annotation.author == SIMULATED_AUTHOR


def read_reviews(task: Json, target: Target, taxonomy: Taxonomy) -> tuple[Reading, ...]:
    """Read what people made of a task, by ascending annotation id. Never raises for what they wrote.

    The task, its annotations, their numbers and dates are the server's, as ``TaskReader`` gives them. Skipped
    annotations have no regions, whatever their result holds. Of a task whose data is not about the target any
    more (another image, another size) nothing is read.
    """
    problem = _mismatch(task["data"], target)
    readings = []
    for entry in sorted(task["annotations"], key=lambda annotation: int(annotation["id"])):
        where = f"task {task['id']}, annotation {entry['id']}"
        skipped, results = entry.get("was_cancelled"), entry.get("result")
        if skipped is True:
            read = ReadRegions()
        elif skipped not in (False, None):
            read = ReadRegions(unread=(f"{where}: its 'was_cancelled' is {describe(skipped)}",))
        elif UNSHOWN in entry:
            read = ReadRegions(
                unread=(
                    f"{where}: Label Studio fails to show it (it holds text that is no Unicode, a number "
                    "that is none, or more than can be read): delete it there "
                    f"(DELETE /api/annotations/{entry['id']}/)",
                )
            )
        elif problem:
            read = ReadRegions(unread=(f"{where}: {problem}",) if results else ())
        else:
            read = read_regions(
                results,
                target.size,
                taxonomy,
                sent=target.sent,
                where=where,
                image_name=target.image_name,
            )
        created_at = datetime.fromisoformat(entry.get("created_at") or entry["updated_at"])
        annotation, editor = _annotation(entry, target, read), _editor(entry, created_at)
        if editor is not None:  # nobody says how much of the time was whose
            annotation = replace(annotation, author=f"user-{editor}", lead_time_s=None)
        readings.append(
            Reading(
                int(entry["id"]),
                created_at,
                annotation,
                read.unread,
                read.n_answers,
                is_edited=editor is not None,
            )
        )
    return tuple(readings)


def _mismatch(data: Json, target: Target) -> str:
    """Say why the task's data is not about the target; empty if it is."""
    image, width, height = (data.get(name) for name in ("image_id", "width", "height"))
    if image != target.image:
        now = quote(image[:19]) if isinstance(image, str) else describe(image)
        return (
            f"the task was pushed for another image than its data's image_id says now ({now}): put back "
            f"image_id {target.image}, width {target.size.width}, height {target.size.height} and the image"
        )
    if (width, height) != (target.size.width, target.size.height):
        return (
            f"the image is {target.size}, the task's data says another width or height now: the image was "
            "replaced, or put width and height back"
        )
    return ""


def _annotation(entry: Json, target: Target, read: ReadRegions) -> Annotation:
    there = read.regions or read.unread
    state: State = "skipped" if entry.get("was_cancelled") is True else "labeled" if there else "empty"
    return Annotation(
        image=target.image,
        size=target.size,
        author=_author(entry),
        state=state,
        regions=read.regions,
        lead_time_s=_lead_time_s(entry),
        updated_at=datetime.fromisoformat(entry["updated_at"]),
    )


def _lead_time_s(entry: Json) -> float | None:
    """Read how long somebody worked; None where nobody says, and for what is no time that anybody works."""
    try:
        lead_time_s = get_number(entry, "lead_time")
    except FormatError:
        return None
    return lead_time_s if lead_time_s >= 0 else None


def _editor(entry: Json, created_at: datetime) -> int | None:
    """Return who changed the annotation after it was made, if that is not its owner; else None.

    Label Studio notes there also who marks it as ground truth, which changes nothing of it.
    """
    editor, (owner, _) = entry.get("updated_by"), _owner(entry)
    is_another = type(editor) is int and editor != owner and entry.get("ground_truth") is not True
    later = datetime.fromisoformat(entry["updated_at"]) - created_at > _AT_ONCE
    return editor if is_another and later else None


def _owner(entry: Json) -> tuple[object, object]:
    """The number and, in some answers, the address of the person who made the annotation."""
    person = entry.get("completed_by")
    return (person.get("id"), person.get("email")) if isinstance(person, dict) else (person, None)


def _author(entry: Json) -> str:
    """``user-<id>``: no names of people are kept. A simulated review is told by its user's address."""
    (number, email), username = _owner(entry), entry.get("created_username")
    # Lists of tasks give the id alone, and the address within "First Last address, id".
    words = username.split() if isinstance(username, str) else ()
    if email == SIMULATED_EMAIL or f"{SIMULATED_EMAIL}," in words:
        return SIMULATED_AUTHOR
    return f"user-{number if type(number) is int else None}"
