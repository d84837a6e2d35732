"""The pipeline's processes: started from a server that has everything imported, killed without mercy.

Each is the first of a session of its own, so that what it leaves behind is found, and writes its outcome to a
file; one that was killed has none.
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
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Literal

import psutil
from PIL import Image

from detseg.cli import interruptible
from detseg.errors import DetsegError
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.pipeline.workspace import opened_catalog
from detseg.types import ModelVersion
from tests.e2e.faults.world import TAXONOMY, KnownPredictor, Place

Step = Literal["push", "collect", "preannotate"]
_PATIENCE_S = 600.0
_ENDINGS = (signal.SIGKILL, signal.SIGTERM)

Image.init()  # or each process would import the readers of all formats for itself


@dataclass(frozen=True, slots=True)
class Order:
    """What one run does; ``preannotate`` is a push as a flow, by the Prefect server of that state folder.

    ``failpoint`` is where it kills itself, ``file_limit`` the largest file in bytes. Its clock jumps by
    ``clock_jump_s`` after ``clock_right_s``.
    """

    step: Step
    place: Place
    version: ModelVersion
    failpoint: str = ""
    file_limit: int | None = None
    clock_jump_s: float = 0.0
    clock_right_s: float = 0.0
    prefect: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: done, refused in one line, killed, or broken (a traceback, which is never right)."""

    kind: Literal["done", "refused", "killed", "broken"]
    words: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)


class Run:
    """One process; ``seconds`` is how long it took, when it was waited for."""

    seconds = 0.0

    def __init__(self, order: Order, folder: Path, context: ForkServerContext) -> None:
        self._answer = folder / f"run-{time.monotonic_ns()}.json"
        self._process: ForkServerProcess = context.Process(target=_work, args=(order, self._answer))
        self._began = time.monotonic()
        self._process.start()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Nothing happens to one that has ended."""
        if self._process.is_alive() and self._process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def end_orphans(self) -> int:
        """Ends what the run left behind, and says how many processes that were."""
        orphans = [pid for pid in psutil.pids() if pid != self._process.pid and self._started(pid)]
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(orphans)

    def _started(self, pid: int) -> bool:
        try:
            return os.getsid(pid) == self._process.pid
        except (ProcessLookupError, PermissionError):
            return False

    def wait(self) -> Outcome:
        try:
            self._process.join(_PATIENCE_S)
        except KeyboardInterrupt:
            self.kill()
            raise
        self.seconds = time.monotonic() - self._began
        if self._process.is_alive():
            self.kill()
            self._process.join()
            return Outcome("broken", f"did not end within {_PATIENCE_S:g} s")
        if self._answer.exists():
            answer = json.loads(self._answer.read_text())
            return Outcome(**answer)
        said = self._answer.with_suffix(".log")
        words = said.read_text()[-2000:] if said.exists() else "it did not begin"
        if -(self._process.exitcode or 0) in _ENDINGS or words.rstrip().endswith("KeyboardInterrupt"):
            return Outcome("killed")
        return Outcome("broken", words)


def context() -> ForkServerContext:
    """Where processes come from, each fresh and with everything imported."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([__name__])
    return made


def _work(order: Order, answer: Path) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had us ignore it
    with answer.with_suffix(".log").open("w") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    if order.failpoint:
        os.environ["DETSEG_FAILPOINT"] = order.failpoint
    if order.file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_limit, resource.RLIM_INFINITY))
    if order.clock_jump_s:
        _have_clock_jump(order)
    try:
        with interruptible():
            outcome = {"kind": "done", "report": _STEPS[order.step](order)}
    except (DetsegError, OSError) as error:  # of which the command line makes one line each
        outcome = {"kind": "refused", "words": f"{type(error).__name__}: {error}"}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    half = answer.with_suffix(".half")
    half.write_text(json.dumps(outcome))
    half.rename(answer)


def _have_clock_jump(order: Order) -> None:
    """Gives every module of ours another clock, in this process alone."""
    right_until = time.monotonic() + order.clock_right_s

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            jump_s = order.clock_jump_s if time.monotonic() > right_until else 0
            return datetime.now(tz) + timedelta(seconds=jump_s)

    for name, module in list(sys.modules.items()):
        if name.startswith("detseg.") and getattr(module, "datetime", None) is datetime:
            module.datetime = Jumping  # type: ignore[attr-defined]


def _push(order: Order) -> Mapping[str, Any]:
    settings = order.place.settings()
    with opened_catalog(settings) as catalog:
        found = scan(settings, catalog)
        predictor = KnownPredictor(order.version)
        for shard in found.shards(settings.run.shard_size):
            predict_shard(settings, catalog, predictor, shard)
        report = push(settings, catalog, refs=found.images, version=order.version, taxonomy=TAXONOMY)
    return _pushed(report)


def _preannotate(order: Order) -> Mapping[str, Any]:
    """As the command does it."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]
    os.environ["DETSEG_LABEL_STUDIO__TOKEN"] = order.place.token
    from flows.preannotate import preannotate  # here, because it imports Prefect, which takes seconds
    from flows.recording import run_flow
    from flows.server import prefect_api

    assert order.prefect is not None
    _install_plugin(order.prefect / "plugins")
    model = {
        "model__detector": "plugin:known",
        "model__segmenter": "plugin:known",
        "model__suppression": "none",
    }
    with prefect_api(order.prefect):
        report = run_flow(print, preannotate, None, order.place.given | model)
    return _pushed(report.queue)


def _install_plugin(folder: Path) -> None:
    """Makes our predictor one that is installed, for this process."""
    info = folder / "known-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: known\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[detseg.predictors]\nknown = tests.e2e.faults.world:make_plugin\n"
    )
    sys.path.append(str(folder))


def _pushed(report: PushReport) -> Mapping[str, Any]:
    sent = {status: n for status, n in report.counts.items() if n and status not in ("present", "deleted")}
    return {"sent": sent, "failures": [str(failure) for failure in report.failures]}


def _collect(order: Order) -> Mapping[str, Any]:
    settings = order.place.settings()
    with opened_catalog(settings) as catalog:
        report = collect_reviews(settings, catalog)
    changes = {"new": report.new, "updated": report.updated, "deleted": report.deleted}
    failures = [str(failure) for failure in report.failures]
    return {**changes, "failures": failures, "warnings": list(report.warnings)}


_STEPS = {"push": _push, "collect": _collect, "preannotate": _preannotate}
