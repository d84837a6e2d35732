"""One fault from a fresh project to the check: what was there before, the strike, the run after it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from tests.e2e.faults.arena import Arena
from tests.e2e.faults.checks import Expected, Violation, check
from tests.e2e.faults.person import Person
from tests.e2e.faults.proxy import Rule
from tests.e2e.faults.runs import Order, Outcome, Run, Step
from tests.e2e.faults.world import VERSIONS, Place

Stage = Literal["first push", "next push", "second model", "collect"]
_N_DEEDS, _N_DEEDS_MEANWHILE = 2, 3
_SHARE_COLLECTED, _SHARE_ONCE_MORE = 0.4, 0.3


@dataclass
class Scene:
    """Where a strike happens. ``order`` is the run that is struck; ``notes`` say what was done to it, and
    ``struck`` whether it hit: a run may be over before."""

    arena: Arena
    rng: Random
    place: Place
    stage: Stage
    order: Order
    person: Person
    notes: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    struck: bool = True

    def start(self, order: Order) -> Run:
        self.runs.append(Run(order, self.arena.folder, self.arena.context))
        return self.runs[-1]

    def run(self, order: Order) -> Outcome:
        return self.start(order).wait()

    @contextmanager
    def ruled(self, rule: Rule) -> Iterator[None]:
        """The proxy follows that rule inside the block."""
        self.arena.proxy.rule = rule
        try:
            yield
        finally:
            self.arena.proxy.rule = None
            rule.wait()
            self.notes.append(f"struck {rule.n_played} of {rule.n_seen}")
            self.struck = rule.n_played > 0

    def ended(self, *outcomes: Outcome, struck: str) -> list[Outcome]:
        """The outcomes; the strike hit if one of them is of that kind."""
        self.struck = any(outcome.kind == struck for outcome in outcomes)
        return list(outcomes)

    def harm(self, words: str) -> None:
        self.violations.append(Violation("other", words))


Strike = Callable[[Scene], list[Outcome]]
"""Runs ``scene.order`` once or more under a fault, mends what it broke, answers how the runs ended."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault. ``alone``: no person works during the strike, which has them do something itself."""

    name: str
    stages: tuple[Stage, ...]
    strike: Strike
    on_postgres: bool | None = None
    on_small_disk: bool = False
    alone: bool = False
    predictions: str = "add"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the protocol. ``seconds`` is how long the longest run took, ``took_s`` all of it."""

    kind: str
    stage: Stage
    struck: bool
    notes: tuple[str, ...]
    outcomes: tuple[str, ...]
    violations: tuple[Violation, ...]
    seconds: float
    n_orphans: int
    took_s: float


def tell(kind: Kind, arena: Arena, rng: Random) -> Verdict:
    """Sets the scene, strikes, lets the annotator find what is left, runs again, collects, checks."""
    began = time.monotonic()
    scene = _set(kind, arena, rng)
    outcomes = _struck(kind, scene)
    scene.person.work(_N_DEEDS - 1, settled=False)
    for outcome in outcomes:
        if outcome.kind == "broken":
            scene.harm(f"a run broke: {outcome.words}")
    _go_on(scene, "the run after the fault", scene.order)
    scene.person.work(_N_DEEDS)
    collected = _go_on(scene, "collect", replace(scene.order, step="collect"))
    if rng.random() < _SHARE_ONCE_MORE:
        _change_nothing(scene)
    scene.violations += check(arena.server, scene.place.catalog, _expected(kind, scene, collected))
    if n_orphans := sum(run.end_orphans() for run in scene.runs):
        scene.harm(f"{n_orphans} processes are left")
    arena.clean_up(scene.place)
    said = tuple(one.kind if one.kind != "refused" else f"refused ({one.words[:160]})" for one in outcomes)
    if scene.violations:
        scene.notes.append(f"deeds: {', '.join(scene.person.ledger.deeds)}")
    return Verdict(
        kind.name,
        scene.stage,
        struck=scene.struck,
        notes=tuple(scene.notes),
        outcomes=said,
        violations=tuple(scene.violations),
        seconds=max(run.seconds for run in scene.runs),
        n_orphans=n_orphans,
        took_s=time.monotonic() - began,
    )


def _change_nothing(scene: Scene) -> None:
    """Another collect and another push, which find nothing to do."""
    again = _go_on(scene, "collect once more", replace(scene.order, step="collect"))
    if any(again.report.get(name) for name in ("new", "updated", "deleted")):
        scene.harm(f"collecting once more changed something: {again.report}")
    again = _go_on(scene, "push once more", replace(scene.order, step="push"))
    if again.report.get("sent"):
        scene.harm(f"pushing once more sent something: {again.report}")


def _set(kind: Kind, arena: Arena, rng: Random) -> Scene:
    stage = rng.choice(kind.stages)
    on_postgres = rng.random() < 0.3 if kind.on_postgres is None else kind.on_postgres
    place = arena.new_place(on_postgres=on_postgres, on_small_disk=kind.on_small_disk)
    place = replace(place, predictions=kind.predictions)
    person = Person(arena.server, place.title, Random(rng.random()), colleague=arena.colleague)
    step: Step = "collect" if stage == "collect" else "push"
    scene = Scene(arena, rng, place, stage, Order(step, place, VERSIONS[0]), person)
    scene.notes.append("PostgreSQL" if on_postgres else "SQLite")
    if stage == "first push":
        return scene
    _go_on(scene, "the first push", Order("push", place, VERSIONS[0]))
    person.work(_N_DEEDS)
    if rng.random() < _SHARE_COLLECTED:
        _go_on(scene, "the first collect", Order("collect", place, VERSIONS[0]))
        person.work(_N_DEEDS - 1)
    if stage == "next push":
        scene.place = replace(place, source=arena.images.folder)
    version = VERSIONS[1] if stage == "second model" else VERSIONS[0]
    scene.order = Order(step, scene.place, version)
    return scene


def _struck(kind: Kind, scene: Scene) -> list[Outcome]:
    """The strike, with a person at work meanwhile where there is a project to work in."""
    if kind.alone or scene.stage == "first push":
        return kind.strike(scene)
    over = threading.Event()
    worker = threading.Thread(
        target=scene.person.work, args=(_N_DEEDS_MEANWHILE,), kwargs={"stop": over, "settled": False}
    )
    worker.start()
    try:
        return kind.strike(scene)
    finally:
        over.set()
        worker.join()


def _go_on(scene: Scene, what: str, order: Order) -> Outcome:
    """A run without a fault, which has to work at once."""
    outcome = scene.run(order)
    if outcome.kind != "done":
        scene.harm(f"{what}: {outcome.kind} ({outcome.words})")
    elif outcome.report["failures"]:
        scene.harm(f"{what} has failures: {outcome.report['failures'][:2]}")
    return outcome


def _expected(kind: Kind, scene: Scene, collected: Outcome) -> Expected:
    images = scene.arena.images
    wanted = images.all if scene.stage == "next push" else images.first
    replaced = scene.stage == "second model" and kind.predictions == "replace"
    old = set(VERSIONS[:1])
    return Expected(
        title=scene.place.title,
        images=wanted,
        versions=frozenset(({scene.order.version} | old) - (old if replaced else set())),
        replaced=frozenset(old),
        shown=scene.order.version,
        ledger=scene.person.ledger,
        warnings=tuple(collected.report.get("warnings", ())),
    )
