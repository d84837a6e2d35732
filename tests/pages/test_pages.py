"""The reference pages show the code as it is."""

from __future__ import annotations

import re

import pytest
import typer
from pydantic import BaseModel, Field

from detseg.cli.app import app
from detseg.config import Settings
from detseg.config.sections import Section
from tests.pages import commands, settings
from tests.pages.marks import table_row, with_generated


def test_the_page_shows_the_settings() -> None:
    page = settings.PAGE.read_text()
    assert page == settings.with_settings(page, Settings), "python -m tests.pages.settings"


def test_the_page_shows_the_commands() -> None:
    page = commands.PAGE.read_text()
    assert page == commands.with_commands(page, app), "python -m tests.pages.commands"


def test_every_setting_says_what_it_is_for() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \|.*\| (.*) \|$", settings.PAGE.read_text())
    assert len(rows) > 60
    assert not [name for name, says in rows if not says]


def test_limits_choices_and_defaults_are_shown() -> None:
    class Sizes(Section):
        """How large things are."""

        most_px: int = Field(default=1000, gt=0, le=2_000_000, description="no larger | than this")

    class Some(BaseModel):
        sizes: Sizes = Sizes()

    page = settings.with_settings("<!-- settings -->\n<!-- end -->", Some)
    assert "## sizes\n\nHow large things are.\n" in page
    row = r"| `most_px` | a whole number above 0 of at most 2,000,000 | `1000` | no larger \| than this |"
    assert row in page


def test_a_new_option_of_a_command_changes_the_page() -> None:
    other = typer.Typer()

    @other.callback()
    def root() -> None: ...

    @other.command("sort")
    def sort(*, by: str = typer.Option("name", help="What comes first.")) -> None:
        """Sorts what is there."""

    page = commands.with_commands("<!-- commands -->\n<!-- end -->", other)
    assert "## detseg sort\n\nSorts what is there.\n" in page
    assert "| `--by <str>` | What comes first. [default: name] |" in page


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="0 places for 'settings'"):
        with_generated("# Settings", "settings", "")


def test_bars_do_not_end_a_cell() -> None:
    assert table_row("<json|coco>") == r"| <json\|coco> |"
