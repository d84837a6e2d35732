"""The command demo: the whole loop on the embedded servers, the sample scenes and the simulated reviewer."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detseg.cli import options

if TYPE_CHECKING:
    from detseg.config import Settings

STATE = ".detseg"


def demo(
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything the demo makes.")] = Path("demo"),
    scenes: Annotated[int, typer.Option("--scenes", min=1, max=10_000, help="How many sample images.")] = 60,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which scenes, and what the reviewer does.")] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the servers running at the end.")] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Runs the whole loop on made-up photographs.

    A simulated annotator reviews them, and is named as such everywhere.
    """
    from detseg.cli.answers import print_evaluated
    from detseg.cli.bars import progress_bars
    from detseg.cli.output import note, print_json, print_lines
    from detseg.config import load_settings
    from detseg.pipeline.demo import clear_folder, review_as_simulated, write_scenes, write_settings
    from detseg.pipeline.outcome import describe_collect, describe_preannotate

    folder = out.absolute()
    _stop_servers(folder / STATE)
    clear_folder(folder)
    config = write_settings(folder)
    settings = load_settings(config)
    _check_own_world(settings, load_settings(config, environ={}))
    from flows.collect import collect  # seconds, which nobody waits who named a wrong folder
    from flows.evaluate import evaluate
    from flows.preannotate import preannotate
    from flows.recording import run_recorded

    started = time.monotonic()
    with _servers(settings.state_path, keep=keep) as url, progress_bars():
        truth = write_scenes(folder / settings.source.location, scenes, seed=seed)
        preannotated = run_recorded(note, settings.state_path, preannotate, config)
        review_as_simulated(settings, truth, seed=seed)
        collected = run_recorded(note, settings.state_path, collect, config)
        evaluated = run_recorded(note, settings.state_path, evaluate, config, None, folder / "report.html")
    result: dict[str, Any] = {
        "simulated": True,
        "label_studio_url": url,
        "report": str(evaluated.path),
        "preannotate": preannotated.to_json(),
        "collect": collected.to_json(),
        "qa": evaluated.to_json(),
        "seconds": round(time.monotonic() - started, 1),
    }
    if as_json:
        print_json(result)
        return
    print_lines(describe_preannotate(preannotated if keep else replace(preannotated, url=None)))
    print_lines(describe_collect(collected))
    print_evaluated(evaluated)
    _print_next_steps(evaluated.path, folder, seconds=result["seconds"], url=url if keep else None)


def _check_own_world(settings: Settings, written: Settings) -> None:
    """The demo submits simulated reviews, so it never works on a queue or a catalog of somebody's."""
    from detseg.config import ENV_PREFIX
    from detseg.errors import ConfigError

    for name in ("source.location", "label_studio.url", "queue.project", "catalog", "state_dir"):
        value = attrgetter(name)
        if value(settings) != value(written):
            variable = f"{ENV_PREFIX}{name.replace('.', '__').upper()}"
            raise ConfigError(
                f"the demo works on images and servers of its own: unset {variable} and try again"
            )


@contextmanager
def _servers(state: Path, *, keep: bool) -> Iterator[str]:
    """Label Studio's URL, with Prefect beside it; both are stopped at the end unless they are to be kept."""
    from detseg.cli.output import note
    from detseg.files import private_folder
    from detseg.labelstudio.install import ensure_installed
    from detseg.labelstudio.server import EmbeddedLabelStudio
    from flows import server as prefect_server

    private_folder(state)
    ensure_installed(note)
    note("starting Label Studio ...")
    try:
        url = EmbeddedLabelStudio(state).up().url
        if keep or prefect_server.find_api(state) is None:
            prefect_server.up(state)
        yield url
    finally:
        if not keep:
            _stop_servers(state)


def _stop_servers(state_dir: Path) -> None:
    """Stops what runs with that state; nothing where there is none."""
    from detseg.labelstudio.server import EmbeddedLabelStudio
    from flows import server as prefect_server

    if state_dir.is_dir():
        EmbeddedLabelStudio(state_dir).down()
        prefect_server.down(state_dir)


def _print_next_steps(report: Path, folder: Path, *, seconds: float, url: str | None) -> None:
    from detseg.cli.output import say

    program = "detseg" if shutil.which("detseg") else sys.argv[0]  # make does not put it on the PATH
    config = f"--config {shlex.quote(str(folder / 'detseg.toml'))}"
    say()
    say(f"Done in {seconds:.0f} s. The reviews are simulated; models, servers, flows and figures are real.")
    say(f"Read the report:   {report.as_uri()}")
    if url is None:
        say(f"See the queue:     {program} up {config}   (it prints the address and where the password is)")
    else:
        credentials = folder / STATE / "label-studio" / "credentials.json"
        say(f"See the queue:     {url} (user and password: {credentials})")
        say(f"Stop the servers:  {program} down {config}")
    then = f"set source.location in detseg.toml, then {program} up and preannotate"
    say(f"Use your images:   {program} init, {then}")
