"""Secrets that live in Prefect's blocks: read inside a flow, never a parameter of it."""

from __future__ import annotations

import httpx
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL
from pydantic import SecretStr

from detseg.config import Settings
from detseg.errors import ConfigError, ServiceError


def with_secrets(settings: Settings) -> Settings:
    """The settings with the token of the block that they name, if they have no other.

    Raises ConfigError if there is no such block, or what it holds is no text, ServiceError if Prefect does
    not answer.
    """
    name = settings.label_studio.token_block
    if name is None or not settings.label_studio.token_is_in_block:
        return settings
    try:
        block = Secret.load(name)
    except httpx.ConnectError as error:
        raise ServiceError(
            f"Prefect at {PREFECT_API_URL.value()} does not answer, which has the token's block: start it"
        ) from error
    except ValueError as error:  # Prefect's words of a block that is not there
        raise ConfigError(
            f"label_studio.token_block: Prefect has no Secret block {name!r}: make it on its page (Blocks, "
            "Secret), or with `prefect block create secret`"
        ) from error
    assert isinstance(block, Secret)  # outside of an event loop it is no coroutine
    value = block.get()
    if not isinstance(value, str):
        raise ConfigError(f"label_studio.token_block: the block {name!r} holds no text, expected the token")
    return settings.updated(label_studio__token=SecretStr(value))
