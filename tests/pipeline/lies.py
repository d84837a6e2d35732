"""Lies about answers of a server: what may stand in place of a value, a body, a header, a status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

MOST_ANSWERS = 300
"""More than ten times what the longest run asks for: one that goes on asking is taken for endless."""
_DEEP: list[Any] = []
for _ in range(400):
    _DEEP = [_DEEP]
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2**31, 2**63, 10**400, 1.5, 1e308, float("nan"), float("inf"),
    "", "a\x00b", "\ud800", "1", "-1", "x" * 100_000, "2026-13-45T99:99:99", "0001-01-01T00:00:00+23:59",
    "../../etc/passwd", "http://[::1", "<View", "1" * 5_000, [], [None], [[]], {}, {"id": None}, _DEEP,
)  # fmt: skip
BODIES: tuple[bytes, ...] = (
    b"", b"null", b"[]", b"{}", b"[[]]", b'"text"', b"\xff\xfe\x00", b"\x00", b"[" * 100_000,
    b'{"id":' * 100_000, b"9" * 6_000, b"NaN", b"<html><title>Sign in</title></html>", b'{"id": 1}',
    b'[{"id": "\\ud800"}]', b"\xef\xbb\xbf{}", b'{"detail": {"a": [null]}}', b'{"validation_errors": 1}',
)  # fmt: skip
HEADERS: tuple[tuple[str, str], ...] = (
    ("Date", "yesterday"), ("Date", "Mon, 99 Foo 99999 99:99:99 GMT"), ("Date", ""),
    ("Date", "Fri, 31 Dec 9999 23:59:59 GMT"), ("Content-Type", "application/json; charset=zip"),
    ("Content-Type", "text/html; charset=idna"), ("Retry-After", "9" * 400), ("Location", "http://[::1"),
)  # fmt: skip
STATUSES = (201, 204, 301, 302, 400, 401, 403, 404, 409, 413, 418, 429, 500, 502, 503, 504, 599)
SOON = (
    "0", "-1", "-1000000000", "0.1", "1e9", "0x10", "\u00b2", "soon", "", " ", "0, 0", "NaN",
    "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 99999 99:99:99 GMT", "Thu, 01 Jan 0001 00:00:00 +2359",
)  # fmt: skip
LATE = (str(10**9), "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT")
"""When to come again; each of the second kind costs half a minute."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Lie:
    """A lie about answers to one kind of request: the first ``n_true`` are left alone, ``n_lies`` follow."""

    kind: str
    seed: str
    n_true: int = 0
    n_lies: int = MOST_ANSWERS
    n_asked: int = 0

    def tell(self, true: Answer) -> Answer:
        self.n_asked += 1
        is_lie = self.n_true < self.n_asked <= self.n_true + self.n_lies
        return lie_of(Random(self.seed), true)[1] if is_lie else true

    def describe(self, true: Answer) -> str:
        lies = "all" if self.n_lies == MOST_ANSWERS else str(self.n_lies)
        return f"{self.kind}, {lies} after {self.n_true}: {lie_of(Random(self.seed), true)[0]}"


def lie_of(random: Random, true: Answer) -> tuple[str, Answer]:
    """One lie about an answer, in words and as it is given."""
    chance = random.random()
    if chance < 0.08:
        name, value = random.choice(HEADERS)
        return f"{name}: {value[:40]}", replace(true, headers={**true.headers, name: value})
    if chance < 0.22:
        status = random.choice(STATUSES)
        again = random.choice(LATE if random.random() < 0.05 else SOON)
        headers = {**true.headers, "Retry-After": again} if random.random() < 0.5 else true.headers
        return f"HTTP {status}, again {again[:30]!r}", replace(true, status=status, headers=headers)
    try:
        document = json.loads(true.body)
    except ValueError:
        document = None
    if chance < 0.35 or not isinstance(document, dict | list) or not document:
        body = random.choice(BODIES)
        return f"body {body[:30]!r}", replace(true, body=body)
    place, path = document, []
    while True:
        key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
        path.append(key)
        if not (isinstance(place[key], dict | list) and place[key]) or random.random() < 0.25:
            break
        place = place[key]
    if random.random() < 0.15:
        del place[key]
        words = "left out"
    else:
        place[key] = random.choice(VALUES)
        words = repr(place[key])[:40] if place[key] is not _DEEP else "a deep list"
    body = json.dumps(document).encode()
    return f"{'.'.join(map(str, path))}: {words}", replace(true, body=body)
