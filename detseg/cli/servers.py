"""Commands for the embedded servers and the machine: up, down, status, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from detseg.cli import options

if TYPE_CHECKING:
    from detseg.config import Settings


def up(config: options.ConfigOption = None, as_json: options.JsonOption = False) -> None:
    """Starts Label Studio and a Prefect server on this machine.

    Says how to get in. What runs already is left as it is.
    """
    from detseg.cli.output import note, print_json
    from detseg.config import load_settings
    from detseg.labelstudio.install import ensure_installed
    from detseg.labelstudio.server import LOCAL_HOOKS, EmbeddedLabelStudio
    from flows import server as prefect_server

    settings = load_settings(config)
    settings.state_path.mkdir(parents=True, exist_ok=True)
    ensure_installed(note)
    variables = LOCAL_HOOKS if settings.label_studio_hooks else {}
    label_studio = EmbeddedLabelStudio(settings.state_path, variables=variables)
    if not label_studio.status().running:
        note("starting Label Studio ...")
    connection = label_studio.up()
    prefect = prefect_server.up(settings.state_path)
    if as_json:
        print_json(
            {
                "label_studio": {
                    "url": connection.url,
                    "username": connection.username,
                    "credentials": str(label_studio.credentials_file),
                },
                "prefect": {"url": prefect.ui_url, "api_url": prefect.api_url},
            }
        )
        return
    print(f"Label Studio  {connection.url}")
    print(f"              user and password: {label_studio.credentials_file}")
    print(f"Prefect       {prefect.ui_url}")
    print("`detseg preannotate` fills the queue; `detseg down` stops both")


def down(config: options.ConfigOption = None, as_json: options.JsonOption = False) -> None:
    """Stops the embedded servers; what is in them stays."""
    from detseg.cli.output import print_json
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
        print(f"{name.replace('_', ' ').title():<12}  {'stopped' if was_running else 'did not run'}")


def status(config: options.ConfigOption = None, as_json: options.JsonOption = False) -> None:
    """Says which servers run, and what the catalog holds."""
    from detseg.cli.output import print_json
    from detseg.config import load_settings
    from detseg.labelstudio.server import EmbeddedLabelStudio
    from flows import server as prefect_server

    settings = load_settings(config)
    label_studio = EmbeddedLabelStudio(settings.state_path).status()
    prefect = prefect_server.status(settings.state_path)
    result: dict[str, Any] = {
        "label_studio": {
            "running": label_studio.running,
            "healthy": label_studio.healthy,
            "url": label_studio.url,
        },
        "prefect": {"running": prefect is not None, "url": prefect.ui_url if prefect else None},
        "catalog": _catalog(settings),
        "state_dir": str(settings.state_path),
    }
    if as_json:
        print_json(result)
        return
    print(f"Label Studio  {_place(label_studio.url, label_studio.healthy)}")
    print(f"Prefect       {_place(prefect.ui_url if prefect else None, True)}")
    print(f"catalog       {result['catalog']['images']} images")
    for project in result["catalog"]["projects"]:
        states = ", ".join(f"{n} {state}" for state, n in project["tasks"].items())
        print(f"              tasks of {project['title']!r}, as last collected: {states}")
    print(f"state         {settings.state_path}")


def _catalog(settings: Settings) -> dict[str, Any]:
    """What the catalog holds; one that is not there yet is not made."""
    from detseg.pipeline.workspace import opened_catalog

    if settings.catalog is None and not settings.state_path.is_dir():
        return {"images": 0, "projects": []}
    with opened_catalog(settings) as catalog:
        return {
            "images": catalog.images.count(),
            "projects": [
                {"title": project.title, "tasks": catalog.reviews.states(project.key)}
                for project in catalog.projects.all()
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
    from detseg.cli.output import print_json
    from detseg.config import load_settings
    from detseg.pipeline.doctor import examine

    settings = load_settings(config, source=source, detector=detector, segmenter=segmenter)
    settings = options.with_token(settings)
    checks = []
    for check in examine(settings):
        checks.append(check)
        if not as_json:
            print(f"{'ok ' if check.ok else 'NOT'}  {check.name}: {check.found}", flush=True)
            if not check.ok:
                print(f"     mend: {check.mend}", flush=True)
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
