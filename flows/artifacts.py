"""What a run leaves on Prefect's pages: its figures as a table, and a link to where to look next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect.artifacts import create_link_artifact, create_table_artifact


def publish(run: str, report: Mapping[str, Any], *, link: str | Path | None, link_text: str) -> None:
    """The artifacts ``<run>-figures`` and ``<run>-link`` of the current flow run.

    ``report`` is the JSON object that the command prints; of lists only the length is a figure. A figure
    with an interval is one row.
    """
    rows = [
        {"figure": name, "value": value, "interval": interval} for name, value, interval in _figures(report)
    ]
    create_table_artifact(rows, key=f"{run}-figures", description=f"What this run of {run} did")
    if link is not None:
        url = link.absolute().as_uri() if isinstance(link, Path) else link
        create_link_artifact(url, link_text=link_text, key=f"{run}-link", description=link_text)


_ESTIMATE = {"value", "low", "high", "n", "n_needed"}


def _figures(report: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, value and 95 % interval of each; of one that is not told, what it rests on and what it needs."""
    for name, value in report.items():
        if isinstance(value, Mapping) and set(value) == _ESTIMATE:
            yield f"{prefix}{name}", _said(value["value"]), _interval(value)
        elif isinstance(value, Mapping):
            yield from _figures(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", str(len(value)), ""
        else:
            yield f"{prefix}{name}", _said(value), ""


def _said(value: Any) -> str:
    return "n/a" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _interval(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is not None:
        return f"{estimate['low']:.4g} to {estimate['high']:.4g}"
    needed = estimate["n_needed"]
    return f"{estimate['n']} images" + (f"; {needed} are needed" if needed is not None else "")
