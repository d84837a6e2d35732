"""``detseg init``: the settings file, written for the first time."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Annotated

import typer


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("detseg.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    template: Annotated[
        Path | None, typer.Option("--from", help="A settings file whose values it begins with, also of 0.1.")
    ] = None,
) -> None:
    """Writes a commented detseg.toml with every setting."""
    from detseg.cli.output import say
    from detseg.config import load_settings, settings_template
    from detseg.errors import ConfigError
    from detseg.files import write_whole

    if not force and os.path.lexists(path):
        raise ConfigError(f"{path} is there already: --force replaces it")
    if template is None:
        text = settings_template()
    else:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # this is what mends it
            text = settings_template(load_settings(template, environ={}))
    try:
        write_whole(path, text, private=template is not None)  # that may hold a token
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    say(f"wrote {path}: say in it where your images are ([source] location), then run `detseg up`")
