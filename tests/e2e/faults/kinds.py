"""The kinds of faults, each a strike on one run or on several at once."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import detseg.pipeline
from tests.e2e.faults.proxy import Rule, Trick
from tests.e2e.faults.runs import Outcome, Run
from tests.e2e.faults.story import Kind, Scene, Stage, Strike
from tests.e2e.faults.world import PATIENCE_S

_PUSHES: tuple[Stage, ...] = ("first push", "next push")
_ALL: tuple[Stage, ...] = (*_PUSHES, "collect")
_SECOND: tuple[Stage, ...] = ("second model",)
_RUN_S = 1.2  # about what one run takes
_N_MARKS = 3
_CLOCK_JUMPS_S = (30, 3700, 400 * 86400)
_N_REQUESTS = {"push": 10, "collect": 4}


def failpoints(step: str) -> tuple[str, ...]:
    """Every point that the sources mark on the way of a push or a collect."""
    folder = Path(detseg.pipeline.__path__[0])
    sources = "\n".join(path.read_text() for path in sorted(folder.rglob("*.py")))
    names = set(re.findall(r'failpoint\(\s*"([^"]+)"', sources))
    return tuple(sorted(name for name in names if name.startswith(f"{step}.")))


def network(*tricks: Trick) -> Strike:
    """One of those tricks on the import, or on any request; once, or until the run ends."""

    def strike(scene: Scene) -> list[Outcome]:
        rng = scene.rng
        on_import = scene.order.step == "push" and rng.random() < 0.6
        target = ("POST", "/import", rng.randint(1, 3)) if on_import else _any_request(scene)
        rule = Rule(rng.choice(tricks), *target, times=1 if rng.random() < 0.7 else 1000)
        scene.notes.append(f"{rule.trick} on {rule.method or 'any'} {rule.part} {rule.nth} x{rule.times}")
        with scene.ruled(rule):
            return [scene.run(scene.order)]

    return strike


def killed_at_mark(scene: Scene) -> list[Outcome]:
    """The process kills itself at a marked point: the first of them in a random order that it comes by."""
    step = scene.order.step
    points = failpoints(step)
    assert points, f"no failpoint is marked on the way of {step}"
    outcomes: list[Outcome] = []
    for point in scene.rng.sample(points, k=min(len(points), _N_MARKS)):
        times = scene.rng.choice((1, 1, 2))
        scene.notes.append(f"{point}:{times}")
        outcomes.append(scene.run(replace(scene.order, failpoint=f"{point}:{times}")))
        if outcomes[-1].kind == "killed":
            break
    return scene.ended(*outcomes, struck="killed")


def killed_at_random(scene: Scene) -> list[Outcome]:
    """SIGKILL after a while."""
    run = scene.start(scene.order)
    delay_s = scene.rng.uniform(0, _RUN_S)
    scene.notes.append(f"after {delay_s:.3f} s")
    time.sleep(delay_s)
    run.kill()
    return scene.ended(run.wait(), struck="killed")


def killed_in_flight(scene: Scene) -> list[Outcome]:
    """SIGKILL while the server works at a request of ours; the next run starts at once."""
    method, part, nth = _any_request(scene)
    if scene.order.step == "push":
        method, part, nth = "POST", "/import", scene.rng.randint(1, 3)
    delay_s = scene.rng.uniform(0, 0.15)
    scene.notes.append(f"{method or 'any'} {part} {nth}, after {delay_s:.3f} s")
    rule = Rule("call", method, part, nth, delay_s=delay_s)
    with scene.ruled(rule):
        run = scene.start(scene.order)
        rule.call = run.kill
        outcome = run.wait()
    return scene.ended(outcome, struck="killed")


def ended_by_signal(scene: Scene) -> list[Outcome]:
    """SIGTERM or SIGINT while the server works at a request of ours."""
    number = scene.rng.choice((signal.SIGTERM, signal.SIGINT))
    rule = _call_in_flight(scene, number.name)
    with scene.ruled(rule):
        run = scene.start(scene.order)
        rule.call = partial(run.kill, number)
        outcome = run.wait()
    return scene.ended(outcome, struck="killed")


def client_stopped(scene: Scene) -> list[Outcome]:
    """SIGSTOP in the middle, and SIGCONT after a while, which another run may have to wait for."""
    n_runs, stopped_s = scene.rng.choice((1, 2)), scene.rng.uniform(0.1, 1.5 * PATIENCE_S)
    rule = _call_in_flight(scene, f"stopped for {stopped_s:.1f} s, {n_runs} runs")
    with scene.ruled(rule):
        runs = [scene.start(scene.order) for _ in range(n_runs)]
        rule.call = partial(_pause, runs[0], stopped_s)
        return [run.wait() for run in runs]


def server_stopped(scene: Scene) -> list[Outcome]:
    """SIGSTOP to Label Studio while it works at a request, and SIGCONT after a while."""
    stopped_s = scene.rng.uniform(0.1, 1.5 * PATIENCE_S)
    rule = _call_in_flight(scene, f"stopped for {stopped_s:.1f} s")
    rule.call = partial(scene.arena.pause_server, stopped_s)
    with scene.ruled(rule):
        return [scene.run(scene.order)]


def delivered(trick: Trick, longest_s: float, *, what: Literal["import", "project"] = "import") -> Strike:
    """An import, or what makes the project, is delivered late or twice, whenever that may be."""

    def strike(scene: Scene) -> list[Outcome]:
        delay_s = scene.rng.uniform(0, longest_s)
        rule = Rule(trick, "POST", "/api/projects/")  # the first of these makes the project
        if what == "import":
            rule = Rule(trick, "POST", "/import", scene.rng.randint(1, 3), scene.rng.choice((1, 1, 2)))
        rule.delay_s = delay_s
        scene.notes.append(f"{trick}, {delay_s:.1f} s, from {rule.nth} x{rule.times}")
        with scene.ruled(rule):
            return [scene.run(scene.order)]

    return strike


def prefect_killed(scene: Scene) -> list[Outcome]:
    """SIGKILL to Prefect while a flow talks to Label Studio: the record of the run is lost, and no more."""
    rule = _call_in_flight(scene, "Prefect killed")
    with scene.arena.prefect() as state_dir:
        rule.call = scene.arena.kill_prefect
        with scene.ruled(rule):
            order = replace(scene.order, step="preannotate", prefect=state_dir)
            outcomes = [scene.run(order)]
    if outcomes[0].kind != "done":
        scene.harm(f"the run whose Prefect died: {outcomes[0].kind} ({outcomes[0].words})")
    return outcomes


def clock_jumps(scene: Scene) -> list[Outcome]:
    """Another strike falls on a run whose clock jumps; the run after it has the right time."""
    jump_s = scene.rng.choice(_CLOCK_JUMPS_S) * scene.rng.choice((-1, 1))
    right_s = scene.rng.choice((0.0, scene.rng.uniform(0, _RUN_S)))
    scene.notes.append(f"the clock jumps by {jump_s} s after {right_s:.1f} s")
    order = scene.order
    scene.order = replace(order, clock_jump_s=jump_s, clock_right_s=right_s)
    outcomes = mixed(scene)
    scene.order = order
    return outcomes


def newest_deleted(scene: Scene) -> list[Outcome]:
    """A person deletes the newest task, whose number the server gives to what is made next."""
    scene.person.delete_newest()
    if scene.rng.random() < 0.3:
        scene.person.import_own_task()
    if scene.rng.random() < 0.5:
        scene.notes.append("collected")
        scene.run(replace(scene.order, step="collect"))
    return [scene.run(scene.order)]


def catalog_read_only(scene: Scene) -> list[Outcome]:
    """Nothing can be written into the catalog, from before the run until it has ended."""
    with scene.arena.read_only(scene.place):
        return scene.ended(scene.run(scene.order), struck="refused")


def _pause(run: Run, seconds: float) -> None:
    run.kill(signal.SIGSTOP)
    time.sleep(seconds)
    run.kill(signal.SIGCONT)


def _call_in_flight(scene: Scene, what: str) -> Rule:
    """Something happens while the server works at a request, an import where there is one."""
    method, part, nth = _any_request(scene)
    if scene.order.step == "push" and scene.rng.random() < 0.7:
        method, part, nth = "POST", "/import", scene.rng.randint(1, 3)
    delay_s = scene.rng.uniform(0, 0.15)
    scene.notes.append(f"{what}: {method or 'any'} {part} {nth}, after {delay_s:.3f} s")
    return Rule("call", method, part, nth, delay_s=delay_s)


def server_killed(scene: Scene) -> list[Outcome]:
    """SIGKILL to Label Studio while it works at a request; it is back when the run has ended, or before."""
    method, part, nth = _any_request(scene)
    if scene.order.step == "push" and scene.rng.random() < 0.7:
        method, part, nth = "POST", "/import", scene.rng.randint(1, 3)
    delay_s = scene.rng.uniform(0, 0.25)
    early = scene.rng.random() < 0.3
    scene.notes.append(f"{method or 'any'} {part} {nth}, after {delay_s:.3f} s{', back early' * early}")
    arena = scene.arena
    rule = Rule("call", method, part, nth, delay_s=delay_s)
    blow = partial(_kill_and_start, arena.kill_server, arena.restart_server if early else None)
    outcomes = _run_with_blow(scene, rule, blow)
    arena.restart_server()
    return outcomes


def at_once(*n: int, elsewhere: bool = False) -> Strike:
    """So many runs of the same order; on other machines, each has a state folder of its own."""

    def strike(scene: Scene) -> list[Outcome]:
        n_runs = scene.rng.choice(n)
        scene.notes.append(f"{n_runs} runs")
        places = [scene.place.elsewhere(n) if elsewhere and n else scene.place for n in range(n_runs)]
        runs = [scene.start(replace(scene.order, place=place)) for place in places]
        outcomes = [run.wait() for run in runs]
        for outcome in outcomes:
            if outcome.kind == "refused":
                scene.harm(f"one of {n_runs} runs at once: {outcome.words}")
        return outcomes

    return strike


def one_of_two_killed(scene: Scene) -> list[Outcome]:
    """Two runs, on two machines where the catalog allows it; one is killed on its way."""
    on_postgres = scene.place.catalog.startswith("postgresql")
    other = scene.place.elsewhere(1) if on_postgres else scene.place
    runs = [scene.start(scene.order), scene.start(replace(scene.order, place=other))]
    delay_s = scene.rng.uniform(0, _RUN_S)
    scene.notes.append(f"after {delay_s:.3f} s")
    time.sleep(delay_s)
    scene.rng.choice(runs).kill()
    outcomes = [run.wait() for run in runs]
    for outcome in outcomes:
        if outcome.kind == "refused":
            scene.harm(f"the run that was not killed: {outcome.words}")
    return scene.ended(*outcomes, struck="killed")


def disk_full(scene: Scene) -> list[Outcome]:
    """No space left for the catalog, or no larger files allowed where we may not mount a small disk."""
    n_bytes = scene.rng.randint(0, 120) * 1024
    database = Path(scene.place.catalog.removeprefix("sqlite:///"))
    if scene.arena.small_disk is None or scene.rng.random() < 0.3:
        limit = n_bytes + (database.stat().st_size if database.exists() else 0)
        scene.notes.append(f"files of at most {limit} bytes")
        return scene.ended(scene.run(replace(scene.order, file_limit=limit)), struck="refused")
    filler = scene.arena.small_disk / "filler"
    disk = os.statvfs(scene.arena.small_disk)
    with filler.open("wb") as file:
        file.write(b"\0" * max(0, disk.f_bavail * disk.f_frsize - n_bytes))
    scene.notes.append(f"{n_bytes} bytes left")
    try:
        return scene.ended(scene.run(scene.order), struck="refused")
    finally:
        filler.unlink()


def postgres_killed(scene: Scene) -> list[Outcome]:
    """SIGKILL to the catalog's server while the run talks to Label Studio; back at once, or after the run."""
    method, part, nth = _any_request(scene)
    delay_s = scene.rng.uniform(0, 0.05)
    early = scene.rng.random() < 0.5
    scene.notes.append(f"{method or 'any'} {nth}, after {delay_s:.3f} s{', back early' * early}")
    postgres = scene.arena.postgres
    rule = Rule("call", method, part, nth, delay_s=delay_s)
    blow = partial(_kill_and_start, postgres.kill, postgres.start if early else None)
    outcomes = _run_with_blow(scene, rule, blow)
    if rule.n_played and not early:
        postgres.start()
    return outcomes


