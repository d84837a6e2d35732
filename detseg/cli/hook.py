"""The command that goes on collecting: hook."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated

import typer

from detseg.cli import options

if TYPE_CHECKING:
    from detseg.pipeline.collect import CollectReport


def hook(
    *,
    config: options.ConfigOption = None,
    project: options.ProjectOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8765,
    url: Annotated[str | None, typer.Option(help="How the server reaches us, if by another address.")] = None,
    register: Annotated[
        bool, typer.Option("--register", help="Make the webhook in Label Studio, and remove it at the end.")
    ] = False,
    poll: Annotated[float, typer.Option(help="Seconds after which to collect in any case.", min=1)] = 300.0,
    as_json: options.JsonOption = False,
) -> None:
    """Collects at once whenever somebody annotated.

    Goes on until it is stopped (Ctrl-C).
    """
    from detseg.cli.output import note, print_json
    from detseg.config import load_settings
    from detseg.pipeline.hook import Debouncer, Listening, follow

    settings = options.with_token(load_settings(config, queue__project=project))
    if not register and settings.label_studio.hook_secret is None:
        note(
            f"asks every {poll:g} s, for nobody calls: --register makes a webhook; or make one and set "
            "DETSEG_LABEL_STUDIO__HOOK_SECRET"
        )
    debouncer, reports = Debouncer(), _Totals()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: debouncer.stop())
    follow(
        settings,
        Listening(host, port, url, register, poll),
        debouncer=debouncer,
        tell=reports.add,
        complain=lambda error: note(f"{error}; trying again"),
    )
    if as_json:
        print_json(reports.to_json())


class _Totals:
    """The sum of what all collects found. Each that found something is a line on stderr."""

    def __init__(self) -> None:
        self.n_collects = 0
        self.reviews = {"new": 0, "updated": 0, "deleted": 0}

    def add(self, report: CollectReport) -> None:
        from detseg.cli.output import note

        self.n_collects += 1
        found = {"new": report.new, "updated": report.updated, "deleted": report.deleted}
        self.reviews = {kind: n + found[kind] for kind, n in self.reviews.items()}
        if any(found.values()) or self.n_collects == 1:
            note("reviews: " + ", ".join(f"{n} {kind}" for kind, n in found.items()))

    def to_json(self) -> dict[str, object]:
        return {"collects": self.n_collects, "reviews": self.reviews}
