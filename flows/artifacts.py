"""The traces of a run on Prefect's pages: its figures as a table, and a link to where to look next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from prefect.artifacts import create_link_artifact, create_table_artifact

from flows.recording import after_work

if TYPE_CHECKING:
    from detseg.pipeline.evaluate import EvaluateReport


def publish(
    run: str, report: Mapping[str, Any], *, link: str | None = None, link_text: str | None = None
) -> None:
    """The artifacts ``<run>-figures`` and ``<run>-link`` of the current flow run.

    ``report`` is the JSON object that the command prints; of lists only the length is a figure. A figure
    with an interval is one row. The link is one that a browser follows from a page.
    """
    rows = [
        {"figure": name, "value": value, "interval": interval} for name, value, interval in _figures(report)
    ]
    _publish_table(f"{run}-figures", rows, f"What this run of {run} did")
    if link is not None:
        after_work(
            partial(create_link_artifact, link, link_text=link_text, key=f"{run}-link", description=link_text)
        )


def publish_answers(report: EvaluateReport) -> None:
    """The artifact ``evaluate-answers``: the four answers, and where the report is.

    A table, since Prefect's page runs the HTML of Markdown, and names of classes come from outside. Browsers
    follow no link from a page to a file.
    """
    from detseg.pipeline.qa.answers import answers_of, basis_of  # which the other flows do without

    answers = (
        *answers_of(report.result),
        ("rests on", (basis_of(report.result),)),
        ("report", (str(report.path),)),
    )
    rows = [{"question": name, "answer": part} for name, parts in answers for part in parts[:_N_TOLD]]
    _publish_table("evaluate-answers", rows, "How good model and labels are, what was saved, what to change")


def _publish_table(key: str, rows: list[dict[str, str]], description: str) -> None:
    after_work(partial(create_table_artifact, rows, key=key, description=description))


_N_TOLD = 2  # of each answer: Prefect's page shows ten rows; evaluate-figures has everything


def _figures(report: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, value and 95 % interval of each, in the words of every other screen; and what it lacks."""
    for name, value in report.items():
        if isinstance(value, Mapping) and {"text", "interval", "note"} <= value.keys():
            behind = "; ".join(part for part in (value["interval"], value["note"]) if part)
            yield f"{prefix}{name}", value["text"], behind
        elif isinstance(value, Mapping):
            yield from _figures(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", str(len(value)), ""
        else:
            yield f"{prefix}{name}", _said(value), ""


def _said(value: Any) -> str:
    return "n/a" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
