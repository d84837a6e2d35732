"""``detseg predict``: images into a folder, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from detseg.cli import options
from detseg.plurals import format_count

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.pipeline.choosing import Chosen
    from detseg.pipeline.predict import PredictReport


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
    format_: Annotated[
        Literal["json", "coco"],
        typer.Option("--format", help="coco: COCO results beside predictions.json, with the ids of --truth."),
    ] = "json",
    truth: Annotated[Path | None, typer.Option("--truth", help="COCO file of the same images.")] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Predicts images into a folder, without a server.

    By the model that preannotate would take. Writes boxes, masks and counts as JSON, and a picture of each
    image.
    """
    from detseg.cli.bars import progress_bars
    from detseg.cli.output import EXIT_QUARANTINED, note, note_models, print_file
    from detseg.config import load_settings
    from detseg.pipeline.predict import predict as predict_files

    _check_coco(format_, truth)
    settings = load_settings(
        config,
        model__detector=detector,
        model__segmenter=segmenter,
        model__box_threshold=box_threshold,
        model__mask_threshold=mask_threshold,
        engine__device=device,
        engine__mode=engine,
        engine__precision=precision,
        engine__batch_size=batch_size,
    )
    chosen = _choose(settings, named=detector is not None and segmenter is not None)
    for line in chosen.notes:
        note(line)
    with progress_bars():
        report = predict_files(chosen.settings, images, out, pictures=pictures)
    if truth is not None:
        _write_coco(report.file, truth)
    if as_json:
        print_file(report.file)
    else:
        _print_predicted(report, pictures=pictures)
    note_models(report.unmapped, report.precision_check)
    n_files = len(report.counts) + len(report.failed)
    if len(report.failed) > settings.run.max_quarantined_share * n_files:
        raise typer.Exit(EXIT_QUARANTINED)


def _choose(settings: Settings, *, named: bool) -> Chosen:
    """The models of a run: where both are ``named`` by flags, no catalog is asked for a promoted one."""
    from detseg.pipeline.choosing import Chosen, choose_models
    from detseg.pipeline.predictors import describe_unfit

    return Chosen(settings, tuple(describe_unfit(settings))) if named else choose_models(settings)


def _check_coco(format_: str, truth: Path | None) -> None:
    from detseg.errors import ConfigError
    from detseg.formats.coco import read_coco

    if (format_ == "coco") != (truth is not None):
        raise ConfigError("--format coco and --truth go together: results have the ids of a COCO file")
    if truth is not None:
        read_coco(truth, "bbox")  # before hours of predicting


def _write_coco(predictions: Path, truth: Path) -> None:
    from detseg.cli.output import note
    from detseg.files import write_whole
    from detseg.formats.coco_results import predictions_to_coco
    from detseg.formats.predictions import encode_line

    results, notes = predictions_to_coco(predictions, truth)
    path = predictions.with_name("coco_results.json")
    write_whole(path, encode_line(results))
    for line in (*notes, f"{format_count(len(results), 'detection')} in {path}"):
        note(line)


def _print_predicted(report: PredictReport, *, pictures: bool) -> None:
    from detseg.cli.output import print_failures, say

    for path, counts in report.counts.items():
        seen = ", ".join(f"{n} {label}" for label, n in counts.items()) or "nothing"
        say(f"{path}: {seen}")
    drawn = f"{format_count(len(report.counts), 'picture')} and " if pictures else ""
    say(f"{drawn}{report.file.name} in {report.file.parent}")
    if report.failed:
        say(f"{format_count(len(report.failed), 'file')} could not be used:")
        print_failures([(failure.uri, failure.reason) for failure in report.failed])
