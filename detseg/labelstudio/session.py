"""Requests to one Label Studio server: authentication, timeouts, bounded retries, errors in one line.

Reading and what sets a value (GET, PATCH, DELETE) is repeated a few times when nobody is there, on 5xx and on
429. Not where a server took the request and was silent for a minute: it hangs, and would do so again. What
adds something (POST) is never repeated, because a request whose answer got lost may have been carried out.
Its error says what is known: Refused did nothing, Busy most likely nothing; after Unreachable and any other
LabelStudioError nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from detseg.bounded_http import AnswerTooLarge, AnswerTooSlow, BoundedClient, Bounds
from detseg.errors import BrokenAnswer, Busy, LabelStudioError, Refused, Silent, Unreachable
from detseg.labelstudio.auth import token_auth
from detseg.labelstudio.json_body import encode_json
from detseg.labelstudio.responses import (
    back_off_s,
    explain,
    is_loopback,
    lacks_room,
    one_line,
    read_object,
    read_objects,
    read_reason,
    retry_after_s,
)
from detseg.waits import waiting

Json = dict[str, Any]

_IS_JSON = {"Content-Type": "application/json"}
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_KEEPING, _FRESH = httpx.Limits(max_keepalive_connections=20), httpx.Limits(max_keepalive_connections=0)
_BOUNDS = Bounds(max_bytes=256_000_000, total_s=900.0)  # the longest import takes 600 s to begin its answer
_N_ATTEMPTS = 4
_SILENT = (httpx.ReadTimeout, httpx.WriteTimeout, AnswerTooSlow)
_BUSY = (429, 503)
_NOBODY_THERE = (502, 504)  # a proxy in front says so; what it passed on may have been carried out


class Session:
    """A connection to one server as one user. Raises Unreachable and LabelStudioError."""

    def __init__(
        self, url: str, token: str, *, transport: httpx.BaseTransport | None, sleep: Callable[[float], None]
    ) -> None:
        self.url = url.rstrip("/")
        self._sleep = sleep
        self._http = BoundedClient(
            _BOUNDS,
            base_url=self.url,
            auth=token_auth(token, self.url),
            timeout=_TIMEOUT,
            transport=transport,
            # Label Studio's own server, which knows no TLS, sends the head of an answer, then its body. On a
            # connection that is used again, the body waits for our kernel's acknowledgement: 40 ms.
            limits=_KEEPING if self.url.startswith("https:") else _FRESH,
            trust_env=not is_loopback(self.url),  # a proxy cannot reach our loopback
        )

    def close(self) -> None:
        self._http.close()

    def json(
        self,
        method: str,
        path: str,
        *,
        params: Json | None = None,
        body: Any = None,
        timeout: httpx.Timeout = _TIMEOUT,
    ) -> Json:
        """The object that the server answers with."""
        response = self.send(method, path, params=params, body=body, timeout=timeout)
        return read_object(response, f"{self.url}{path}")

    def objects(self, path: str, params: Json | None = None) -> list[Json]:
        """The list of objects behind a path."""
        return read_objects(self.send("GET", path, params=params), f"{self.url}{path}")

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Json | None = None,
        body: Any = None,
        files: Sequence[tuple[str, bytes]] = (),
        timeout: httpx.Timeout = _TIMEOUT,
        redirects: bool = False,
        patient: bool = True,
    ) -> httpx.Response:
        """The server's answer, which is a success, or where ``redirects`` are wanted also one of those.

        A ``body`` of bytes is JSON already, others become it; ``files`` are names and contents.
        """
        content: Json = {}
        if files:
            content = {"files": [(name, (name, data)) for name, data in files]}
        elif body is not None:
            content = {"content": body if isinstance(body, bytes) else encode_json(body), "headers": _IS_JSON}
        n_attempts = _N_ATTEMPTS if patient and method != "POST" else 1
        for attempt in range(1, n_attempts + 1):
            last = attempt == n_attempts
            try:
                response = self._http.request(method, path, params=params, timeout=timeout, **content)
            except httpx.TransportError as error:
                if last or isinstance(error, _SILENT):
                    kind = Silent if isinstance(error, _SILENT) else Unreachable
                    raise kind(
                        f"Label Studio at {self.url} did not answer {method} {path} ({type(error).__name__}: "
                        f"{one_line(str(error))}): is it running? `detseg up` starts the embedded one, "
                        "label_studio.url names another"
                    ) from error
                self._pause(back_off_s(attempt, None))
                continue
            except AnswerTooLarge as error:
                words = f"Label Studio at {self.url} answered {method} {path} with too much: {error}"
                raise BrokenAnswer(words) from error
            except (
                httpx.RequestError,
                httpx.InvalidURL,
            ) as error:  # packed wrongly, sent on to no URL
                raise LabelStudioError(
                    f"Label Studio at {self.url} answered {method} {path} with what cannot be read "
                    f"({one_line(str(error))}): is a proxy in between?"
                ) from error
            if response.is_success or (redirects and response.has_redirect_location):
                return response
            asked_s = retry_after_s(response, datetime.now(UTC))
            if last or not (response.status_code >= 500 or response.status_code == 429):
                raise _error(response, explain(response, self.url, f"{method} {path}"), asked_s)
            self._pause(back_off_s(attempt, asked_s))
        raise AssertionError("the last attempt returns or raises")

    def _pause(self, seconds: float) -> None:
        with waiting(f"Label Studio at {self.url} to have time for us", longest_s=seconds):
            self._sleep(seconds)


def _error(response: httpx.Response, words: str, asked_s: float | None) -> LabelStudioError:
    status = response.status_code
    if status in _BUSY:
        return Busy(words, asked_s)
    if status in _NOBODY_THERE:
        return Unreachable(words)
    if status < 500:
        return Refused(words, status, read_reason(response))
    return LabelStudioError(words) if lacks_room(response) else BrokenAnswer(words)
