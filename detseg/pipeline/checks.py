"""The result of a look at one thing, and what fixes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from detseg.errors import DetsegError


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``mend`` says what to do where ``ok`` is False."""

    name: str
    ok: bool
    found: str
    mend: str = ""


def attempt(name: str, look: Callable[[], str], mend: str) -> Check:
    """The check that ``look`` makes: it answers what it found, or raises."""
    try:
        return Check(name, True, look())
    except DetsegError as error:
        return Check(name, False, str(error), mend)
