"""``detseg import``: labels, known truth and predictions that people already have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detseg.cli import options
from detseg.pipeline.formats import SourceName
from detseg.plurals import format_count

if TYPE_CHECKING:
    from detseg.pipeline.importing import Imported


def import_(
    path: Annotated[
        Path | None, typer.Argument(help="A dataset: its folder, its JSON file or its data.yaml.")
    ] = None,
    *,
    format_: Annotated[SourceName | None, typer.Option("--format", help="What it is.")] = None,
    as_: Annotated[
        Literal["labels", "gold", "predictions"] | None,
        typer.Option(
            "--as",
            help="labels: as people's; gold: truth to measure people by; predictions: to be corrected.",
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="The folder with its images, where they are not beside it.")
    ] = None,
    name: Annotated[str, typer.Option(help="What to call the import; by default as the file is.")] = "",
    forget: Annotated[
        str, typer.Option(metavar="NAME", help="Take back the labels or the truth of that import.")
    ] = "",
    source: options.SourceOption = None,
    project: options.ProjectOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Takes in a dataset that people have already.

    Its labels count as people's, and its images need no task. They are found by their bytes where their files
    are at hand, else by path or name among those of the source. Doing it again changes nothing.
    """
    from detseg.cli.output import note, print_json, say
    from detseg.config import load_settings
    from detseg.errors import ConfigError
    from detseg.pipeline.importing import Import, forget_import, import_dataset

    settings = load_settings(config, source__location=source, queue__project=project)
    if forget and path is None:
        n_images = forget_import(settings, forget)
        if as_json:
            print_json({"name": forget, "images": n_images})
        else:
            say(f"took back the import {forget}: {format_count(n_images, 'image')}")
    elif path is None or format_ is None or as_ is None or forget:
        raise ConfigError("give PATH, --format and --as, or --forget NAME alone")
    else:
        done = import_dataset(settings, Import(path, format_, as_, images, name), warn=note)
        if as_json:
            print_json(_to_json(done))
        else:
            _show(done, path, gold_share=settings.experiments.gold_share)


def _show(done: Imported, path: Path, *, gold_share: float) -> None:
    from detseg.cli.output import note, note_left_out, say
    from detseg.pipeline.experiments.gold import say_late_truth

    lines = [f"{one.uri} {one.reason}" for one in done.failures]
    lines += [f"{name} is nowhere among the images" for name in done.unmatched]
    note_left_out(lines)
    for what, n in sorted(done.left_out.items()):
        note(f"left out: {what} {n:,}")
    regions = format_count(done.regions, "region")
    changes = f"{done.new:,} new, {done.updated:,} changed" if done.new or done.updated else "nothing new"
    say(f"{done.name}: {format_count(done.images, 'image')} with {regions} as {done.as_} ({changes})")
    if done.as_ == "predictions":
        say(f"push them with `detseg preannotate --detector results:{path}`")
    if done.late:
        say(say_late_truth(done.late))
    if done.as_ != "gold" or done.late == done.images:
        return
    if gold_share:
        share = f"{100 * gold_share:g}%"
        say(f"{share} of the new tasks are on such images (experiments.gold_share), from the source")
    else:
        say("nobody is measured by them yet: experiments.gold_share is 0 (0.05: one new task in twenty)")


def _to_json(done: Imported) -> dict[str, Any]:
    return {
        "name": done.name,
        "as": done.as_,
        "images": done.images,
        "regions": done.regions,
        "new": done.new,
        "updated": done.updated,
        "late": done.late,
        "unmatched": done.unmatched,
        "failed": [{"name": one.uri, "reason": one.reason} for one in done.failures],
        "left_out": dict(done.left_out),
    }
