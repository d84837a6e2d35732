"""The options that several commands share, and the settings that they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

if TYPE_CHECKING:
    from detseg.config import Settings


def _values_of(setting: str) -> Callable[[str], list[str]]:
    """Return what completes a flag whose setting has a few values."""

    def complete(incomplete: str) -> list[str]:
        from detseg.config import find_option

        field = find_option(setting)
        values = get_args(field.annotation) if field else ()
        return [value for value in values if value.startswith(incomplete)]

    return complete


ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings file; detseg.toml in this folder if there is one.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        help="Boxes: sample, a folder, FILE.onnx, a hub name, results:PATH, reviews, or '' for none."
    ),
]
SegmenterOption = Annotated[
    str | None, typer.Option(help="Masks: sample, a folder, FILE.onnx, a hub name, or '' for none.")
]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
EngineOption = Annotated[
    str | None, typer.Option(help="auto, eager or compile.", autocompletion=_values_of("engine__mode"))
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(help="auto, float32, bfloat16 or float16.", autocompletion=_values_of("engine__precision")),
]
BatchOption = Annotated[int | None, typer.Option("--batch-size", help="Images in one forward pass.")]
BoxThresholdOption = Annotated[float | None, typer.Option(help="Lowest score of a box, 0 to 1.")]
MaskThresholdOption = Annotated[float | None, typer.Option(help="Lowest score of a mask, 0 to 1.")]
ProjectOption = Annotated[str | None, typer.Option(help="Title of the Label Studio project.")]
SourceOption = Annotated[
    str | None, typer.Option(help="A folder, a URL (s3, gs, az, https, labelstudio) or a manifest of images.")
]
PredictionsOption = Annotated[
    str | None,
    typer.Option(
        help="Of a second model version: add (beside the first) or replace (where nobody worked).",
        autocompletion=_values_of("queue__predictions"),
    ),
]
RestoreOption = Annotated[
    bool, typer.Option("--restore", help="Make tasks again that were deleted in Label Studio.")
]
TaskRunnerOption = Annotated[
    str | None,
    typer.Option(help="Where shards are predicted: threads, dask, or dask:tcp://host:port."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what a run would do, and do nothing.")]


def with_token(settings: Settings) -> Settings:
    """The settings with the token of Prefect's block that they name, for what runs outside of a flow."""
    if not settings.label_studio.token_is_in_block:
        return settings
    from flows.server import prefect_api
    from flows.token_block import with_secrets

    with prefect_api(settings.state_path):
        return with_secrets(settings)
