"""``detseg models``: what was trained, which of it pre-annotates, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from detseg.cli import options
from detseg.cli.comparing import compare
from detseg.plurals import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from detseg.catalog import Promotion, RegisteredModel

app = typer.Typer(help="Lists trained models, compares them, and promotes one.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of a model, as `detseg models list` shows it.")]


@app.command("list")
def list_models(
    *,
    removed: Annotated[bool, typer.Option("--removed", help="Also those that were removed.")] = False,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Lists the models that `detseg train` made, the oldest first."""
    from detseg.cli.output import print_json, print_table, say
    from detseg.config import load_settings
    from detseg.pipeline.workspace import opened_catalog

    with opened_catalog(load_settings(config)) as catalog:
        models = catalog.models.all(removed=removed)
        promotion = catalog.promotions.present()
    present = promotion.model if promotion else None
    if as_json:
        print_json({"present": present, "models": [_encode(one, present=present) for one in models]})
    elif not models:
        say("no model yet: `detseg train VERSION --base CHECKPOINT --out FOLDER` makes one")
    else:
        rows = [
            (one.name, one.dataset, _figure(one), f"{one.registered_at:%Y-%m-%d %H:%M}", _state(one, present))
            for one in models
        ]
        print_table(("model", "learned from", "on val", "made (UTC)", ""), rows)


@app.command("show")
def show(
    name: NameArgument, *, config: options.ConfigOption = None, as_json: options.JsonOption = False
) -> None:
    """Shows what a model was made of, its figures, and when it was promoted."""
    from detseg.cli.output import answer_refusals, print_json
    from detseg.config import load_settings
    from detseg.pipeline.promoting import find_any
    from detseg.pipeline.workspace import opened_catalog

    with answer_refusals(as_json, name=name), opened_catalog(load_settings(config)) as catalog:
        model = find_any(catalog, name)
        log = [one for one in catalog.promotions.all() if one.model == name]
        promotion = catalog.promotions.present()
        children = [one.name for one in catalog.models.all() if one.parent == name]
    present = promotion.model if promotion else None
    if as_json:
        entry = _encode(model, present=present)
        print_json({**entry, "children": children, "promotions": [*map(_encode_promotion, log)]})
    else:
        _print_model(model, _state(model, present), children, log)


app.command("compare")(compare)


