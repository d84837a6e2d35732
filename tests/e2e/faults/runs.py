"""The pipeline's processes: started from a server that has everything imported, killed without mercy.

Each writes its outcome to a file; one that was killed has none.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Literal

from detseg.errors import DetsegError
from detseg.pipeline.collect import collect
from detseg.pipeline.push import push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.pipeline.workspace import opened_catalog
from detseg.types import ModelVersion
from tests.e2e.faults.world import TAXONOMY, KnownPredictor, Place

Step = Literal["push", "collect"]
_PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Order:
    """What one run does; ``failpoint`` is where it kills itself, ``file_limit`` the largest file in bytes."""

    step: Step
    place: Place
    version: ModelVersion
    failpoint: str = ""
    file_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: done, refused in one line, killed, or broken (a traceback, which is never right)."""

    kind: Literal["done", "refused", "killed", "broken"]
    words: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)


class Run:
    """One process."""

    def __init__(self, order: Order, folder: Path, context: ForkServerContext) -> None:
        self._answer = folder / f"run-{time.monotonic_ns()}.json"
        self._process: ForkServerProcess = context.Process(target=_work, args=(order, self._answer))
        self._process.start()

    def kill(self) -> None:
        """Nothing happens to one that has ended."""
        if self._process.is_alive() and self._process.pid is not None:
            os.kill(self._process.pid, signal.SIGKILL)

    def wait(self) -> Outcome:
        self._process.join(_PATIENCE_S)
        if self._process.is_alive():
            self.kill()
            self._process.join()
            return Outcome("broken", f"did not end within {_PATIENCE_S:g} s")
        if self._answer.exists():
            answer = json.loads(self._answer.read_text())
            return Outcome(**answer)
        if self._process.exitcode == -signal.SIGKILL:
            return Outcome("killed")
        return Outcome("broken", self._answer.with_suffix(".log").read_text()[-2000:])


def context() -> ForkServerContext:
    """Where processes come from, each fresh and with everything imported."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([__name__])
    return made


def _work(order: Order, answer: Path) -> None:
    with answer.with_suffix(".log").open("w") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    if order.failpoint:
        os.environ["DETSEG_FAILPOINT"] = order.failpoint
    if order.file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_limit, resource.RLIM_INFINITY))
    try:
        outcome = {"kind": "done", "report": _STEPS[order.step](order)}
    except DetsegError as error:
        outcome = {"kind": "refused", "words": f"{type(error).__name__}: {error}"}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    half = answer.with_suffix(".half")
    half.write_text(json.dumps(outcome))
    half.rename(answer)


def _push(order: Order) -> Mapping[str, Any]:
    settings = order.place.settings()
    with opened_catalog(settings) as catalog:
        found = scan(settings, catalog)
        predictor = KnownPredictor(order.version)
        for shard in found.shards(settings.shard_size):
            predict_shard(settings, catalog, predictor, shard)
        report = push(settings, catalog, refs=found.images, version=order.version, taxonomy=TAXONOMY)
    sent = {status: n for status, n in report.counts.items() if n and status not in ("present", "deleted")}
    return {"sent": sent, "failures": [str(failure) for failure in report.failures]}


def _collect(order: Order) -> Mapping[str, Any]:
    settings = order.place.settings()
    with opened_catalog(settings) as catalog:
        report = collect(settings, catalog)
    changes = {"new": report.new, "updated": report.updated, "deleted": report.deleted}
    return {**changes, "failures": [str(failure) for failure in report.failures]}


_STEPS = {"push": _push, "collect": _collect}
