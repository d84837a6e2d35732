"""What the flows take: a settings file and overrides. No secrets: Prefect shows parameters to everybody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from detseg.config import Settings, load_settings
from detseg.errors import ConfigError

Overrides = dict[str, str | int | float | bool | None]
"""Settings by name that go over the file and the environment, as flags do; None means not given."""


def run_settings(config: Path | str | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a run. Raises ConfigError, also for a secret among the overrides."""
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    unknown = sorted(given.keys() - Settings.model_fields.keys())
    if unknown:
        raise ConfigError(
            f"overrides: there is no setting {unknown[0]!r}; see `detseg init` for what there is"
        )
    for name, value in given.items():
        if _is_secret(name, value):
            raise ConfigError(
                f"overrides: {name} holds a secret, and everybody can read a flow's parameters: set "
                f"DETSEG_{name.upper()} for the process that runs the flow"
            )
    return load_settings(None if config is None else Path(config), **given)


def _is_secret(name: str, value: object) -> bool:
    has_password = isinstance(value, str) and "://" in value and urlsplit(value).password is not None
    return SecretStr.__name__ in str(Settings.model_fields[name].annotation) or has_password
