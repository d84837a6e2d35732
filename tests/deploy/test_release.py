"""What a release has to say before it is built."""

import re

import pytest

from deploy.release import check_changelog
from detseg.errors import InstallError


def test_a_release_has_a_dated_heading() -> None:
    check_changelog("# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-12-01\n\n- more\n", "1.2.0")


@pytest.mark.parametrize("text", ["## [Unreleased]\n", "## [1.2.0]\n", "## [1x2.0] - 2026-12-01\n"])
def test_without_it_the_release_says_what_to_write(text: str) -> None:
    with pytest.raises(InstallError, match=re.escape("`## [1.2.0] - YYYY-MM-DD`")):
        check_changelog(text, "1.2.0")
