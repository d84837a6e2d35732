"""Authentication of requests: a legacy token as it is, a personal access token through one it buys.

A personal access token is a JWT that only buys access tokens, which live for about five minutes
(``POST /api/token/refresh/``); it is refused when it is sent itself.
"""

from __future__ import annotations

import base64
import math
import re
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx

from detseg.errors import ConfigError, FormatError, LabelStudioError
from detseg.files import parse_json

SET_TOKEN = "set DETSEG_LABEL_STUDIO__TOKEN, or put it into the file that label_studio.token_file names"

_RENEW_BEFORE_S = 30.0
_TOKEN = re.compile(r"[!-~]{1,8000}")  # what a header can hold, and servers take
_STATES = {"expired": "has expired", "blacklisted": "was revoked"}


def token_auth(token: str, base_url: str) -> httpx.Auth:
    """The authentication that fits the token's form. Raises LabelStudioError if there is no token."""
    token = token.strip()
    if not token:
        raise LabelStudioError(
            f"no token for Label Studio at {base_url}: take one from your account page there and {SET_TOKEN}"
        )
    if token.count(".") == 2:
        return _PersonalToken(token, base_url)
    return _LegacyToken(token, base_url)


def read_token(file: Path) -> str:
    """The token in a file that holds nothing else. Raises ConfigError, which never quotes the file."""
    try:
        words = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigError(f"label_studio.token_file: {file} cannot be read: {reason}") from None
    if len(words) != 1:
        raise ConfigError(
            f"label_studio.token_file: {file} holds {len(words)} words, expected the token alone"
        )
    return words[0]


def is_private(file: Path) -> bool:
    """Check that nobody but the file's owner may read it."""
    return not file.stat().st_mode & 0o077


class _OwnServer(httpx.Auth):
    """The one place where a token is put into a request, which has to go to the server that it is for."""

    def __init__(self, base_url: str) -> None:
        self._url = base_url.rstrip("/")
        self._origin = _origin(httpx.URL(self._url))

    def sign(self, request: httpx.Request, words: str) -> httpx.Request:
        """The request with these words as its authorization. Raises LabelStudioError for another server."""
        if _origin(request.url) != self._origin:
            raise LabelStudioError(
                f"{request.url.copy_with(path='/')} is not {self._url}: the token of Label Studio goes "
                "nowhere else"
            )
        request.headers["Authorization"] = words
        return request


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


class _LegacyToken(_OwnServer):
    def __init__(self, token: str, base_url: str) -> None:
        super().__init__(base_url)
        self._words = f"Token {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        yield self.sign(request, self._words)


class _PersonalToken(_OwnServer):
    """Renews the access token before it ends, and once more when the server says that it has ended.

    A 401 means that the request was not carried out, so sending it again cannot do anything twice.
    """

    requires_response_body = True

    def __init__(self, token: str, base_url: str) -> None:
        super().__init__(base_url)
        self._token = token
        self._refresh_url = f"{self._url}/api/token/refresh/"
        self._access = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if not self._access or _ends_at(self._access) - time.time() < _RENEW_BEFORE_S:
            yield from self._renew()
        response = yield self.sign(request, f"Bearer {self._access}")
        if response.status_code == 401:
            yield from self._renew()
            response = yield self.sign(request, f"Bearer {self._access}")
            if response.status_code == 401:
                raise LabelStudioError(
                    f"Label Studio at {self._url} takes the personal access token and then refuses what it "
                    "buys: its organisation does not allow personal access tokens (an owner can, under "
                    "Organization, API Tokens Settings), or use a legacy token"
                )

    def _renew(self) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield httpx.Request("POST", self._refresh_url, json={"refresh": self._token})
        answer = _object(response)
        access = answer.get("access")
        if response.status_code != 200 or not isinstance(access, str) or not _TOKEN.fullmatch(access):
            raise LabelStudioError(_refused(self._url, response.status_code, str(answer.get("detail", ""))))
        self._access = access


def _object(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; empty for anything else, which then says enough by its status."""
    try:
        answer = parse_json(response.content, "it")
    except FormatError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _refused(url: str, status: int, detail: str) -> str:
    """One line that says what is wrong with a personal access token. The server's words are 1.23's."""
    new = f"make a new one on the account page there and {SET_TOKEN}"
    if status == 401:
        state = next(
            (state for word, state in _STATES.items() if word in detail), "is not one of this server"
        )
        return f"the personal access token {state} (Label Studio at {url}: {detail or 'HTTP 401'}): {new}"
    if status == 404:
        return (
            f"{url} knows no personal access tokens (HTTP 404): is it the address of a Label Studio, without "
            "a path behind it, and one that is not too old?"
        )
    return f"Label Studio at {url} did not take the personal access token (HTTP {status} {detail}): try again"


def _ends_at(access: str) -> float:
    """The ``exp`` claim of a JWT, seconds since 1970; 0 if it has none that is a time."""
    payload = access.split(".")[1] if access.count(".") == 2 else ""
    try:
        claims = parse_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), "it")
        ends_at = float(claims["exp"])
    except (FormatError, ValueError, KeyError, TypeError, OverflowError):
        return 0.0
    return ends_at if math.isfinite(ends_at) else 0.0