def _kill_and_start(kill: Callable[[], None], start: Callable[[], None] | None) -> None:
    kill()
    if start is not None:
        start()


def _run_with_blow(scene: Scene, rule: Rule, blow: Callable[[], object]) -> list[Outcome]:
    """One run during which the blow falls, and no earlier back than the blow has fallen, if it is struck."""
    fallen = threading.Event()

    def fall() -> None:
        blow()
        fallen.set()

    rule.call = fall
    with scene.ruled(rule):
        outcomes = [scene.run(scene.order)]
    if rule.n_played:
        fallen.wait()
    return outcomes


def nothing(scene: Scene) -> list[Outcome]:
    """The control: what has to hold holds without any fault."""
    return [scene.run(scene.order)]


def mixed(scene: Scene) -> list[Outcome]:
    """One of several strikes."""
    strikes = (network("cut inside", "cut after", "502 after", "429", "truncated JSON"), killed_at_mark)
    strike = scene.rng.choice((*strikes, killed_at_random, killed_in_flight, at_once(2)))
    return strike(scene)


def twice(scene: Scene) -> list[Outcome]:
    """Two strikes in a row: the second falls on a run that clears up after the first."""
    first = mixed(scene)
    hit, scene.struck = scene.struck, True
    second = mixed(scene)
    scene.struck |= hit
    return [*first, *second]


