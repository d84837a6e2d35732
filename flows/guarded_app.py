"""The embedded Prefect server's application, as uvicorn runs it: for this machine's own pages and programs.

    uvicorn --factory flows.guarded_app:create_app

Prefect itself asks for a credential, but not before it has taken the request, and it believes every name
that leads to this machine. So a web page anywhere could reach it under a name of its own (DNS rebinding), or
hold all of its connections open without signing in. Its own page, in turn, reports to a service elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from fastapi.datastructures import Headers
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import PlainTextResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

HOSTS = ("127.0.0.1", "localhost")
_DESCRIPTIONS = {"openapi", "swagger_ui_html", "swagger_ui_redirect", "redoc_html"}
_POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws://{host}; frame-ancestors 'none'"


def create_app() -> Application:
    """Prefect's application behind the guards, without the pages on its API (scripts of a CDN)."""
    from prefect.server.api.server import create_app as create_prefect_app

    app = create_prefect_app(final=True)
    routes = app.router.routes
    routes[:] = [route for route in routes if getattr(route, "name", None) not in _DESCRIPTIONS]
    return TrustedHostMiddleware(OwnPages(app), allowed_hosts=HOSTS, www_redirect=False)


class OwnPages:
    """Refuses what a page of another origin sends, and keeps our own pages from asking anybody else.

    Programs that are no browsers name no origin.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is None or origin == f"http://{host}":
            await self._app(scope, receive, partial(_send_with_policy, send, _POLICY.format(host=host)))
        else:
            await PlainTextResponse("this server answers its own pages only", 403)(scope, receive, send)


async def _send_with_policy(send: Send, policy: str, message: Message) -> None:
    if message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], (b"content-security-policy", policy.encode())]
    await send(message)
