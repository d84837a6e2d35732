"""The gallery: reviewed images with what the model saw and what people made of it, in bounded pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from detseg.errors import ImageError
from detseg.metrics.cases import Case
from detseg.metrics.edits import find_edits
from detseg.plurals import format_count
from detseg.report.corrected import corrected_panel
from detseg.report.data import Images
from detseg.report.encoding import data_uri, jpeg_bytes, uri_size
from detseg.report.examples import Example
from detseg.report.pictures import PanelSize, Show, View, instances_panel, scale_to
from detseg.report.sheet import Panel
from detseg.report.views import Card, Change, Picture
from detseg.report.wording import describe_edit, format_seconds
from detseg.taxonomy import Taxonomy
from detseg.types import EDIT_KINDS, DecodedImage, Edit

_MARKS = {
    (False, "dashed"): "dashed: only the detector saw it",
    (False, "dotted"): "dotted: only the segmenter saw it",
    (True, "dotted"): "hatched: only the segmenter saw it",
    (True, "dashed"): "hatched: only the detector saw it",
}
_TITLES: Mapping[Show, str] = {"boxes": "Detection", "masks": "Segmentation"}
_QUALITIES = ((520, 82), (520, 60), (360, 55), (240, 45), (160, 30))
"""Panel width in pixels and WebP quality, best first: the first that keeps to the budget is taken."""


def make_cards(
    examples: Sequence[Example], images: Images, taxonomy: Taxonomy, *, max_bytes: int
) -> tuple[Card, ...]:
    """The cards with their pictures, which are together about ``max_bytes`` at most.

    An image that is gone from the catalog has no card; one that cannot be read has a card that says so.
    """
    cases = images.cases(tuple(example.image for example in examples))
    present = [(example, cases[example.image]) for example in examples if example.image in cases]
    answered = _answered(case for _, case in present)
    cards, left = [], max_bytes
    for n, (example, case) in enumerate(present):
        card = _card(example, case, images, taxonomy, answered=answered, max_bytes=left // (len(present) - n))
        left -= sum(len(picture.uri) for picture in card.pictures)
        cards.append(card)
    return tuple(cards)


def image_name(uri: str) -> str:
    """Return the name that people know an image by: that of its file."""
    path = urlsplit(uri).path if "://" in uri else uri
    return PurePosixPath(unquote(path)).name or uri


def web_address(url: str | None) -> str | None:
    """The address if a browser may follow it: never ``javascript:`` and the like."""
    return url if url is not None and url.startswith(("http://", "https://")) else None


def read_as_predicted(case: Case, read: Callable[[str], DecodedImage]) -> DecodedImage:
    """The image of a case; raises ImageError if it cannot be read or has another size now."""
    image = read(case.uri)
    if image.size != case.prediction.size:
        raise ImageError(
            f"{image_name(case.uri)} is {image.size} now and was {case.prediction.size} when it was "
            "predicted: put the old file back, or predict it again"
        )
    return image


def _answered(cases: Iterable[Case]) -> tuple[Show, ...]:
    """Return what the model answers on these images; both where it answers nothing."""
    instances = [region.instance for case in cases for region in (*case.predicted, *case.shown)]
    boxes, masks = (any(getattr(one, part) is not None for one in instances) for part in ("box", "mask"))
    return ("boxes",) if boxes and not masks else ("masks",) if masks and not boxes else ("boxes", "masks")


def _card(
    example: Example,
    case: Case,
    images: Images,
    taxonomy: Taxonomy,
    *,
    answered: Sequence[Show],
    max_bytes: int,
) -> Card:
    review = case.truth
    shown = replace(case.prediction, regions=case.shown)
    edits = find_edits(shown, review) if review is not None else ()
    pictures: tuple[Picture, ...] = ()
    failure: str | None = None
    try:
        image = read_as_predicted(case, images.read)
        draw = partial(_panels, case, edits, taxonomy, answered=answered)
        pictures = fit_pictures(image, draw, name=image_name(case.uri), max_bytes=max_bytes)
    except ImageError as error:
        failure = str(error)
    return Card(
        name=image_name(case.uri),
        reason=_reason(example),
        pictures=pictures,
        changes=tuple(changes_of(edits)),
        n_kept=sum(edit.kind == "kept" for edit in edits),
        facts=_facts(case),
        task_url=web_address(case.task_url),
        failure=failure,
    )


def _reason(example: Example) -> str:
    if example.kind is None:
        return "models disagree" if example.why == "disagreement" else "nothing to correct"
    return f"{example.label} {example.kind}" + (", typical" if example.why == "typical" else "")


def _facts(case: Case) -> str:
    """The arm and state, where they are not the ordinary ones, and the time."""
    review = case.truth
    facts = ["known truth" if case.arm == "gold" else ""]
    if review is not None:
        facts.append("empty" if review.state == "empty" else "")
        facts.append("" if review.lead_time_s is None else format_seconds(review.lead_time_s))
    return " · ".join(fact for fact in facts if fact)


def changes_of(edits: Sequence[Edit]) -> Iterator[Change]:
    """Yield what was changed in words, by kind."""
    for edit in sorted((e for e in edits if e.kind != "kept"), key=lambda e: EDIT_KINDS.index(e.kind)):
        region = edit.before or edit.after
        assert region is not None  # an edit has a side
        yield Change(edit.kind, region.instance.label, describe_edit(edit))


def fit_pictures(
    image: DecodedImage, draw: Callable[[View], tuple[Panel, ...]], *, name: str, max_bytes: int
) -> tuple[Picture, ...]:
    """The panels that are drawn of an image of that name, as large and good as the bytes allow.

    Panels are shown at about half their size, so their lines and text are drawn larger.
    """
    panels: tuple[Panel, ...] = ()
    encoded: tuple[bytes, ...] = ()
    drawn_width = 0
    for width, quality in _QUALITIES:
        if width != drawn_width:
            room = PanelSize(width=width, height=width, smallest=width // 2, emphasis=1.5)
            panels = draw(scale_to(image, room))
            drawn_width = width
        encoded = tuple(jpeg_bytes(panel.picture, quality=quality) for panel in panels)
        if sum(map(uri_size, encoded)) <= max_bytes:
            break
    return tuple(_picture(panel, data, name=name) for panel, data in zip(panels, encoded, strict=True))


def _panels(
    case: Case, edits: Sequence[Edit], taxonomy: Taxonomy, view: View, *, answered: Sequence[Show]
) -> tuple[Panel, ...]:
    whole = {region.id: region for region in case.predicted}
    instances = [whole.get(region.id, region).instance for region in case.shown]
    return (
        Panel("Original", view.picture),
        *(
            instances_panel(view, instances, taxonomy, show=show, title=_TITLES[show], scores=False)
            for show in answered
        ),
        corrected_panel(view, edits, taxonomy, title="Corrected"),
    )


def _picture(panel: Panel, data: bytes, *, name: str) -> Picture:
    counts = Counter({str(count.label): count.n or 1 for count in panel.counts or ()})
    shown = ", ".join(f"{label}: {n}" for label, n in counts.items()) or "nothing"
    summary = () if panel.counts is None else (format_count(panel.total, "thing"),)
    return Picture(
        title=panel.title,
        uri=data_uri(data),
        width=panel.picture.width,
        height=panel.picture.height,
        alt=f"{panel.title}: {name}" if panel.counts is None else f"{panel.title} of {name}, {shown}",
        note=" · ".join((*summary, *(_MARKS[panel.hatched, stroke] for stroke in panel.strokes))),
    )
