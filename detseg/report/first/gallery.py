"""The gallery: which reviewed images are worth a look, and their pictures as data URIs of bounded size."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from detseg.errors import ImageError
from detseg.report.corrected import corrected_panel
from detseg.report.first.data import GalleryItem
from detseg.report.pictures import PanelSize, instances_panel, scale_to, seen_alone
from detseg.report.sheet import Panel
from detseg.report.wording import describe_edit, format_count, format_seconds
from detseg.taxonomy import Taxonomy
from detseg.types import EDIT_KINDS, Edit, EditKind, Instance

Reason = Literal["most edited", "models disagree", "nothing to correct", "reviewed"]

_MARKS = {
    (False, "dashed"): "dashed: only the detector saw it",
    (False, "dotted"): "dotted: only the segmenter saw it",
    (True, "dotted"): "hatched: only the segmenter saw it",
    (True, "dashed"): "hatched: only the detector saw it",
}
_QUALITIES = ((520, 82), (520, 60), (360, 55), (240, 45))
"""Panel width in pixels and WebP quality, best first: the first that keeps to the budget is taken."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One panel of a card. ``uri`` is a data URI."""

    title: str
    uri: str
    width: int
    height: int
    alt: str
    note: str


@dataclass(frozen=True, slots=True)
class Change:
    """One edit, in words."""

    kind: EditKind
    text: str


@dataclass(frozen=True, slots=True)
class Card:
    """One image of the gallery. ``failure`` says why there are no pictures."""

    name: str
    reason: Reason
    pictures: tuple[Picture, ...]
    changes: tuple[Change, ...]
    n_kept: int
    state: str
    lead_time_s: float | None
    task_url: str | None
    failure: str | None = None

    @property
    def facts(self) -> str:
        """The state, where it is not the ordinary one, and the time."""
        state = "" if self.state == "labeled" else self.state
        time = "" if self.lead_time_s is None else format_seconds(self.lead_time_s)
        return " · ".join(fact for fact in (state, time) if fact)

    @property
    def kinds(self) -> tuple[EditKind, ...]:
        return tuple(kind for kind in EDIT_KINDS if any(change.kind == kind for change in self.changes))


