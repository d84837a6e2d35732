"""The commands and their order in ``detseg --help``."""

from __future__ import annotations

from typing import Annotated

import typer

import detseg
from detseg.cli import (
    convert,
    dataset,
    demo,
    hook,
    importing,
    init,
    loop,
    models,
    predict,
    retrain,
    score,
    servers,
    taxonomy,
    training,
)
from detseg.cli.output import say

app = typer.Typer(
    name="detseg",
    help="Pre-annotates images with detection and segmentation, feeds Label Studio, and measures what "
    "people correct.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"detseg {detseg.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("up")(servers.up)
app.command("down")(servers.down)
app.command("status")(servers.status)
app.command("preannotate")(loop.preannotate)
app.command("collect")(loop.collect)
app.command("hook")(hook.hook)
app.command("qa")(loop.qa)
app.command("import")(importing.import_)
app.add_typer(dataset.app, name="dataset")
app.add_typer(taxonomy.app, name="taxonomy")
app.command("train")(training.train)
app.add_typer(models.app, name="models")
app.command("retrain")(retrain.retrain)
app.command("convert")(convert.convert)
app.command("predict")(predict.predict)
app.command("score")(score.score)
app.command("doctor")(servers.doctor)
