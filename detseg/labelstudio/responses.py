"""The meaning of Label Studio's HTTP answers for a person, and the wait before asking again."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from textwrap import shorten
from typing import Any
from urllib.parse import urlsplit

import httpx

from detseg.errors import BrokenAnswer, FormatError, LabelStudioError, NotJson
from detseg.files import parse_json

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 30.0
_LONGEST_WORDS, _LONGEST_REASON = 400, 160
_NO_ROOM = ("disk is full", "No space left", "disk I/O error")  # the last one also where a quota is used up


def back_off_s(attempt: int, asked_s: float | None) -> float:
    """Seconds to wait after that attempt (from 1): what the server asks for, else 0.25, 0.5, 1, ..."""
    wait_s = _FIRST_WAIT_S * 2 ** (attempt - 1) if asked_s is None else asked_s
    return float(min(wait_s, _LONGEST_WAIT_S))


def retry_after_s(response: httpx.Response, now: datetime) -> float | None:
    """The seconds of a ``Retry-After`` header, a number or a date (RFC 9110, 10.2.3); None without one."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    moment = _read_date(value)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def date_of(response: httpx.Response) -> datetime | None:
    """The second in which the answer was made, by the clock of what stands before us; None if nobody says.

    A proxy dates answers by its own clock, so this says nothing sure of what Label Studio dated.
    """
    return _read_date(response.headers.get("Date", ""))


def _read_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):  # no date, or one that no calendar has
        return None


def is_loopback(url: str) -> bool:
    """Tell whether that URL is on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def explain(response: httpx.Response, url: str, request: str) -> str:
    """One line: what was refused, the server's words, and the mend where we know one."""
    words = _words(response)
    verb = "refused" if response.status_code < 500 else "failed at"
    if lacks_room(response):
        mend = "make room on the server's disk and run again: nothing is sent twice"
    elif "reserved network address" in words:
        mend = "its guard keeps it from private addresses: set SSRF_PROTECTION_ENABLED=false for the server"
    elif response.status_code == 401 and "legacy token" in words:
        mend = "use a personal access token of your account page, or let an owner allow legacy tokens"
    elif response.status_code == 401:
        mend = "set DETSEG_LABEL_STUDIO__TOKEN to the access token of your account page there"
    elif response.status_code == 403:
        mend = "the token's user may not do that: ask an owner of the project"
    elif response.is_redirect:
        return f"{url} sends {request} on to {response.headers.get('Location')}: use that as label_studio.url"
    else:
        return f"Label Studio at {url} {verb} {request} (HTTP {response.status_code}): {words}"
    return f"Label Studio at {url} {verb} {request} (HTTP {response.status_code}: {words}): {mend}"


def lacks_room(response: httpx.Response) -> bool:
    """Tell whether the server's disk is full, so that it fails at whatever it is to keep."""
    words = _words(response)
    return any(reason in words for reason in _NO_ROOM)


def read_object(response: httpx.Response, place: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises LabelStudioError, naming the place, for anything else."""
    answer = _read_json(response, place)
    if not isinstance(answer, dict):
        raise LabelStudioError(f"{place} answered {type(answer).__name__}, expected an object")
    return answer


def read_objects(response: httpx.Response, place: str) -> list[dict[str, Any]]:
    """The list of JSON objects of an answer. Raises LabelStudioError, naming the place, for anything else."""
    answer = _read_json(response, place)
    if not isinstance(answer, list) or not all(isinstance(entry, dict) for entry in answer):
        raise LabelStudioError(f"{place} answered {type(answer).__name__}, expected a list of objects")
    return answer


@contextmanager
def expecting(what: str, place: str) -> Iterator[None]:
    """Reads fields of an answer in the block: a LabelStudioError where they are missing or of other types."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise LabelStudioError(
            f"{place} answered something else than {what} ({error!r:.160}): is a proxy in between, or is it "
            "another version?"
        ) from error


def read_id(answer: dict[str, Any], place: str) -> int:
    """The number of what an answer is about. Raises LabelStudioError, naming the place, if it has none."""
    with expecting("a number", place):
        return read_number(answer["id"])


def read_number(value: Any) -> int:
    """A number of the server's database. Raises ValueError for anything else."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"no number of a row: {value!r:.40}")
    return value


def read_text(value: Any) -> str:
    """Text, of any length and any characters. Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"no text: {value!r:.40}")
    return value


def read_moment(value: Any) -> datetime:
    """A moment as the server writes it, with its time zone. Raises TypeError and ValueError for others."""
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None or not 1 < moment.year < 9999:
        raise ValueError(f"no moment of a time zone: {value!r:.40}")
    return moment


def _read_json(response: httpx.Response, place: str) -> Any:
    try:
        return parse_json(response.content, f"the answer of {place}")
    except NotJson as error:
        raise LabelStudioError(
            f"{place} answered no JSON ({one_line(_text(response))[:80]}): is that the URL of a Label Studio?"
        ) from error
    except FormatError as error:
        raise BrokenAnswer(str(error)) from error


def _text(response: httpx.Response) -> str:
    """The answer as text, whatever encoding it claims to have."""
    return response.content.decode("utf-8", errors="replace")


def one_line(text: str) -> str:
    """The text with all white space made single spaces."""
    return " ".join(text.split())


def read_reason(response: httpx.Response) -> str:
    """The server's own words, in one short line."""
    return shorten(_words(response), _LONGEST_REASON, placeholder=" ...")


def _words(response: httpx.Response) -> str:
    """The server's own words, unwrapped: JSON's ``validation_errors`` or ``detail``, or a page's title."""
    try:
        answer = parse_json(response.content, "it")
    except FormatError:
        text = _text(response)
        title = re.search(r"<title>(.*?)</title>", text, flags=re.DOTALL)
        return one_line(title.group(1) if title else text)[:_LONGEST_WORDS] or "no reason given"
    if not isinstance(answer, dict):
        return one_line(str(answer))[:_LONGEST_WORDS]
    errors = answer.get("validation_errors")
    words = _flat(errors) if errors else str(answer.get("detail", answer))
    return one_line(words)[:_LONGEST_WORDS]


def _flat(errors: Any) -> str:
    if isinstance(errors, dict):
        return "; ".join(f"{key}: {_flat(value)}" for key, value in errors.items())
    if isinstance(errors, list):
        return "; ".join(_flat(value) for value in errors)
    return str(errors)
