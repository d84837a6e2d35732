"""The report as one HTML file: no network, no other file, readable without JavaScript."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from detseg import __version__
from detseg.errors import DetsegError
from detseg.report.corrected import EDIT_COLOURS
from detseg.report.first.data import QaReport
from detseg.report.first.gallery import Card, choose_items, make_cards
from detseg.report.first.headline import Tile, lead_sentence, primary_tiles, secondary_tiles
from detseg.report.first.tables import (
    CLASS_COLUMNS,
    ClassRow,
    Curve,
    EditRow,
    LegendEntry,
    Matrix,
    TimeView,
    class_edit_rows,
    class_rows,
    confusion_matrix,
    curve_charts,
    legend,
    time_view,
    version_edit_rows,
)
from detseg.report.wording import format_count

MOST_PICTURED = 24
MOST_PICTURE_BYTES = 8_000_000

_SECTIONS = (
    ("edits", "What was changed"),
    ("classes", "Quality by class"),
    ("confusion", "What was taken for what"),
    ("curves", "Precision and recall"),
    ("time", "Time per image"),
    ("gallery", "Gallery"),
    ("terms", "How the figures are computed"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """What the template prints, and nothing else."""

    title: str
    simulated: bool
    facts: tuple[str, ...]
    sections: tuple[tuple[str, str], ...]
    lead: str
    primary: tuple[Tile, ...]
    secondary: tuple[Tile, ...]
    legend: tuple[LegendEntry, ...]
    edit_rows: tuple[EditRow, ...]
    version_rows: tuple[EditRow, ...]
    class_columns: tuple[str, ...]
    class_rows: tuple[ClassRow, ...]
    confusion: Matrix | None
    curves: tuple[Curve, ...]
    curves_note: str
    time: TimeView | None
    gallery_note: str
    cards: tuple[Card, ...]
    footer: tuple[str, ...]


def write_report(path: Path, report: QaReport) -> None:
    """Writes the page to ``path``, whole or not at all; its folder is made if need be.

    At most 24 images are shown, in about 8 MB of pictures. DetsegError if the file cannot be written.
    """
    html = render_report(report)
    try:
        _replace(path, html)
    except OSError as error:
        reason = error.strerror or error
        raise DetsegError(
            f"the report cannot be written to {path} ({reason}): choose another place"
        ) from error


def _replace(path: Path, html: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".report-", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(html)
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def render_report(report: QaReport) -> str:
    """The page. Every text from outside is escaped."""
    environment = Environment(
        loader=PackageLoader("detseg.report.first"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates = files("detseg.report.first") / "templates"
    script = (templates / "report.js").read_text(encoding="utf-8")
    style = (templates / "report.css").read_text(encoding="utf-8")
    colours = "".join(f"--{kind}:{colour};" for kind, colour in EDIT_COLOURS.items())
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return environment.get_template("report.html").render(
        page=_page(report),
        script=script,
        script_hash=base64.b64encode(digest).decode("ascii"),
        style=f":root{{{colours}}}\n{style}",
    )


def _page(report: QaReport) -> Page:
    chosen = choose_items(report.gallery, limit=MOST_PICTURED)
    n_curves = len(report.curves)
    curves = curve_charts(report)
    return Page(
        title=report.title,
        simulated=report.simulated,
        facts=_facts(report),
        sections=_SECTIONS,
        lead=lead_sentence(report),
        primary=primary_tiles(report),
        secondary=secondary_tiles(report),
        legend=legend(),
        edit_rows=class_edit_rows(report),
        version_rows=version_edit_rows(report),
        class_columns=CLASS_COLUMNS,
        class_rows=class_rows(report),
        confusion=confusion_matrix(report),
        curves=curves,
        curves_note=f"Shown are {len(curves)} of {n_curves} classes, those with most truth."
        if len(curves) < n_curves
        else "",
        time=time_view(report),
        gallery_note=_gallery_note(len(chosen), len(report.gallery)),
        cards=make_cards(chosen, report.taxonomy, max_bytes=MOST_PICTURE_BYTES),
        footer=(f"Made by detseg {__version__}", "This file needs no network: everything is in it."),
    )


def _facts(report: QaReport) -> tuple[str, ...]:
    created = report.created_at.astimezone(UTC)
    states = ", ".join(f"{n:,} {state}" for state, n in report.states.items() if n)
    versions = sorted(report.edits_per_version)
    models = ", ".join(versions) if len(versions) <= 3 else format_count(len(versions), "model version")
    facts = (
        f"{created.day} {created:%B %Y, %H:%M} UTC",
        f"Reviews: {states}" if states else "No reviews",
        f"Model: {models}" if models else "",
    )
    return tuple(fact for fact in facts if fact)


def _gallery_note(n_shown: int, n_images: int) -> str:
    if n_shown == n_images:
        return f"All {format_count(n_images, 'image')}." if n_images != 1 else "One image."
    return (
        f"{n_shown} of {format_count(n_images, 'image')}: those that were edited most, those that the "
        "two models disagree on, and some with nothing to correct."
    )
