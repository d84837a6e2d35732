"""``detseg score``: the metrics of any two sets of files, without a project or a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detseg.cli import options

if TYPE_CHECKING:
    from detseg.metrics.panoptic import PanopticQuality


def score(
    *,
    truth: Annotated[Path, typer.Option("--truth", help="COCO file, or folder of label maps, of the truth.")],
    results: Annotated[Path, typer.Option("--results", help="COCO file, or folder of label maps, to score.")],
    iou_type: Annotated[Literal["bbox", "segm"], typer.Option(help="Compare boxes or masks.")] = "bbox",
    panoptic: Annotated[bool, typer.Option("--panoptic", help="Both are COCO panoptic JSON.")] = False,
    truth_masks: Annotated[
        Path | None, typer.Option(help="Panoptic PNGs of the truth; else beside its JSON.")
    ] = None,
    results_masks: Annotated[
        Path | None, typer.Option(help="Panoptic PNGs of the results; else beside their JSON.")
    ] = None,
    semantic: Annotated[
        bool, typer.Option("--semantic", help="Both are folders of PNGs with a class per pixel.")
    ] = False,
    names: Annotated[
        Path | None, typer.Option(help='JSON that names the values of label maps: {"1": "bolt"}, or a list.')
    ] = None,
    ignore_value: Annotated[
        int, typer.Option(min=-1, max=65535, help="Value of label maps that does not count; -1 for none.")
    ] = 255,
    as_json: options.JsonOption = False,
) -> None:
    """Measures files of results against files of truth.

    COCO detections by default, COCO panoptic with --panoptic, label maps with --semantic.
    """
    from detseg.cli.output import note, print_json

    _check_flags(
        panoptic=panoptic,
        semantic=semantic,
        only_panoptic={"--truth-masks": truth_masks, "--results-masks": results_masks},
        only_semantic={"--names": names, "--ignore-value": None if ignore_value == 255 else ignore_value},
    )
    if panoptic:
        from detseg.metrics.panoptic import score_panoptic_files

        figures = _panoptic_figures(
            score_panoptic_files(truth, results, truth_masks=truth_masks, results_masks=results_masks)
        )
    elif semantic:
        from dataclasses import asdict

        from detseg.metrics.semantic import score_label_maps

        ignore = None if ignore_value == -1 else ignore_value
        figures = asdict(score_label_maps(truth, results, names_path=names, ignore=ignore))
    else:
        from dataclasses import asdict

        from detseg.metrics.detection import score_coco_files

        figures = asdict(score_coco_files(truth, results, iou_type))
    if as_json:
        print_json(figures)
        return
    for line in figures.pop("notes", ()):
        note(line)
    _print_tables(figures)


def _check_flags(
    *, panoptic: bool, semantic: bool, only_panoptic: dict[str, Any], only_semantic: dict[str, Any]
) -> None:
    from detseg.errors import ConfigError

    if panoptic and semantic:
        raise ConfigError("--panoptic and --semantic are two kinds of files: name one")
    for needed, given, flags in (
        ("--panoptic", panoptic, only_panoptic),
        ("--semantic", semantic, only_semantic),
    ):
        for flag, value in flags.items():
            if value is not None and not given:
                raise ConfigError(f"{flag} says something with {needed} only")


def _panoptic_figures(quality: PanopticQuality) -> dict[str, Any]:
    """PQ and its parts of all classes, of things and of stuff, then of each class."""
    from dataclasses import asdict

    groups = {"": quality.all, "_things": quality.things, "_stuff": quality.stuff}
    figures: dict[str, Any] = {
        f"{name}{group}": value for group, one in groups.items() for name, value in asdict(one).items()
    }
    return figures | {"per_class": {label: asdict(one) for label, one in quality.per_class.items()}}


def _print_tables(figures: dict[str, Any]) -> None:
    """All figures of the whole, one below the other, and a line for each class."""
    from detseg.cli.output import print_table, say

    per_class = figures.pop("per_class")
    print_table(("all classes", ""), [(name, _cell(value)) for name, value in figures.items()])
    if per_class:
        columns = list(next(iter(per_class.values())))
        say()
        print_table(
            ("class", *columns),
            [(label, *(_cell(one[column]) for column in columns)) for label, one in per_class.items()],
        )


def _cell(value: float | int | None) -> str:
    return str(value) if isinstance(value, int) else "n/a" if value is None else f"{value:.4f}"
