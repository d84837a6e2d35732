"""Commands for the embedded servers and the machine: up, down, status, doctor."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detseg.cli import options
from detseg.plurals import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from detseg.config import Settings
    from detseg.config.settings import ServerAccess
    from detseg.pipeline.doctor import Check


def up(config: options.ConfigOption = None, as_json: options.JsonOption = False) -> None:
    """Starts Label Studio and a Prefect server on this machine.

    Says how to get in. What runs already is left as it is.
    """
    from detseg.cli.output import note, print_json, say
    from detseg.config import load_settings
    from detseg.files import private_folder
    from detseg.labelstudio.install import ensure_installed
    from detseg.labelstudio.server import LOCAL_HOOKS, EmbeddedLabelStudio
    from detseg.pipeline.exposed import close_all_exposed
    from flows import server as prefect_server
    from flows.dead_runs import ensure_automation

    settings = load_settings(config)
    private_folder(settings.state_path)
    ensure_installed(note)
    variables = LOCAL_HOOKS if settings.label_studio.hooks else {}
    label_studio = EmbeddedLabelStudio(settings.state_path, variables=variables)
    if not label_studio.status().running:
        note("starting Label Studio ...")
    connection = label_studio.up()
    prefect = prefect_server.up(settings.state_path)
    ensure_automation(prefect)
    for line in close_all_exposed(settings):
        note(line)
    if as_json:
        print_json(
            {
                "label_studio": {
                    "url": connection.url,
                    "username": connection.username,
                    "credentials": str(label_studio.credentials_file),
                },
                "prefect": {
                    "url": prefect.ui_url,
                    "api_url": prefect.api_url,
                    "credentials": str(prefect.credential_file),
                },
            }
        )
        return
    say(f"Label Studio  {connection.url}")
    say(f"              user and password: {label_studio.credentials_file}")
    say(f"Prefect       {prefect.ui_url}")
    say(f"              what its page asks for: {prefect.credential_file}")
    say("`detseg preannotate` fills the queue; `detseg down` stops both")


def down(config: options.ConfigOption = None, as_json: options.JsonOption = False) -> None:
    """Stops the embedded servers; what is in them stays."""
    from detseg.cli.output import print_json, say
    from detseg.config import load_settings
    from detseg.labelstudio.server import EmbeddedLabelStudio
    from flows import server as prefect_server

    settings = load_settings(config)
    stopped = {
        "label_studio": EmbeddedLabelStudio(settings.state_path).down(),
        "prefect": prefect_server.down(settings.state_path),
    }
    if as_json:
        print_json({"stopped": stopped})
        return
    for name, was_running in stopped.items():
        say(f"{name.replace('_', ' ').title():<12}  {'stopped' if was_running else 'did not run'}")


def status(
    *,
    config: options.ConfigOption = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Name each image that could not be used, and why.")
    ] = False,
    clear_quarantine: Annotated[
        bool, typer.Option("--clear-quarantine", help="Forget the images that could not be used.")
    ] = False,
    people: Annotated[
        bool, typer.Option("--people", help="Say who user-3 is: reports and versions keep no addresses.")
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Says which servers run, and what the catalog holds."""
    from detseg.cli.output import print_json, say
    from detseg.config import load_settings
    from flows import server as prefect_server

    settings = load_settings(config)
    prefect = prefect_server.status(settings.state_path)
    result: dict[str, Any] = {
        "label_studio": _label_studio(settings.server),
        "prefect": {"running": prefect is not None, "url": prefect.ui_url if prefect else None},
        "catalog": _catalog(settings, clears=clear_quarantine),
        "state_dir": str(settings.state_path),
    }
    if people:
        result["people"] = _people(options.with_token(settings).server)
    if as_json:
        print_json(result)
        return
    label_studio, own = result["label_studio"], settings.label_studio.url
    place = f"{own} (`detseg doctor` looks)" if own else _place(label_studio["url"], label_studio["healthy"])
    say(f"Label Studio  {place}")
    say(f"Prefect       {_place(prefect.ui_url if prefect else None, True)}")
    if prefect is not None:
        say(f"              what its page asks for: {prefect.credential_file}")
    say(f"catalog       {format_count(result['catalog']['images'], 'image')}")
    if result["catalog"]["model"]:
        say(f"              predicts with {result['catalog']['model']}, the promoted model")
    for project in result["catalog"]["projects"]:
        states = ", ".join(f"{n} {state}" for state, n in project["tasks"].items())
        say(f"              images of {project['title']!r}, as last collected: {states}")
    failed = result["catalog"]["quarantine"]
    if failed:
        more = "" if quarantine else " (`detseg status --quarantine` names them)"
        say(f"quarantine    {format_count(len(failed), 'image')}{more}")
    for one in failed if quarantine else ():
        say(f"              {one['uri']} {one['reason']}")
    for author, address in result.get("people", {}).items():
        say(f"{author:<12}  {address}")
    say(f"state         {settings.state_path}")


