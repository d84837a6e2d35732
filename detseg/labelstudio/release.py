"""The release of a Label Studio, asked without a token, and whether it is known to work."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx

from detseg.bounded_http import BoundedClient, Bounds
from detseg.errors import LabelStudioError, Unreachable
from detseg.labelstudio.install import VERSION as TESTED
from detseg.labelstudio.responses import is_loopback, read_object

_BOUNDS = Bounds(max_bytes=1_000_000, total_s=30.0)
_TIMEOUT = httpx.Timeout(15.0, connect=5.0)


def read_release(url: str) -> str:
    """The server's version, for instance ``1.23.2``.

    Raises Unreachable if nobody answers, LabelStudioError if it is not a Label Studio that does.
    """
    try:
        with BoundedClient(_BOUNDS, timeout=_TIMEOUT, trust_env=not is_loopback(url)) as http:
            response = http.get(f"{url}/api/version/")
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise Unreachable(f"nobody answers at {url} ({error})") from error
    if response.is_redirect:
        raise LabelStudioError(f"{url} sends us on to {response.headers.get('Location')}")
    release = read_object(response, f"{url}/api/version/").get("release")
    if not isinstance(release, str):
        raise LabelStudioError(f"{url} answers (HTTP {response.status_code}), but not as a Label Studio does")
    return release


def is_too_old(release: str) -> bool:
    """Tell whether that version comes before the one that is tested, its last number aside."""
    return _numbers(release)[:2] < _numbers(TESTED)[:2]


def other_release(release: str, url: str) -> Iterator[str]:
    """A warning about a server of a version that this code was not tested with."""
    if release.split(".")[:2] != TESTED.split(".")[:2]:
        yield (
            f"Label Studio at {url} is {release}, this detseg was tested with {TESTED}: look at a "
            "task after the push"
        )


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release)[:3])
