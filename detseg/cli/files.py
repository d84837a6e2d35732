"""Commands that need no server: init and predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detseg.cli import options

if TYPE_CHECKING:
    from detseg.pipeline.predict import PredictReport


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("detseg.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Writes a commented detseg.toml with every setting."""
    from detseg.config import settings_template
    from detseg.errors import ConfigError

    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(settings_template())
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already: --force replaces it") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    print(f"wrote {path}: say in it where your images are (source), then run `detseg up`")


def predict(
    *,
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures and predictions.json.")],
    config: options.ConfigOption = None,
    detector: options.DetectorOption = None,
    segmenter: options.SegmenterOption = None,
    device: options.DeviceOption = None,
    engine: options.EngineOption = None,
    precision: options.PrecisionOption = None,
    batch_size: options.BatchOption = None,
    box_threshold: options.BoxThresholdOption = None,
    mask_threshold: options.MaskThresholdOption = None,
    pictures: Annotated[bool, typer.Option(help="A picture per image.")] = True,
    as_json: options.JsonOption = False,
) -> None:
    """Predicts images into a folder, without a server.

    Writes boxes, masks and counts as JSON, and a picture of each image.
    """
    from detseg.cli.output import EXIT_QUARANTINED, note_models, print_file, progress_bars
    from detseg.config import load_settings
    from detseg.pipeline.predict import predict as predict_files

    settings = load_settings(
        config,
        detector=detector,
        segmenter=segmenter,
        device=device,
        engine=engine,
        precision=precision,
        batch_size=batch_size,
        box_threshold=box_threshold,
        mask_threshold=mask_threshold,
    )
    with progress_bars():
        report = predict_files(settings, images, out, pictures=pictures)
    if as_json:
        print_file(report.file)
    else:
        _print_predicted(report, pictures=pictures)
    note_models(report.unmapped, report.precision_check)
    n_files = len(report.counts) + len(report.failed)
    if len(report.failed) > settings.max_quarantined_share * n_files:
        raise typer.Exit(EXIT_QUARANTINED)


def _print_predicted(report: PredictReport, *, pictures: bool) -> None:
    from detseg.cli.output import console, counted, print_failures

    screen = console()
    for path, counts in report.counts.items():
        seen = ", ".join(f"{n} {label}" for label, n in counts.items()) or "nothing"
        screen.print(f"{path}: {seen}", markup=False)
    drawn = f"{counted(len(report.counts), 'picture')} and " if pictures else ""
    screen.print(f"{drawn}{report.file.name} in {report.file.parent}", markup=False)
    if report.failed:
        screen.print(f"{counted(len(report.failed), 'file')} could not be used:")
        print_failures([(failure.uri, failure.reason) for failure in report.failed])
