"""``detseg convert``: datasets from one format into another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detseg.cli import options
from detseg.cli.dataset import ImagesOption
from detseg.pipeline.formats import FormatName, SourceName


def convert(
    path: Annotated[Path, typer.Argument(help="A dataset: its folder, its JSON file or its data.yaml.")],
    *,
    from_: Annotated[SourceName, typer.Option("--from", help="What it is.")],
    to: Annotated[FormatName, typer.Option("--to", help="What to write it as.")],
    out: Annotated[Path, typer.Option(help="A folder that is new or empty.")],
    images: ImagesOption = "copy",
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what the format cannot hold in full.")
    ] = False,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out images whose files are not there.")
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Writes a dataset in another format, without a project.

    What the format cannot hold is counted before anything is written.
    """
    from detseg.cli.dataset_tables import print_written, written_json
    from detseg.cli.output import note, print_json
    from detseg.pipeline.convert import convert_dataset
    from detseg.pipeline.dataset_folders import WriteOptions

    chosen = WriteOptions(images, strict=strict, skip_missing=skip_missing)
    done = convert_dataset(path, from_, to, out, options=chosen, warn=note)
    if as_json:
        print_json(written_json(done.written) | {"left_out": dict(done.left_out)})
        return
    for what, n in done.left_out.items():
        note(f"left out: {what} {n:,}")
    print_written(out, done.written, to)
