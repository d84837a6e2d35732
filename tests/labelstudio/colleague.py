"""A second, ordinary user of the shared server: an annotator who was invited."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from detseg.labelstudio.client import LabelStudioClient


@dataclass(frozen=True)
class Colleague:
    """Somebody who signed up by the link that owners hand out. ``page`` is signed in as a browser is."""

    id: int
    email: str
    token: str
    page: httpx.Client = field(repr=False)


@contextmanager
def signed_up(client: LabelStudioClient, name: str) -> Iterator[Colleague]:
    """A new user of the owner's organisation."""
    link = client.session.json("GET", "/api/invite")["invite_url"]
    email = f"{name.replace(' ', '-')}@example.com"
    with httpx.Client(base_url=client.url, trust_env=False, follow_redirects=True, timeout=60) as page:
        page.get(link).raise_for_status()
        form = {
            "email": email,
            "password": "a long password",
            "csrfmiddlewaretoken": page.cookies["csrftoken"],
        }
        page.post(link, data=form).raise_for_status()
        user = page.get("/api/current-user/whoami").raise_for_status().json()
        token = page.get("/api/current-user/token").raise_for_status().json()["token"]
        assert user["email"] == email
        yield Colleague(user["id"], email, token, page)
