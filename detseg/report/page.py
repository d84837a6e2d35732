"""The report as one HTML file: no network, no other file, readable without JavaScript."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from detseg import __version__
from detseg.errors import DetsegError
from detseg.files import write_whole
from detseg.plurals import format_count
from detseg.report.cells import in_order
from detseg.report.corrected import EDIT_COLOURS
from detseg.report.data import QaReport
from detseg.report.gallery import make_cards
from detseg.report.tabs.answers import answers
from detseg.report.tabs.change import change_tab
from detseg.report.tabs.duplicates import duplicate_sections
from detseg.report.tabs.edits import acceptance_section, edit_keys, edits_section, how_far_section
from detseg.report.tabs.effort import effort_section, times_section
from detseg.report.tabs.labels import label_sections
from detseg.report.tabs.map import map_tab
from detseg.report.tabs.mistakes import confusion_section, errors_section
from detseg.report.tabs.quality import (
    classes_section,
    detection_section,
    segmentation_section,
    sources_section,
)
from detseg.report.tabs.scores import calibration_section, curves_section
from detseg.report.tabs.suspects import suspects_tab
from detseg.report.tabs.terms import terms_tab
from detseg.report.tabs.trust import agreement_section, decoys_section, gold_section
from detseg.report.views import Block, Card, Key, Section, Tab

MOST_PICTURE_BYTES = 9_000_000
"""Of the gallery; the rest of the page has some hundred kilobytes."""

FOOTER = (f"Made by detseg {__version__}", "This file needs no network: everything is in it.")

_MODEL = (
    sources_section,
    detection_section,
    segmentation_section,
    classes_section,
    curves_section,
    errors_section,
    confusion_section,
    calibration_section,
)
_PEOPLE = (
    acceptance_section,
    edits_section,
    how_far_section,
    effort_section,
    times_section,
    agreement_section,
    gold_section,
    decoys_section,
)


@dataclass(frozen=True, slots=True)
class Page:
    """The data that the template prints, and nothing else. ``kind`` says what the page is: ``QA report``."""

    kind: str
    title: str
    simulated: bool
    facts: tuple[str, ...]
    tabs: tuple[Tab, ...]
    keys: tuple[Key, ...]
    footer: tuple[str, ...]


def write_report(path: Path, report: QaReport) -> None:
    """Writes the page of QA to ``path``, as ``write_page`` does."""
    write_page(path, make_page(report))


def write_page(path: Path, page: Page) -> None:
    """Writes a page to ``path``, whole or not at all; its folder is made if need be.

    DetsegError if the file cannot be written.
    """
    html = render_page(page)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, html)
    except OSError as error:
        reason = error.strerror or error
        raise DetsegError(
            f"the report cannot be written to {path} ({reason}): choose another place"
        ) from error


def render_report(report: QaReport) -> str:
    """The page of QA. Every text from outside is escaped."""
    return render_page(make_page(report))


def render_page(page: Page) -> str:
    """A page as HTML. Every text from outside is escaped."""
    environment = Environment(
        loader=PackageLoader("detseg.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates = files("detseg.report") / "templates"
    script = (templates / "page.js").read_text(encoding="utf-8")
    style = (templates / "page.css").read_text(encoding="utf-8")
    colours = "".join(f"--{kind}:{colour};" for kind, colour in EDIT_COLOURS.items())
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return environment.get_template("page.html").render(
        page=page,
        script=script,
        script_hash=base64.b64encode(digest).decode("ascii"),
        style=f":root{{{colours}}}\n{style}",
    )


def make_page(report: QaReport) -> Page:
    """Everything that is printed, in its order."""
    return Page(
        kind="QA report",
        title=report.result.basis.project,
        simulated=report.result.simulated,
        facts=_facts(report),
        tabs=(
            Tab("answers", "Answers", _notes(report), answers=answers(report)),
            Tab("model", "Model", tuple(section(report) for section in _MODEL)),
            Tab("people", "People", tuple(section(report) for section in _PEOPLE)),
            Tab("labels", "Labels", _labels(report)),
            map_tab(report.map, report.taxonomy),
            suspects_tab(report),
            change_tab(report),
            _examples(report),
            terms_tab(),
        ),
        keys=edit_keys(),
        footer=FOOTER,
    )


def _facts(report: QaReport) -> tuple[str, ...]:
    created = report.result.basis.created_at.astimezone(UTC)
    states = ", ".join(f"{n:,} {state}" for state, n in report.result.basis.states.items() if n)
    others = ((arm, n) for arm, n in report.result.basis.arms.items() if n and arm != "assisted")
    arms = ", ".join(format_count(n, f"{arm} image") for arm, n in others)
    versions = sorted(report.result.model_versions)
    models = ", ".join(versions) if len(versions) <= 2 else format_count(len(versions), "model version")
    facts = (
        f"{created.day} {created:%B %Y, %H:%M} UTC",
        f"Images: {states}" if states else "No images",
        f"of them {arms}" if arms else "",
        f"Model: {models}" if models else "",
    )
    return tuple(fact for fact in facts if fact)


def _notes(report: QaReport) -> tuple[Section, ...]:
    if not report.notes:
        return ()
    return (
        Section(
            "notes",
            "What was left out",
            (Block(points=tuple(note.replace("`", "") for note in report.notes)),),
        ),
    )


def _labels(report: QaReport) -> tuple[Section, ...]:
    labels = label_sections(report.labels, report.taxonomy, report.growth)
    return (*labels, *duplicate_sections(report.alike, report.images.read))


def _examples(report: QaReport) -> Tab:
    cards = make_cards(report.examples, report.images, report.taxonomy, max_bytes=MOST_PICTURE_BYTES)
    labels = in_order(report.taxonomy, {change.label for card in cards for change in card.changes})
    return Tab("examples", "Examples", (_examples_head(report, cards),), cards=cards, labels=tuple(labels))


def _examples_head(report: QaReport, cards: tuple[Card, ...]) -> Section:
    title = "What was changed, in pictures"
    if not cards:
        return Section("gallery", title, (Block(missing="No reviewed image yet."),))
    n_images = format_count(report.result.n_cases, "reviewed image")
    note = (
        f"{len(cards)} of {n_images}: of every kind of edit in every class a bad and an ordinary one, "
        "some that the models disagree on, and some with nothing to correct. In the corrected picture "
        "what people left has thin lines; what they changed has the colour of the edit, a white ghost "
        "of what the model had drawn, and a cross where it was deleted."
    )
    return Section("gallery", title, (Block(keys=edit_keys()),), note)
