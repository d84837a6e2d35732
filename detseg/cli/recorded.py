"""Tells commands that are flow runs, where a Prefect API keeps a record of them, from those that are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detseg.config import Settings


TOKEN_BLOCK = "label_studio.token_block"
BY_PREFECT = (
    TOKEN_BLOCK,
    "run.task_runner",
    "label_studio.shared_writers",
    "label_studio.imports_per_minute",
)
"""Settings that Prefect puts into effect."""


def is_recorded(settings: Settings, *needing: str) -> bool:
    """Tell whether there is a Prefect API. Raises ConfigError if not, and one of these settings needs it."""
    from detseg.errors import ConfigError
    from flows.server import find_api

    if find_api(settings.state_path) is not None:
        return True
    for name in needing:
        if _is_in_use(settings, name):
            raise ConfigError(
                f"{name} works by a Prefect server, and none runs for {settings.state_path}: start it with "
                "`detseg up`, or set PREFECT_API_URL"
            )
    return False


def _is_in_use(settings: Settings, name: str) -> bool:
    if name == TOKEN_BLOCK:
        return settings.label_studio.token_is_in_block
    section, option = name.split(".")
    values = getattr(settings, section)
    return bool(getattr(values, option) != type(values).model_fields[option].default)
