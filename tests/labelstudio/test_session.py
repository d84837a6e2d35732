"""What is repeated and what never is, refusals in one line, pages, tokens: against made-up answers."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from detseg.errors import BrokenAnswer, Busy, LabelStudioError, Refused, Silent, Unreachable
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.responses import retry_after_s

Handler = Callable[[httpx.Request], httpx.Response]


def client_of(handler: Handler, *, token: str = "secret") -> tuple[LabelStudioClient, list[float]]:
    """A client whose server is that function, and the list of its waits."""
    waits: list[float] = []
    transport = httpx.MockTransport(handler)
    return LabelStudioClient("http://ls.example", token, transport=transport, sleep=waits.append), waits


def answers(*responses: httpx.Response | Exception) -> Handler:
    """A server that gives these answers one after another, the last one for ever."""
    left = list(responses)

    def handler(_: httpx.Request) -> httpx.Response:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler


OK = httpx.Response(200, json={"id": 1, "email": "a@example.com"})


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("cut"),
        httpx.Response(500, json={"detail": "oops"}),
        httpx.Response(503),
        httpx.Response(429),
    ],
)
def test_reading_is_repeated(failure: httpx.Response | Exception) -> None:
    client, waits = client_of(answers(failure, failure, OK))
    assert client.whoami()["id"] == 1
    assert waits == [0.25, 0.5]


def test_reading_is_given_up_after_four_attempts() -> None:
    client, waits = client_of(answers(httpx.ConnectError("[Errno 111] refused")))
    with pytest.raises(Unreachable, match=r"ls\.example did not answer GET .*refused.*`detseg up`"):
        client.whoami()
    assert len(waits) == 3


@pytest.mark.parametrize("silence", [httpx.ReadTimeout("timed out"), httpx.WriteTimeout("timed out")])
def test_a_server_that_hangs_is_asked_once(silence: httpx.TimeoutException) -> None:
    client, waits = client_of(answers(silence))
    with pytest.raises(Silent, match=r"ls\.example did not answer GET .*timed out"):
        client.whoami()
    assert waits == []


def test_the_server_says_how_long_to_wait() -> None:
    busy = httpx.Response(429, headers={"Retry-After": "7"})
    far = httpx.Response(429, headers={"Retry-After": "86400"})
    client, waits = client_of(answers(busy, far, OK))
    client.whoami()
    assert waits == [7.0, 30.0]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Sun, 01 Mar 2026 12:00:09 GMT", 9.0),
        ("Sunday, 01-Mar-26 12:00:09 GMT", 9.0),  # the obsolete form, which is to be understood
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert retry_after_s(httpx.Response(503, headers={"Retry-After": value}), noon) == seconds


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.Response(400), Refused),
        (httpx.Response(403), Refused),
        (httpx.Response(413), Refused),
        (httpx.Response(429), Busy),
        (httpx.Response(500), BrokenAnswer),
        (httpx.Response(502), Unreachable),
        (httpx.Response(503, headers={"Retry-After": "5"}), Busy),
        (httpx.Response(504), Unreachable),
        (httpx.Response(200, text="<html>"), LabelStudioError),
    ],
)
def test_an_error_says_what_is_known_of_a_request_that_adds_something(
    response: httpx.Response, error: type[LabelStudioError]
) -> None:
    client, waits = client_of(answers(response))
    with pytest.raises(LabelStudioError) as caught:
        client.import_tasks(1, [{"data": {}}])
    assert type(caught.value) is error
    assert waits == []
    if isinstance(caught.value, Refused):
        assert caught.value.status == response.status_code
    if isinstance(caught.value, Busy):
        assert caught.value.after_s == (5.0 if response.status_code == 503 else None)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (httpx.ReadTimeout("slow"), Silent),
        (httpx.ConnectError("refused"), Unreachable),
        (httpx.RemoteProtocolError("cut"), Unreachable),
        (httpx.Response(502), Unreachable),
        (httpx.Response(500), BrokenAnswer),
        (httpx.Response(429), LabelStudioError),
    ],
)
def test_adding_is_never_repeated(failure: httpx.Response | Exception, error: type[Exception]) -> None:
    n_requests = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal n_requests
        n_requests += 1
        return answers(failure)(request)

    client, waits = client_of(handler)
    calls: list[Callable[[], object]] = [
        lambda: client.import_tasks(1, [{"data": {}}]),
        lambda: client.create_project("title", "<View/>"),
        lambda: client.create_annotation(1, [], lead_time_s=1.0),
        lambda: client.create_local_storage(1, "/images"),
    ]
    for call in calls:
        with pytest.raises(error):
            call()
    assert n_requests == len(calls)
    assert waits == []


def test_what_will_not_change_is_not_repeated() -> None:
    client, waits = client_of(answers(httpx.Response(404, json={"detail": "No Project\n matches."}), OK))
    with pytest.raises(
        LabelStudioError, match=r"refused GET /api/projects/9/ \(HTTP 404\): No Project matches"
    ):
        client.project(9)
    assert waits == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            httpx.Response(200, text="<html>It works!</html>"),
            "answered no JSON .*is that the URL of a Label Studio",
        ),
        (httpx.Response(200, json=[1]), "answered list, expected an object"),
        (httpx.Response(301, headers={"Location": "https://b/"}), "sends .* on to https://b/: use that"),
        (
            httpx.Response(401, json={"detail": "Invalid token."}),
            "Invalid token.*set DETSEG_LABEL_STUDIO__TOKEN",
        ),
        (
            httpx.Response(401, json={"detail": "legacy token authentication has been disabled"}),
            "personal access",
        ),
        (httpx.Response(403, json={"detail": "No permission"}), "No permission.*ask an owner"),
        (httpx.Response(404, text="<title>404 |\n Not here</title>"), "404 | Not here"),
        (
            httpx.Response(400, json={"validation_errors": {"title": ["too short"], "x": "y"}}),
            "title: too short; x: y",
        ),
        (httpx.Response(418), "no reason given"),
    ],
)
def test_refusals_are_one_line_with_the_mend(answer: httpx.Response, words: str) -> None:
    client, _ = client_of(answers(answer))
    with pytest.raises(LabelStudioError, match=words) as caught:
        client.whoami()
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        {"task_count": 2, "prediction_count": 1, "task_ids": [1]},
        {"task_count": 1, "prediction_count": 1, "task_ids": [1]},
        {"task_count": 2, "prediction_count": 0, "task_ids": [1, 2]},
        {"task_count": 2, "prediction_count": 1, "task_ids": [2, 1]},
        {"task_count": 2, "prediction_count": 1, "task_ids": [1, 1]},
    ],
)
def test_counts_of_an_import_must_be_ours(answer: dict[str, Any]) -> None:
    client, _ = client_of(answers(httpx.Response(201, json=answer)))
    with pytest.raises(LabelStudioError, match="sent 2 tasks and 1 prediction,"):
        client.import_tasks(1, [{"data": {}}, {"data": {}, "predictions": [{}]}])


@pytest.mark.parametrize("answer", [{"id": 1}, {}])
def test_a_user_has_an_address(answer: dict[str, Any]) -> None:
    client, _ = client_of(answers(httpx.Response(200, json=answer)))
    with pytest.raises(LabelStudioError, match="something else than a user"):
        client.whoami()


def test_an_import_of_nothing_asks_nothing() -> None:
    client, _ = client_of(answers(httpx.ConnectError("refused")))
    assert client.import_tasks(1, []) == ()


@pytest.mark.parametrize(
    "page",
    [
        {"tasks": [{"id": 3}, {"id": 2}], "total": 2},
        {"tasks": [{"id": 3}, {"id": 3}], "total": 2},
        {"tasks": [], "total": 2},
        {"tasks": [{"id": 3}]},
        {"total": 3},
    ],
)
def test_pages_that_surprise_are_refused(page: dict[str, Any]) -> None:
    client, _ = client_of(answers(httpx.Response(200, json=page)))
    with pytest.raises(LabelStudioError):
        client.task_ids(1)


def jwt(expires_at: float) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": expires_at}).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


def pat_server(*, lives_s: float, revoked: bool = False) -> tuple[Handler, list[str]]:
    """A server that knows personal access tokens, and what it was asked in order."""
    log: list[str] = []
    valid: set[str] = set()

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/token/refresh/":
            log.append("refresh")
            if revoked or json.loads(request.content)["refresh"] != "a.b.c":
                return httpx.Response(401, json={"detail": "Token is blacklisted"})
            valid.add(access := jwt(time.time() + lives_s + len(log)))
            return httpx.Response(200, json={"access": access})
        known = request.headers["Authorization"].removeprefix("Bearer ") in valid
        log.append("ok" if known else "refused")
        return OK if known else httpx.Response(401, json={"detail": "Token is expired"})

    handler.valid = valid  # type: ignore[attr-defined]
    return handler, log


def test_personal_access_tokens_buy_one_access_token_for_many_requests() -> None:
    handler, log = pat_server(lives_s=300)
    client, _ = client_of(handler, token="a.b.c")
    client.whoami()
    client.whoami()
    assert log == ["refresh", "ok", "ok"]


def test_access_tokens_are_renewed_before_they_end() -> None:
    handler, log = pat_server(lives_s=10)
    client, _ = client_of(handler, token="a.b.c")
    client.whoami()
    client.whoami()
    assert log == ["refresh", "ok", "refresh", "ok"]


def test_access_tokens_that_the_server_forgot_are_renewed_once() -> None:
    handler, log = pat_server(lives_s=300)
    client, _ = client_of(handler, token="a.b.c")
    client.whoami()
    handler.valid.clear()  # type: ignore[attr-defined]
    client.whoami()
    assert log == ["refresh", "ok", "refused", "refresh", "ok"]


def test_a_revoked_personal_access_token_is_named() -> None:
    handler, _ = pat_server(lives_s=300, revoked=True)
    client, _ = client_of(handler, token="a.b.c")
    with pytest.raises(LabelStudioError, match=r"the personal access token was revoked .*: make a new one"):
        client.whoami()


@pytest.mark.parametrize("token", ["", "  \n"])
def test_no_token_is_named(token: str) -> None:
    with pytest.raises(
        LabelStudioError, match=r"no token for Label Studio at http://ls\.example: .* set DETSEG"
    ):
        LabelStudioClient("http://ls.example", token)


def test_without_tls_every_request_has_a_connection_of_its_own() -> None:
    callers: list[int] = []

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections open

        def do_GET(self) -> None:
            callers.append(self.client_address[1])
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with LabelStudioClient(f"http://127.0.0.1:{server.server_port}", "secret") as client:
            for _ in range(3):
                client.version()
        server.shutdown()
    assert len(set(callers)) == 3


def test_what_was_refused_is_said_shortly_too() -> None:
    words = "Task 0, prediction 0: " + "Region 0: the label is not in the labeling config; " * 20
    client, _ = client_of(answers(httpx.Response(400, json={"validation_errors": {"predictions": [words]}})))
    with pytest.raises(Refused, match="refused POST /api/x") as refused:
        client.session.send("POST", "/api/x")
    assert refused.value.reason.startswith("predictions: Task 0, prediction 0: Region 0: the label")
    assert len(refused.value.reason) <= 160
