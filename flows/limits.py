"""The limit on requests of all workers together that add something to a Label Studio, kept by Prefect's
server.

Prefect's server counts, so the limits hold for every worker that reports to it. A worker that dies holds its
place for ``_LEASE_S`` more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import httpx
from prefect.client.orchestration import get_client
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency, rate_limit
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL

from detseg.config.sections import LabelStudioSettings
from detseg.config.settings import ServerAccess
from detseg.errors import ServiceError
from detseg.pipeline.workspace import find_connection

_LEASE_S = 60.0  # the shortest that Prefect grants


def import_limit(
    server: ServerAccess, limits: LabelStudioSettings
) -> Callable[[], AbstractContextManager[None]]:
    """The limits of the settings for their server, made or changed at the Prefect server.

    The answer is entered around one request: it waits for a place, and for the next moment of the rate.
    """
    parts = urlsplit(find_connection(server).url)
    name = f"{parts.hostname}-{parts.port or parts.scheme}"
    place, rate = f"detseg-imports-{name}", f"detseg-rate-{name}"
    most, per_minute = limits.shared_writers, limits.imports_per_minute
    with _reaching_prefect():
        if most:
            _set_limit(place, most)
        if per_minute:
            _set_limit(rate, 1, slot_decay_per_second=per_minute / 60)

    @contextmanager
    def limit() -> Iterator[None]:
        held = ExitStack()
        with _reaching_prefect():
            if per_minute:
                rate_limit(rate, strict=True)
            if most:
                held.enter_context(
                    concurrency(
                        place, lease_duration=_LEASE_S, raise_on_lease_renewal_failure=False, strict=True
                    )
                )
        try:
            yield
        finally:
            with suppress(httpx.HTTPError):  # the request is done, and the place comes free by itself
                held.close()

    return limit


@contextmanager
def _reaching_prefect() -> Iterator[None]:
    """Turn Prefect's errors into one line."""
    try:
        yield
    except (httpx.HTTPError, ConcurrencySlotAcquisitionError) as error:
        raise ServiceError(
            f"Prefect at {PREFECT_API_URL.value()}, which counts the imports of all workers, does not answer "
            f"({error}): see to it and run this again, it goes on where it was"
        ) from error


def _set_limit(name: str, limit: int, *, slot_decay_per_second: float = 0.0) -> None:
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):  # another worker was quicker
        client.upsert_global_concurrency_limit_by_name(name, limit, slot_decay_per_second)
