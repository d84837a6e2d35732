"""Images behind URLs, from a real server on loopback: bounded, guarded, one line for what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from detseg.errors import ImageError, SourceError
from detseg.sources.guarded import GuardedTransport, fetch
from detseg.sources.protocol import Limits
from detseg.sources.web import Web
from detseg.types import Entry
from tests.sources.servers import Answer, WebServer, endless_server, web_server

MOST_SENT = 30_000_000  # what the system's buffers for a connection may have taken before it was closed
PRIVATE = Limits(max_bytes=1_000, allow_private=True)
HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server({"/a.png": Answer(b"1234")}) as made:
        yield made


def test_an_image_is_listed_without_a_request_and_read(server: WebServer) -> None:
    web = Web(PRIVATE)
    assert list(web.entries(f"{server.url}/a.png?size=1")) == [Entry(f"{server.url}/a.png?size=1")]
    assert server.asked == []
    assert web.read(f"{server.url}/a.png") == b"1234"


def test_a_page_of_links_is_looked_through_below_itself(server: WebServer) -> None:
    page = """<a href="../">up</a> <a href="?C=N">sorted</a> <a href="b%20b.JPG">b</a> <a href='a.png'>a</a>
        <a href="sub/">sub</a> <a href="/elsewhere/c.png">c</a> <a href="http://other.example/d.png">d</a>
        <a href="notes.txt">n</a> <a href=".hidden.png">h</a> <a>nowhere</a> <a href="a.png#again">a</a>"""
    below = '<a href="../">up</a><a href="e.webp">e</a><a href="./">itself</a>'
    server.answers["/photos"] = Answer(status=301, headers={"Location": "/photos/"})
    server.answers["/photos/"] = Answer(page.encode(), headers=HTML)
    server.answers["/photos/sub/"] = Answer(below.encode(), headers=HTML)
    for location in ("/photos", "/photos/"):
        listed = [one.uri.removeprefix(server.url) for one in Web(PRIVATE).entries(server.url + location)]
        assert listed == ["/photos/a.png", "/photos/b%20b.JPG", "/photos/sub/e.webp"]


def test_what_is_no_listing_is_one_line(server: WebServer) -> None:
    server.answers["/data"] = Answer(b"{}", headers={"Content-Type": "application/json"})
    with pytest.raises(SourceError, match=r"/data is neither an image by its name nor a page of links \(app"):
        list(Web(PRIVATE).entries(f"{server.url}/data"))
    with pytest.raises(SourceError, match=r"/gone cannot be read: HTTP 404"):
        list(Web(PRIVATE).entries(f"{server.url}/gone"))
    with pytest.raises(SourceError, match=r"^the URL of a.example holds a user or password: leave them out$"):
        list(Web(PRIVATE).entries("https://me:secret@a.example/photos/"))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=404), "HTTP 404"),
        (Answer(status=500), "HTTP 500"),
        (Answer(b"x" * 1_001), "has 1,001 bytes, source.max_image_bytes allows 1,000"),
        (
            Answer(b"x" * 1_001, headers={"Content-Length": ""}),
            "more bytes than source.max_image_bytes allows",
        ),
        (Answer(b"x", headers={"Content-Length": "2"}), "cannot be read: peer closed connection"),
        (Answer(status=302, headers={"Location": "/odd.png"}), "more than 5 redirects"),
        (Answer(status=302, headers={"Location": "file:///etc/passwd"}), "cannot be read: "),
        (Answer(status=302, headers={"Location": "http://no-such-host.invalid/a.png"}), "cannot be read: "),
    ],
)
def test_what_cannot_be_read_says_why(server: WebServer, answer: Answer, reason: str) -> None:
    server.answers["/odd.png"] = answer
    with pytest.raises(ImageError, match=reason):
        Web(PRIVATE).read(f"{server.url}/odd.png")


@pytest.mark.parametrize(
    ("says", "reason"),
    [(None, "has more bytes than source.max_image_bytes allows"), (10**12, "1,000,000,000,000")],
)
def test_an_answer_without_end_is_not_read_to_it(says: int | None, reason: str) -> None:
    with endless_server(says=says) as endless:
        with pytest.raises(ImageError, match=reason):
            Web(PRIVATE).read(f"{endless.url}/a.png")
        assert endless.n_sent < MOST_SENT


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433"])
def test_private_addresses_are_not_asked(server: WebServer, host: str) -> None:
    url = server.url.replace("127.0.0.1", host)
    web = Web(Limits())
    with pytest.raises(ImageError, match=r"a private network: set source\.allow_private_addresses"):
        web.read(f"{url}/a.png")
    with pytest.raises(SourceError, match="on this machine or a private network"):
        list(web.entries(f"{url}/photos/"))
    assert server.asked == []


class Stranger(httpx.BaseTransport):
    """A public server that redirects to ``location``; everything else goes the guarded way."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._guarded = GuardedTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "public.example":
            return httpx.Response(302, headers={"Location": self._location})
        return self._guarded.handle_request(request)


def test_a_redirect_to_a_private_address_is_not_followed(server: WebServer) -> None:
    client = httpx.Client(transport=Stranger(f"{server.url}/a.png"), follow_redirects=True)
    with pytest.raises(
        ImageError,
        match=r"^cannot be read: it leads elsewhere, and 127.0.0.1 is on this machine or a private network",
    ):
        fetch(client, "https://public.example/a.png", Limits())
    assert server.asked == []


def test_the_connection_goes_to_the_address_that_was_checked(server: WebServer) -> None:
    """Where the name leads is looked up once; the request still carries the name."""
    looked_up: list[str] = []

    def resolve(host: str, _port: int) -> str:
        looked_up.append(host)
        return "127.0.0.1"

    url = server.url.replace("127.0.0.1", "photos.example")
    with httpx.Client(transport=GuardedTransport(resolve)) as client:
        assert fetch(client, f"{url}/a.png", Limits())[1] == b"1234"
    assert looked_up == ["photos.example"]
    assert server.asked[0][1]["Host"].startswith("photos.example:")