@app.command("promote")
def promote(
    name: NameArgument,
    *,
    dataset: Annotated[
        str | None,
        typer.Option(help="The dataset version to judge by; without it, the one that it learned from."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Without a judgement; the log says so.")] = False,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Makes a model the one of `detseg preannotate`, if it is better than the present one.

    `detseg models compare` says how that is judged. The model goes over detseg.toml; a flag or a variable
    that names one goes over it. Tasks that wait get its regions with the next run. `detseg models rollback`
    takes it back.
    """
    from detseg.cli.bars import progress_bars
    from detseg.cli.output import answer_refusals, note, print_json, print_lines
    from detseg.config import load_settings
    from detseg.pipeline.outcome import describe_promoted
    from detseg.pipeline.promoting import judging_by
    from detseg.pipeline.promoting import promote as run

    with answer_refusals(as_json, model=name, promoted=False), progress_bars():
        settings = load_settings(config)
        done = run(settings, name, None if force else judging_by(dataset, note))
    if as_json:
        print_json(done.to_json())
    else:
        print_lines(describe_promoted(done, settings))
    if not done.is_present:
        raise typer.Exit(1)


@app.command("rollback")
def rollback(*, config: options.ConfigOption = None, as_json: options.JsonOption = False) -> None:
    """Goes back to the model before the promoted one, or to those of the settings."""
    from detseg.cli.output import answer_refusals, print_json, say
    from detseg.config import load_settings
    from detseg.pipeline.choosing import describe_thresholds
    from detseg.pipeline.promoting import roll_back

    with answer_refusals(as_json, rolled_back=False):
        promotion = roll_back(load_settings(config))
    if as_json:
        entry = {"model": promotion.model, "kind": promotion.kind, "at": promotion.at.isoformat()}
        print_json({"rolled_back": True, **entry})
        return
    lowest = describe_thresholds(promotion)
    own = f", with its lowest scores {lowest}" if lowest else ""
    say(f"`detseg preannotate` predicts with {promotion.model or 'the models of the settings'} again{own}")


@app.command("rm")
def remove(
    name: NameArgument,
    *,
    files: Annotated[bool, typer.Option("--files", help="Delete the checkpoint's files, too.")] = False,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Takes a model out of the list.

    Not the promoted one. What descends from it stays, and the log of promotions, too.
    """
    from detseg.cli.output import answer_refusals, print_json, say
    from detseg.config import load_settings
    from detseg.pipeline.promoting import remove as run

    with answer_refusals(as_json, name=name):
        deleted = run(load_settings(config), name, files=files)
    if as_json:
        print_json({"removed": name, "files": [*map(str, deleted)]})
        return
    left = f", and {format_count(len(deleted), 'file')} deleted" if files else "; its files stay"
    say(f"{name} is out of the list{left}")


def _figure(model: RegisteredModel) -> str:
    """The figure by which its weights were chosen."""
    from detseg.cli.output import figure
    from detseg.training.plan import FIGURES

    best: Mapping[str, Any] = model.figures.get("best", {})
    name = next((one for one in ("pq", "miou", "ap") if best.get(one) is not None), "ap")
    return f"{FIGURES[name]} {figure(best.get(name))}"


def _state(model: RegisteredModel, present: str | None) -> str:
    return "promoted" if model.name == present else "removed" if model.removed_at else ""


def _encode(model: RegisteredModel, *, present: str | None) -> dict[str, Any]:
    return {
        "name": model.name,
        "promoted": model.name == present,
        "path": model.path,
        "digest": model.digest,
        "answers": model.answers,
        "base": model.base,
        "parent": model.parent,
        "dataset": model.dataset,
        "dataset_id": model.dataset_id,
        "seed": model.seed,
        "steps": model.steps,
        "seconds": model.seconds,
        "best": model.figures.get("best"),
        "registered_at": model.registered_at.isoformat(),
        "removed_at": model.removed_at.isoformat() if model.removed_at else None,
    }


def _encode_promotion(promotion: Promotion) -> dict[str, Any]:
    return {
        "kind": promotion.kind,
        "at": promotion.at.isoformat(),
        "judgement": promotion.judgement,
        "box_thresholds": promotion.box_thresholds,
        "mask_thresholds": promotion.mask_thresholds,
        "score_maps": promotion.score_maps,
    }


def _print_model(model: RegisteredModel, state: str, children: list[str], log: list[Promotion]) -> None:
    from detseg.cli.output import say

    say(f"{model.name}{f' ({state})' if state else ''}: {model.path}")
    answers = "boxes and masks" if model.answers == "both" else model.answers
    say(f"  answers {answers}, {_figure(model)} on val")
    descent = f", which is {model.parent}" if model.parent not in (None, model.base) else ""
    say(f"  learned from {model.dataset} ({model.dataset_id[:12]}), from {model.base}{descent}")
    say(f"  {format_count(model.steps, 'step')} in {model.seconds / 60:.1f} minutes, seed {model.seed}")
    if children:
        say(f"  from it came {', '.join(children)}")
    for line in _describe_log(log):
        say(f"  {line}")


def _describe_log(log: list[Promotion]) -> Iterator[str]:
    from detseg.pipeline.choosing import describe_thresholds

    words = {"promoted": "judged to be better", "forced": "by force", "rolled back": "by a rollback"}
    for one in log:
        lowest = describe_thresholds(one)
        used = f"; lowest scores {lowest}" if lowest else ""
        yield f"promoted {one.at:%Y-%m-%d %H:%M} UTC, {words[one.kind]}{used}"
