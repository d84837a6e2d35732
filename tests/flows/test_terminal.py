"""The log of flows: an entry is one line, whoever chose the names that it holds."""

from __future__ import annotations

import logging
from pathlib import Path

from flows.terminal import reporting_to

FORGED = "\n2026-01-01 00:00:00,000 ERROR detseg: forged\x1b[2J"


def test_no_name_forges_an_entry(tmp_path: Path) -> None:
    log = tmp_path / "flows.log"
    with reporting_to("http://127.0.0.1:9/api", credential=None, log=log):
        logger = logging.getLogger("prefect.test")
        logger.warning("image %s", f"a{FORGED}.png")
        try:
            raise ValueError(FORGED)
        except ValueError:
            logger.exception("failed")
    lines = log.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("    ")] == [lines[0], lines[1]]
    assert lines[0].endswith(
        r"WARNING prefect.test: image a\n2026-01-01 00:00:00,000 ERROR detseg: forged\x1b[2J.png"
    )
    assert lines[1].endswith("ERROR prefect.test: failed")
    assert log.stat().st_mode & 0o777 == 0o600
    assert "\x1b" not in log.read_text(encoding="utf-8")
