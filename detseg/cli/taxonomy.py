"""``detseg taxonomy``: how the classes changed, and what a change asks people to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from detseg.cli import options
from detseg.plurals import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detseg.pipeline.taxonomy import LoggedVersion, SplitWork, TaxonomyLog

app = typer.Typer(help="Shows and applies changes of the classes.", no_args_is_help=True)


@app.command("log")
def log(*, config: options.ConfigOption = None, as_json: options.JsonOption = False) -> None:
    """Shows which classes changed when and why, and under which of the changes versions were made."""
    from detseg.cli.output import print_json
    from detseg.config import load_settings
    from detseg.pipeline.taxonomy import taxonomy_log

    found = taxonomy_log(load_settings(config))
    if as_json:
        print_json(found.to_json())
    else:
        _print_log(found)


@app.command("apply")
def apply(
    *,
    config: options.ConfigOption = None,
    project: options.ProjectOption = None,
    dry_run: options.DryRunOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Has Label Studio follow the changes, and sends images back whose labels were split.

    The labeling interface offers the classes of now. Names that ended cannot be chosen any more, and stay
    valid where work holds them. Regions of a split class are marked in a prediction of their own, once; what
    people made is never touched.
    """
    from detseg.cli.bars import progress_bars
    from detseg.cli.output import note, print_json, say
    from detseg.config import load_settings
    from detseg.pipeline.taxonomy import apply_changes

    settings = options.with_token(load_settings(config, queue__project=project))
    with progress_bars():
        works = apply_changes(settings, dry_run=dry_run)
    if as_json:
        print_json({"splits": [one.to_json() for one in works]})
        return
    for one in works:
        for line in _describe(one, dry_run=dry_run):
            say(line)
        for line in one.left_out:
            note(line)
    if not works:
        say("no class was split: nobody has to look again")


def _describe(work: SplitWork, *, dry_run: bool) -> Iterator[str]:
    images = format_count(work.n_images, "image")
    regions = format_count(work.n_regions, "region")
    would = "would get" if dry_run else "got"
    yield f"{work.change.id} ({work.change}): {images} with {regions} to look at again"
    yield f"  marks: {work.n_marked} {would} them now, {work.n_images - work.n_marked} not"
    if work.url:
        yield f"  {work.url}"


def _print_log(found: TaxonomyLog) -> None:
    from detseg.cli.output import say

    if not found.changes:
        say("the classes have not changed: [[taxonomy.changes]] in detseg.toml would say how")
    for one in found.changes:
        regions = format_count(one.n_regions, "region")
        say(f"{one.change.date.isoformat()} {one.change.id}: {one.change} ({regions} of before)")
        say(f"  {one.change.reason}")
    for version in found.versions:
        say(f"{version.name}, made {version.created_at:%Y-%m-%d %H:%M} (UTC): {_taxonomy_of(version)}")


def _taxonomy_of(version: LoggedVersion) -> str:
    parts = [f"before {', '.join(version.lacks)}"] if version.lacks else []
    parts += [f"under {', '.join(version.unknown)}, not in detseg.toml"] if version.unknown else []
    return "; ".join(parts) or "under the taxonomy of now"
