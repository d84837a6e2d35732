"""What a run leaves on Prefect's pages: its figures as a table, and a link to where to look next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect.artifacts import create_link_artifact, create_table_artifact


def publish(run: str, report: Mapping[str, Any], *, link: str | Path | None, link_text: str) -> None:
    """The artifacts ``<run>-figures`` and ``<run>-link`` of the current flow run.

    ``report`` is the JSON object that the command prints; of lists only the length is a figure.
    """
    rows = [{"figure": name, "value": value} for name, value in _figures(report)]
    create_table_artifact(rows, key=f"{run}-figures", description=f"What this run of {run} did")
    if link is not None:
        url = link.absolute().as_uri() if isinstance(link, Path) else link
        create_link_artifact(url, link_text=link_text, key=f"{run}-link", description=link_text)


def _figures(report: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in report.items():
        if isinstance(value, Mapping):
            yield from _figures(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", str(len(value))
        else:
            yield f"{prefix}{name}", "n/a" if value is None else str(value)
