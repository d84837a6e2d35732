"""The parameters of the flows: a settings file and overrides. No secrets: Prefect shows parameters to
everybody."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from detseg.config import Settings, find_option, load_settings
from detseg.errors import ConfigError

Overrides = dict[str, str | int | float | bool | None]
"""Settings as ``section__option`` that go over the file and the environment; None means not given."""


def run_settings(config: Path | str | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a run. Raises ConfigError, also for a secret among the overrides."""
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    for name, value in given.items():
        field = find_option(name)
        if field is None:
            raise ConfigError(
                f"overrides: there is no setting {name!r} (section__option is expected); `detseg init` "
                "writes a file with all"
            )
        if SecretStr.__name__ in str(field.annotation) or _has_password(value):
            raise ConfigError(
                f"overrides: {name} holds a secret, and everybody can read a flow's parameters: set "
                f"DETSEG_{name.upper()} for the process that runs the flow"
            )
    return load_settings(None if config is None else Path(config), **given)


def _has_password(value: object) -> bool:
    with suppress(ValueError):  # no URL, which the settings refuse
        return isinstance(value, str) and "://" in value and urlsplit(value).password is not None
    return False
