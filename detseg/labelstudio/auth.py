"""How requests prove who they are: a legacy token as it is, a personal access token through one it buys.

A personal access token is a JWT that only buys access tokens, which live for about five minutes
(``POST /api/token/refresh/``); it is refused when it is sent itself.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable, Generator

import httpx

from detseg.errors import LabelStudioError

_RENEW_BEFORE_S = 30.0


def token_auth(token: str, base_url: str, *, now: Callable[[], float] = time.time) -> httpx.Auth:
    """The authentication that fits the token's form. Raises LabelStudioError if there is no token."""
    token = token.strip()
    if not token:
        raise LabelStudioError(
            f"no token for Label Studio at {base_url}: set DETSEG_LABEL_STUDIO_TOKEN to the access token of "
            "your account page"
        )
    if token.count(".") == 2:
        return _PersonalToken(token, base_url, now)
    return _LegacyToken(token)


class _LegacyToken(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._header = f"Token {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header
        yield request


class _PersonalToken(httpx.Auth):
    """Renews the access token before it ends, and once more when the server says that it has ended.

    A 401 means that the request was not carried out, so sending it again cannot do anything twice.
    """

    requires_response_body = True

    def __init__(self, token: str, base_url: str, now: Callable[[], float]) -> None:
        self._token = token
        self._refresh_url = f"{base_url.rstrip('/')}/api/token/refresh/"
        self._now = now
        self._access = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if not self._access or _ends_at(self._access) - self._now() < _RENEW_BEFORE_S:
            yield from self._renew()
        request.headers["Authorization"] = f"Bearer {self._access}"
        response = yield request
        if response.status_code == 401:
            yield from self._renew()
            request.headers["Authorization"] = f"Bearer {self._access}"
            yield request

    def _renew(self) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield httpx.Request("POST", self._refresh_url, json={"refresh": self._token})
        access = response.json().get("access") if response.status_code == 200 else None
        if not isinstance(access, str):
            raise LabelStudioError(
                f"Label Studio at {self._refresh_url} refused the personal access token (HTTP "
                f"{response.status_code}): make a new one on your account page, set DETSEG_LABEL_STUDIO_TOKEN"
            )
        self._access = access


def _ends_at(access: str) -> float:
    """The ``exp`` claim of a JWT, seconds since 1970; 0 if it has none."""
    payload = access.split(".")[1] if access.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        return 0.0