def _any_request(scene: Scene) -> tuple[str, str, int]:
    return "", "", scene.rng.randint(1, _N_REQUESTS[scene.order.step])


_TRICKS: dict[str, tuple[Trick, ...]] = {
    "request not carried out": (
        *("cut before", "cut inside", "500 before", "401", "429", "429 without Retry-After"),
    ),
    "answer lost": ("cut after", "half answer", "500 after", "502 after", "504 after"),
    "slow or wrong answer": ("slow", "wrong JSON", "web page", "truncated JSON"),
}

KINDS: tuple[Kind, ...] = (
    Kind("no fault", _ALL, nothing),
    *(Kind(name, _ALL, network(*tricks)) for name, tricks in _TRICKS.items()),
    Kind("request late", (*_PUSHES, *_SECOND), delivered("late", 2 * PATIENCE_S)),
    Kind("request twice", (*_PUSHES, *_SECOND), delivered("twice", PATIENCE_S)),
    Kind("project late", ("first push",), delivered("late", 2 * PATIENCE_S, what="project")),
    Kind("project twice", ("first push",), delivered("twice", PATIENCE_S, what="project")),
    Kind("push killed at a mark", _PUSHES, killed_at_mark),
    Kind("collect killed at a mark", ("collect",), killed_at_mark),
    Kind("killed at random", _ALL, killed_at_random),
    Kind("killed in flight", _ALL, killed_in_flight),
    Kind("ended by a signal", _ALL, ended_by_signal),
    Kind("stopped for a while", _ALL, client_stopped),
    Kind("server killed", _ALL, server_killed),
    Kind("server stopped for a while", _ALL, server_stopped),
    Kind("several at once", _ALL, at_once(2, 4)),
    Kind("four machines at once", _ALL, at_once(4, elsewhere=True), on_postgres=True),
    Kind("two at once, one killed", _ALL, one_of_two_killed),
    Kind("disk full", _ALL, disk_full, on_postgres=False, on_small_disk=True),
    Kind("catalog read-only", _ALL, catalog_read_only, on_small_disk=True),
    Kind("Prefect killed", _PUSHES, prefect_killed),
    Kind("clock jumps", _ALL, clock_jumps),
    Kind("newest task deleted", ("next push", "second model", "collect"), newest_deleted, alone=True),
    Kind("PostgreSQL killed", _ALL, postgres_killed, on_postgres=True),
    Kind("struck twice", _ALL, twice),
    Kind("second model, add", _SECOND, mixed, predictions="add"),
    Kind("second model, replace", _SECOND, mixed, predictions="replace"),
)
