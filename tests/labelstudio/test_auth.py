"""Tokens: where they come from, and what is said of one that does not work. None is ever quoted."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from detseg.errors import ConfigError, LabelStudioError
from detseg.labelstudio.auth import is_private, read_token
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.install import VERSION as TESTED
from detseg.labelstudio.release import is_too_old

PERSONAL = "eyJ.secret.part"


def test_a_token_file_holds_the_token_alone(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("  abc123\n")
    assert read_token(file) == "abc123"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "holds 0 words"), (b"Token secret1 secret2", "holds 3 words"), (b"\xff\xfe", "not text")],
)
def test_another_file_is_refused_without_quoting_it(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"label_studio.token_file: .*{words}") as refused:
        read_token(file)
    assert "secret" not in str(refused.value)


def test_a_token_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_token(tmp_path / "none")


@pytest.mark.parametrize(("mode", "private"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False)])
def test_who_may_read_a_token_file(tmp_path: Path, mode: int, private: bool) -> None:
    file = tmp_path / "token"
    file.touch()
    file.chmod(mode)
    assert is_private(file) is private


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(401, json={"detail": "Token is expired"}), "the personal access token has expired"),
        (httpx.Response(401, json={"detail": "Token is blacklisted"}), "was revoked"),
        (httpx.Response(401, json={"detail": "Token is invalid"}), "is not one of this server"),
        (httpx.Response(404, text="<html>"), "knows no personal access tokens"),
        (httpx.Response(500, text="<html>"), "did not take the personal access token"),
        (httpx.Response(200, text="<html>"), "did not take the personal access token"),
        *(
            (httpx.Response(200, json={"access": access}), "did not take the personal access token")
            for access in (
                "",
                "secret\nX-Other: header",
                "secret\x00",
                "s\u00e9cret",
                "secret" * 2_000,
                None,
                ["secret"],
            )
        ),
    ],
)
def test_what_is_wrong_with_a_personal_access_token_is_said(answer: httpx.Response, words: str) -> None:
    client = LabelStudioClient("http://ls.example", PERSONAL, transport=httpx.MockTransport(lambda _: answer))
    with pytest.raises(LabelStudioError, match=words) as refused:
        client.whoami()
    assert PERSONAL not in str(refused.value)


@pytest.mark.parametrize(
    ("release", "old"),
    [
        ("1.22.9", True),
        ("1.9.0", True),
        ("0.9", True),
        (TESTED, False),
        ("1.23.0", False),
        ("2.0.0.dev1", False),
    ],
)
def test_versions_before_the_tested_one_are_old(release: str, old: bool) -> None:
    assert is_too_old(release) is old
