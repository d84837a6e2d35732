"""The use case of ``detseg hook``: collects soon after somebody annotated, and now and then in any case.

The webhook only rings; what changed is asked for, as ``detseg collect`` does. Many rings are one collect.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detseg.errors import ConfigError, DetsegError, LockHeld, Unreachable
from detseg.labelstudio.webhook import HookReceiver, register, unregister
from detseg.pipeline.collect import CollectReport, collect_reviews
from detseg.pipeline.workspace import find_project, open_client, opened_catalog

if TYPE_CHECKING:
    from pydantic import SecretStr

    from detseg.catalog import Catalog
    from detseg.config import Settings
    from detseg.config.settings import ServerAccess

_CALM_S = 0.5  # a person who submits is often about to submit again
_LONGEST_S = 5.0


class Debouncer:
    """Is rung by many threads and waited for by one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._n_rings = 0
        self._stopped = False

    def ring(self) -> None:
        """Something changed. Returns at once."""
        with self._changed:
            self._n_rings += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Ends the waiting for good."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def wait(self, at_most_s: float) -> bool:
        """Waits until it has been rung and is calm again, or for so long; False once it was stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._n_rings > 0 or self._stopped, at_most_s)
            until = time.monotonic() + _LONGEST_S
            while self._n_rings and not self._stopped and time.monotonic() < until:
                self._n_rings = 0
                if not self._changed.wait_for(lambda: self._n_rings > 0 or self._stopped, _CALM_S):
                    break
            self._n_rings = 0
            return not self._stopped


@dataclass(frozen=True, slots=True)
class Listening:
    """The address to listen at, and what the server is told.

    ``url`` is how the server reaches us, where that is not the address that we listen on. Without
    ``registers`` somebody has to make the webhook by hand, or nothing rings and only ``poll_s`` counts.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    url: str | None = None
    registers: bool = False
    poll_s: float = 300.0


def follow(
    settings: Settings,
    listening: Listening,
    *,
    debouncer: Debouncer,
    tell: Callable[[CollectReport], None],
    complain: Callable[[DetsegError], None],
    collect_once: Callable[[Settings, Catalog], CollectReport] = collect_reviews,
) -> None:
    """Collects until the debouncer is stopped: at the start, when it was rung, and every ``poll_s`` seconds.

    ``tell`` gets every report, ``complain`` the times that the server did not answer, or that a long push had
    the queue; then it is tried again. Everything else that collecting raises ends it.
    """
    secret = _secret(settings.label_studio.hook_secret)
    title = settings.queue.project
    with (
        opened_catalog(settings) as catalog,
        HookReceiver(listening.host, listening.port, secret, debouncer.ring) as receiver,
        _registered(settings.server, title, listening.url or receiver.url, secret)
        if listening.registers
        else nullcontext(),
    ):
        debouncer.ring()
        while debouncer.wait(listening.poll_s):
            try:
                tell(collect_once(settings, catalog))
            except (Unreachable, LockHeld) as error:
                complain(error)


def _secret(given: SecretStr | None) -> str:
    """The secret of the settings, else one for this time alone: we tell it to the server, or nobody rings."""
    if given is None:
        return secrets.token_urlsafe(32)
    secret = given.get_secret_value()
    if not (secret.strip() and secret.isascii() and secret.isprintable()):
        raise ConfigError("hook_secret is sent in a header: it has to have letters, ASCII ones alone")
    return secret


@contextmanager
def _registered(server: ServerAccess, title: str, url: str, secret: str) -> Iterator[None]:
    """The server calls us inside the block about that project."""
    with open_client(server) as client:
        project = find_project(client, title)
        webhook = register(client.session, project.id, url, secret)
        try:
            yield
        finally:
            unregister(client.session, webhook)
