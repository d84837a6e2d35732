"""``detseg dataset``: versions of the labels, what differs between them, and how they leave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detseg.cli import options
from detseg.pipeline.formats import FormatName
from detseg.plurals import format_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detseg.datasets.store import DatasetStore
    from detseg.datasets.version import Version

app = typer.Typer(help="Makes, compares, checks and exports versions of the labels.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of a version, or the beginning of its id.")]
ImagesOption = Annotated[
    Literal["copy", "link", "none"],
    typer.Option(help="The images' files: copied, linked to, or named in manifest.jsonl."),
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", help="An HTML file that shows it, with pictures; needs no network.")
]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What to call it, as v1 or 2026-11-first.")],
    *,
    where: Annotated[
        str, typer.Option(help="Which images: 'class = bolt, nut and updated >= 2026-01-31'.")
    ] = "",
    split: Annotated[str, typer.Option(help="Sides and their shares: train=0.8,val=0.1,test=0.1.")] = "",
    group: Annotated[
        str | None, typer.Option(help="Column of the manifest whose value keeps images on one side.")
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="Column of the manifest that names the side; it wins over --split.")
    ] = None,
    gold: Annotated[bool, typer.Option("--gold", help="Also images whose truth was known.")] = False,
    disputed: Annotated[
        bool,
        typer.Option("--disputed", help="Also images that people are divided on, without what they dispute."),
    ] = False,
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Also labels of the demo's reviewer, a program.")
    ] = False,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Also where near duplicates are on two sides.")
    ] = False,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Makes a version of what people have labeled so far.

    It never changes: the same labels, rules and split give the same id. What was collected from Label Studio
    counts, so run `detseg collect` first.
    """
    from detseg.config import load_settings
    from detseg.datasets.splits import SplitRule, parse_shares
    from detseg.pipeline.datasets import Wish, create_version

    rule = SplitRule(parse_shares(split) if split else (), group, split_column)
    wish = Wish(where, rule, gold=gold, disputed=disputed, simulated=allow_simulated, leaks=allow_leaks)
    version = create_version(load_settings(config), name, wish)
    _show(version, as_json=as_json)


@app.command("list")
def list_versions(*, config: options.ConfigOption = None, as_json: options.JsonOption = False) -> None:
    """Lists all versions, the oldest first."""
    from detseg.cli.dataset_tables import version_json
    from detseg.cli.output import print_json, print_table, say

    versions = _store(config).versions()
    if as_json:
        print_json({"versions": [version_json(version) for version in versions]})
    elif not versions:
        say("no dataset version yet: `detseg dataset create NAME` makes one")
    else:
        rows = [
            (
                version.name,
                version.id[:12],
                f"{version.created_at:%Y-%m-%d %H:%M}",
                f"{version.counts.images:,}",
                f"{version.counts.regions:,}",
                version.recipe.project,
            )
            for version in versions
        ]
        print_table(("version", "id", "made (UTC)", "images", "regions", "project"), rows)


