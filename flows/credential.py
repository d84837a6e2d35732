"""The credential of the embedded Prefect server: made up once for a state folder, for its owner alone.

The file holds what Prefect's page asks for, and what PREFECT_API_AUTH_STRING takes. Prefect's own commands
and its workers find it, and the server's address, in the profile beside it: ``PREFECT_HOME=.detseg/prefect``.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from detseg.errors import ServiceError
from detseg.files import private_folder, write_whole

_PROFILE = """active = "detseg"

[profiles.detseg]
PREFECT_API_URL = {url}
PREFECT_API_AUTH_STRING = {credential}
"""


def credential_file(home: Path) -> Path:
    return home / "credential"


def read_or_make_credential(home: Path) -> str:
    """The credential in Prefect's folder, ``user:password``. Raises ServiceError if the file holds none."""
    path = credential_file(home)
    if not path.exists():
        private_folder(home)
        write_whole(path, f"detseg:{secrets.token_urlsafe(24)}\n")
    credential = path.read_text(encoding="utf-8").strip()
    user, _, password = credential.partition(":")
    if not user or not password:
        raise ServiceError(f"{path} does not hold user:password: delete it, the next start makes a new one")
    return credential


def write_profile(home: Path, api_url: str) -> None:
    """Leave the way in for programs that are started with this folder as PREFECT_HOME."""
    values = {"url": api_url, "credential": read_or_make_credential(home)}
    write_whole(
        _profile(home), _PROFILE.format(**{name: json.dumps(value) for name, value in values.items()})
    )


def remove_profile(home: Path) -> None:
    _profile(home).unlink(missing_ok=True)


def _profile(home: Path) -> Path:
    return home / "profiles.toml"
