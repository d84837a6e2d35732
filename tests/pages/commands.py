"""The commands of docs/commands.md, made from the command line itself: ``python -m tests.pages.commands``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
    for name, command in typer.main.get_command(app).commands.items():
        context = typer.Context(command, info_name=f"detseg {name}")
        usage = command.get_usage(context).removeprefix("Usage: ")
        yield f"## detseg {name}\n\n{command.help}\n\n```text\n{usage}\n```\n"
        records = [record for one in command.params if (record := one.get_help_record(context))]
        yield "| option | says |\n|---|---|"
        yield from (table_row(f"`{option}`", says.replace("  [", " [")) for option, says in records)
        yield ""


if __name__ == "__main__":
    main()
