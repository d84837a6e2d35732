"""Broken files of every format are images or reasons; `python -m tests.images.broken 10000 1` tries more."""

from __future__ import annotations

from collections import Counter

from tests.images.broken import read_broken


def test_broken_files_are_images_or_reasons() -> None:
    outcomes = list(read_broken(7, range(150), n_workers=1))
    assert [outcome for outcome in outcomes if outcome[2].faults] == []
    kinds = Counter(outcome.kind for _, _, outcome in outcomes)
    assert set(kinds) == {"read", "refused"}
    assert min(kinds.values()) > 20
