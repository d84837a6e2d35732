"""The commands of docs/commands.md, made from the command line itself: ``python -m tests.pages.commands``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from detseg.cli.app import app
from tests.pages.marks import table_row, with_generated

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def main() -> None:
    PAGE.write_text(with_commands(PAGE.read_text(), app))


def with_commands(page: str, app: typer.Typer) -> str:
    """Return the page with every command of the app, made anew."""
    return with_generated(page, "commands", "\n".join(_commands(app)))


def _commands(app: typer.Typer) -> Iterator[str]:
    for name, command in _leaves(typer.main.get_command(app).commands):
        context = typer.Context(command, info_name=f"detseg {name}")
        usage = command.get_usage(context).removeprefix("Usage: ")
        yield f"## detseg {name}\n\n{command.help}\n\n```text\n{usage}\n```\n"
        records = [record for one in command.params if (record := one.get_help_record(context))]
        yield "| option | says |\n|---|---|"
        yield from (table_row(f"`{option}`", says.replace("  [", " [")) for option, says in records)
        yield ""


def _leaves(commands: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its whole name, those of groups too."""
    for name, command in commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command.commands, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


if __name__ == "__main__":
    main()
