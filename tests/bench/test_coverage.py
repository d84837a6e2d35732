"""The frame of ``make coverage``: its counts, its page, and that every set-up draws a world."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import scipy.stats

from bench.coverage.frame import Kind, Setup, Trial, alarm_trial, run, run_setup, tally
from bench.coverage.page import read_cells, write_page
from bench.coverage.registry import all_setups

TRIALS = [Trial(0.5, 0.4, 0.6, 0.5), Trial(0.5, 0.6, 0.9, 0.8), Trial(0.5, 0.1, 0.4, 0.3), Trial(0.5)]


def no_world(rng: np.random.Generator) -> Trial:
    return TRIALS[int(rng.integers(4))]


def test_what_is_not_shown_is_no_miss() -> None:
    row = tally(Setup("Shares", "four", no_world), TRIALS)
    assert (row.n_trials, row.n_shown, row.n_held, row.n_low) == (4, 3, 1, 1)
    assert (row.coverage, row.width, row.bias) == pytest.approx((1 / 3, 0.8 / 3, 0.1 / 3))


def test_an_alarm_counts_the_projects_in_which_it_is_raised() -> None:
    setup = Setup("Drift", "nothing", no_world, kind="alarm")
    assert tally(setup, [alarm_trial(False)] * 9 + [alarm_trial(True)]).coverage == 0.9


def test_a_run_renews_its_rows_and_leaves_the_others_on_the_page(tmp_path: Path) -> None:
    setups = [Setup("Shares", "a", no_world), Setup("Shares", "b", no_world), Setup("AP", "c", no_world)]
    page = tmp_path / "coverage.md"
    write_page(run(setups, seed=1, n_trials=20), setups, page)
    first = read_cells(page.read_text())
    write_page(run(setups[1:2], seed=2, n_trials=40), setups, page)
    second = read_cells(page.read_text())
    assert list(first) == list(second) == [("Shares", "set-up"), *first][1:]
    assert {key for key in first if first[key] != second[key]} == {("Shares", "b")}
    write_page([], setups[:1], page)
    assert ("AP", "c") not in read_cells(page.read_text())


QUICK = [
    ("Shares", "share 0.5, correlation 0.4, 20 images of 40 regions"),
    ("Shares", "share 0.98, correlation 0.4, 20 images of 40 regions"),
    ("Shares", "share 0.98, correlation 0.0, 60 images of 40 regions"),
    ("Shares", "2 % of images fail whole, 20 images of 40 regions"),
    ("Shares", "10 % of images fail whole, 60 images of 40 regions"),
    ("mIoU", "4 common classes, 20 images"),
    ("PQ", "4 common classes, 60 images, 5 % of images fail whole"),
]


@pytest.mark.parametrize(("group", "name"), QUICK)
def test_intervals_hold_in_a_slice_of_the_set_ups(group: str, name: str) -> None:
    """An interval that holds in 92 of 100 cases fails this by chance in one of ten million."""
    row = run_setup(_find(group, name), seed=1, n_trials=200)
    assert row.n_shown >= 150
    assert row.n_held >= scipy.stats.binom.ppf(1e-7, row.n_shown, 0.92)


NO_BETTER = [
    "equal, 20 images",
    "3 % more seconds, 60 images",
    "equal, of equal size and much alike, nothing in 5 %, 60 images",
    "equal, worse at a rare class, 200 images",
    "10 equal candidates one after the other, 60 images",
]


@pytest.mark.parametrize("name", NO_BETTER)
def test_candidates_that_are_no_better_are_seldom_promoted(name: str) -> None:
    """A rule that promotes 5 of 100 fails this by chance in one of ten million."""
    n = 20 if name.startswith("10") else 60
    row = run_setup(_find("Wrong promotions", name), seed=1, n_trials=n)
    assert row.n_trials - row.n_held <= scipy.stats.binom.ppf(1.0 - 1e-7, n, 0.05)


def test_candidates_that_save_much_are_promoted() -> None:
    """A rule that promotes 95 of 100 fails this by chance in one of ten million."""
    row = run_setup(_find("Right promotions", "40 % fewer seconds, 60 images"), seed=1, n_trials=60)
    assert row.n_trials - row.n_held >= scipy.stats.binom.ppf(1e-7, 60, 0.95)


@cache
def _by_name() -> dict[tuple[str, str], Setup]:
    return {(setup.group, setup.name): setup for setup in all_setups()}


def _find(group: str, name: str) -> Setup:
    return _by_name()[group, name]


def test_the_page_has_room_for_every_kind_of_set_up(tmp_path: Path) -> None:
    setups = [Setup(kind, "one", no_world, kind=kind) for kind in get_args(Kind)]
    write_page(run(setups, seed=1, n_trials=20), setups, tmp_path / "coverage.md")
    text = (tmp_path / "coverage.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [f"## {s.group}" for s in setups]


def test_set_ups_have_names_of_their_own() -> None:
    names = [(setup.group, setup.name) for setup in all_setups()]
    assert len(names) == len(set(names))