@app.command("show")
def show(
    name: NameArgument,
    *,
    report: ReportOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Shows what a version holds: images and objects by class and split, sizes, pixels, people, growth.

    Says also what each format would lose. Counted once for each version; where objects lie is in the JSON and
    in the report.
    """
    from detseg.cli.bars import progress_bars
    from detseg.cli.dataset_tables import print_figures, print_version, version_json
    from detseg.cli.output import note, print_json
    from detseg.config import load_settings
    from detseg.datasets.store import DatasetStore
    from detseg.pipeline.dataset_figures import measure_version
    from detseg.pipeline.dataset_reports import write_version_page
    from detseg.pipeline.datasets import describe_taxonomy
    from detseg.pipeline.qa.figures_json import encode_figures

    settings = load_settings(config)
    store = DatasetStore(settings.datasets_location)
    version = store.version(name)
    with progress_bars():
        figures = measure_version(store, version, settings.state_path)
        if report is not None:
            write_version_page(report, settings, version, figures)
    if as_json:
        print_json(version_json(version) | {"figures": encode_figures(figures), **_report_json(report)})
    else:
        print_version(version)
        if other := describe_taxonomy(version, settings.changes):
            note(other)
        print_figures(figures)
        _say_report(report)


@app.command("diff")
def diff(
    before: NameArgument,
    after: NameArgument,
    *,
    report: ReportOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Compares two versions: images and regions added, removed and changed, by class."""
    from detseg.cli.output import note, print_json, print_table, say
    from detseg.config import load_settings
    from detseg.datasets.differences import CHANGES, compare_versions
    from detseg.datasets.store import DatasetStore
    from detseg.pipeline.dataset_reports import write_difference_page

    settings = load_settings(config)
    store = DatasetStore(settings.datasets_location)
    versions = (store.version(before), store.version(after))
    found = compare_versions(store, *versions)
    if report is not None:
        write_difference_page(report, settings, store, versions=versions, found=found)
    images = {change: found.n_images(change) for change in CHANGES}
    if as_json:
        by_class = {label: dict(counts) for label, counts in found.by_class.items()}
        moves = {"states": dict(found.states), "splits": dict(found.splits), "relabeled": found.n_relabeled}
        figures = {"images": images, "regions": dict(found.regions), "by_class": by_class}
        print_json(figures | moves | {"taxonomy": found.taxonomy_note} | _report_json(report))
        return
    if found.taxonomy_note:
        note(f"{found.taxonomy_note}; images that differ by that alone: {found.n_relabeled:,}")
    rows: list[tuple[str, Mapping[Any, int]]] = [("images", images), ("regions", found.regions)]
    rows += [(f"  {label}", counts) for label, counts in found.by_class.items()]
    print_table(("", *CHANGES), [(name, *(f"{counts[one]:,}" for one in CHANGES)) for name, counts in rows])
    for what, moved in (("state", found.states), ("split", found.splits)):
        for move, n in moved.items():
            say(f"{format_count(n, 'image')} with another {what}: {move}")
    _say_report(report)


@app.command("export")
def export(
    name: NameArgument,
    *,
    format_: Annotated[FormatName, typer.Option("--format", help="What to write it as.")],
    out: Annotated[Path, typer.Option(help="A folder that is new or empty.")],
    images: ImagesOption = "copy",
    split: Annotated[str | None, typer.Option(help="Only this side.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what the format cannot hold in full.")
    ] = False,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out images that are gone or have changed.")
    ] = False,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Writes a version in a format that training programs read, with its images.

    What the format cannot hold is counted before anything is written. Images that their EXIF turns are
    written upright.
    """
    from detseg.cli.dataset_tables import print_written, written_json
    from detseg.cli.output import note, print_json
    from detseg.config import load_settings
    from detseg.pipeline.dataset_folders import WriteOptions
    from detseg.pipeline.export import export_version

    chosen = WriteOptions(images, strict=strict, skip_missing=skip_missing)
    settings = load_settings(config)
    done = export_version(settings, name, format_, out, split=split, options=chosen, warn=note)
    if as_json:
        print_json(written_json(done))
        return
    print_written(out, done, format_)


@app.command("verify")
def verify(
    name: NameArgument, *, config: options.ConfigOption = None, as_json: options.JsonOption = False
) -> None:
    """Reads a version again, and says what of it is damaged. Exits with 1 if anything is."""
    from detseg.cli.output import print_json, say
    from detseg.datasets.store import find_problems

    store = _store(config)
    version = store.version(name)
    problems = list(find_problems(store, version))
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            say(problem)
    else:
        say(f"{version.name} is whole: {format_count(version.counts.images, 'image')} as they were")
    if problems:
        raise typer.Exit(1)


@app.command("trace")
def trace(
    image: Annotated[
        str, typer.Argument(help="An image's id or its beginning, its address, or its file name.")
    ],
    *,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Says where an image's label is from: people, reviews, the model that they corrected, the file."""
    from detseg.cli.dataset_tables import trace_json
    from detseg.cli.output import print_json, say
    from detseg.config import load_settings
    from detseg.datasets.store import DatasetStore
    from detseg.pipeline.datasets import trace_image

    traces = trace_image(DatasetStore(load_settings(config).datasets_location), image)
    if as_json:
        print_json({"versions": [trace_json(one) for one in traces]})
        return
    for one in traces:
        figures = trace_json(one)
        say(f"{figures.pop('version')}: {figures.pop('image')}")
        for key, value in figures.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            say(f"  {key}: {shown if shown not in (None, '') else '-'}")


@app.command("rm")
def remove(name: NameArgument, *, config: options.ConfigOption = None) -> None:
    """Removes a version, and the files that no other version needs."""
    from detseg.cli.output import say

    version = _store(config).remove(name)
    say(f"removed {version.name} ({version.id[:12]})")


def _report_json(report: Path | None) -> dict[str, str]:
    return {} if report is None else {"report": str(report)}


def _say_report(report: Path | None) -> None:
    from detseg.cli.output import say

    if report is not None:
        say()
        say(f"report: {report}")


def _store(config: Path | None) -> DatasetStore:
    from detseg.config import load_settings
    from detseg.datasets.store import DatasetStore

    return DatasetStore(load_settings(config).datasets_location)


def _show(version: Version, *, as_json: bool) -> None:
    from detseg.cli.dataset_tables import print_version, version_json
    from detseg.cli.output import print_json

    if as_json:
        print_json(version_json(version))
    else:
        print_version(version)