def choose_items(items: Sequence[GalleryItem], *, limit: int) -> tuple[tuple[GalleryItem, Reason], ...]:
    """At most ``limit`` items, each with the reason: most edited first, then disagreement, then perfect ones.

    An eighth of the places goes to images without any edit and a quarter to images on which the models
    disagree, as far as there are such; equals are in the order of their names.
    """
    ranked = sorted(items, key=lambda item: (-n_changes(item), item.name, item.prediction.image))
    edited = [item for item in ranked if n_changes(item) > 0]
    disputed = sorted((i for i in items if n_disputed(i)), key=lambda i: (-n_disputed(i), i.name))
    perfect = [item for item in ranked if _is_perfect(item)]
    chosen: dict[int, tuple[GalleryItem, Reason]] = {}

    def take(pool: Sequence[GalleryItem], reason: Reason, up_to: int) -> None:
        for item in pool:
            if len(chosen) >= min(up_to, limit):
                return
            chosen.setdefault(id(item), (item, reason))

    n_perfect = min(len(perfect), max(1, limit // 8))
    n_disagree = min(len(disputed), limit // 4)
    take(edited, "most edited", limit - n_perfect - n_disagree)
    take(disputed, "models disagree", limit - n_perfect)
    take(perfect, "nothing to correct", len(chosen) + n_perfect)
    take(edited, "most edited", limit)
    take(ranked, "reviewed", limit)
    order: tuple[Reason, ...] = ("most edited", "models disagree", "nothing to correct", "reviewed")
    return tuple(sorted(chosen.values(), key=lambda pair: order.index(pair[1])))


def make_cards(
    chosen: Sequence[tuple[GalleryItem, Reason]], taxonomy: Taxonomy, *, max_bytes: int
) -> tuple[Card, ...]:
    """The cards with their pictures, which are together about ``max_bytes`` at most.

    An image that cannot be read any more has a card that says so.
    """
    budget = max_bytes // max(1, len(chosen))
    return tuple(_card(item, reason, taxonomy, max_bytes=budget) for item, reason in chosen)


def n_changes(item: GalleryItem) -> int:
    """How many regions a person changed."""
    return sum(edit.kind != "kept" for edit in item.edits)


def n_disputed(item: GalleryItem) -> int:
    """How many predicted things one model only saw."""
    return len(seen_alone(_instances(item)))


def _is_perfect(item: GalleryItem) -> bool:
    return bool(item.edits) and n_changes(item) == 0


def _instances(item: GalleryItem) -> list[Instance]:
    return [region.instance for region in item.prediction.regions]


def _card(item: GalleryItem, reason: Reason, taxonomy: Taxonomy, *, max_bytes: int) -> Card:
    pictures: tuple[Picture, ...] = ()
    failure: str | None = None
    try:
        pictures = _pictures(item, taxonomy, max_bytes=max_bytes)
    except ImageError as error:
        failure = str(error)
    return Card(
        name=item.name,
        reason=reason,
        pictures=pictures,
        changes=_changes(item.edits),
        n_kept=sum(edit.kind == "kept" for edit in item.edits),
        state=item.review.state,
        lead_time_s=item.review.lead_time_s,
        task_url=_web_address(item.task_url),
        failure=failure,
    )


def _web_address(url: str | None) -> str | None:
    """The address if a browser may follow it: never ``javascript:`` and the like."""
    return url if url is not None and url.startswith(("http://", "https://")) else None


def _changes(edits: Sequence[Edit]) -> tuple[Change, ...]:
    changed = sorted((e for e in edits if e.kind != "kept"), key=lambda e: EDIT_KINDS.index(e.kind))
    return tuple(Change(edit.kind, describe_edit(edit)) for edit in changed)


def _pictures(item: GalleryItem, taxonomy: Taxonomy, *, max_bytes: int) -> tuple[Picture, ...]:
    image = item.load()
    if image.size != item.prediction.size:
        raise ImageError(
            f"{item.name} is {image.size} now and was {item.prediction.size} when it was predicted: "
            "put the old file back, or predict it again"
        )
    instances = _instances(item)
    panels: tuple[Panel, ...] = ()
    encoded: tuple[bytes, ...] = ()
    drawn_width = 0
    for width, quality in _QUALITIES:
        if width != drawn_width:
            view = scale_to(image, _room(width))
            panels = (
                Panel("Original", view.picture),
                instances_panel(view, instances, taxonomy, show="boxes", title="Detection", scores=False),
                instances_panel(view, instances, taxonomy, show="masks", title="Segmentation", scores=False),
                corrected_panel(view, item.edits, taxonomy, title="Corrected"),
            )
            drawn_width = width
        encoded = tuple(_encode_webp(panel.picture, quality=quality) for panel in panels)
        if sum(map(len, encoded)) * 4 // 3 <= max_bytes:
            break
    return tuple(_picture(panel, data, name=item.name) for panel, data in zip(panels, encoded, strict=True))


def _room(width: int) -> PanelSize:
    """Panels are shown at about half their size; their lines and text are drawn larger."""
    return PanelSize(width=width, height=width, smallest=width // 2, emphasis=1.5)


def _picture(panel: Panel, data: bytes, *, name: str) -> Picture:
    counts = Counter({str(count.label): count.n or 1 for count in panel.counts or ()})
    shown = ", ".join(f"{label}: {n}" for label, n in counts.items()) or "nothing"
    return Picture(
        title=panel.title,
        uri="data:image/webp;base64," + base64.b64encode(data).decode("ascii"),
        width=panel.picture.width,
        height=panel.picture.height,
        alt=f"{panel.title}: {name}" if panel.counts is None else f"{panel.title} of {name}, {shown}",
        note=" · ".join((*_summary(panel), *(_MARKS[panel.hatched, stroke] for stroke in panel.strokes))),
    )


def _summary(panel: Panel) -> tuple[str, ...]:
    return () if panel.counts is None else (format_count(panel.total, "thing"),)


def _encode_webp(picture: Image.Image, *, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()