def _label_studio(server: ServerAccess) -> dict[str, Any]:
    """Look for the embedded server; one of the settings is not asked."""
    from detseg.labelstudio.server import EmbeddedLabelStudio

    if server.url is not None:
        return {"running": None, "healthy": None, "url": server.url}
    found = EmbeddedLabelStudio(server.state_path).status()
    return {"running": found.running, "healthy": found.healthy, "url": found.url}


def _people(server: ServerAccess) -> dict[str, str]:
    """Ask Label Studio for the addresses of its users, by the names of authors."""
    from detseg.pipeline.workspace import open_client

    with open_client(server) as client:
        return {f"user-{number}": address for number, address in sorted(client.people().items())}


def _catalog(settings: Settings, *, clears: bool) -> dict[str, Any]:
    """Count what the catalog holds, after emptying its quarantine if asked; none is made if there is none."""
    from detseg.pipeline.workspace import opened_catalog

    if settings.catalog is None and not settings.state_path.is_dir():
        return {"images": 0, "model": None, "quarantine": [], "projects": []}
    with opened_catalog(settings) as catalog:
        if clears:
            catalog.quarantine.clear([one.uri for one in catalog.quarantine.entries()])
        promotion = catalog.promotions.present()
        return {
            "images": catalog.images.count(),
            "model": promotion.model if promotion else None,
            "quarantine": [
                {"uri": one.uri, "reason": one.reason, "stage": one.stage}
                for one in catalog.quarantine.entries()
            ],
            "projects": [
                {"title": project.title, "tasks": catalog.reviews.states(project.key)}
                for project in catalog.projects.all(unserved=True)
            ],
        }


def _place(url: str | None, healthy: bool) -> str:
    if url is None:
        return "does not run (`detseg up` starts it)"
    return url if healthy else f"{url} runs, but does not answer (`detseg down`, then `detseg up`)"


def doctor(
    *,
    config: options.ConfigOption = None,
    source: options.SourceOption = None,
    detector: options.DetectorOption = None,
    segmenter: options.SegmenterOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Says what is missing or wrong, and what mends it."""
    from detseg.cli.output import print_json, say
    from detseg.config import load_settings
    from detseg.pipeline.doctor import examine

    settings = load_settings(
        config, source__location=source, model__detector=detector, model__segmenter=segmenter
    )
    settings = options.with_token(settings)
    checks = []
    for check in chain(examine(settings), _prefect_checks(settings.state_path)):
        checks.append(check)
        if not as_json:
            say(f"{'ok ' if check.ok else 'NOT'}  {check.name}: {check.found}")
            if not check.ok:
                say(f"     mend: {check.mend}")
    if as_json:
        print_json(
            {
                "ok": all(check.ok for check in checks),
                "checks": [
                    {"name": c.name, "ok": c.ok, "found": c.found, "mend": None if c.ok else c.mend}
                    for c in checks
                ],
            }
        )
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _prefect_checks(state: Path) -> Iterator[Check]:
    from flows.dead_runs import look_for_dead_runs

    yield look_for_dead_runs(state)
