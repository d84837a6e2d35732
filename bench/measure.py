"""The measurement: contenders one after the other, round after round, so that drift hits all alike."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.agreement import compare
from bench.photos import make_photos, make_small_images
from bench.processes import ContenderFailed, Worker, peak_of_command, versions

ENGINES = (
    ("eager", "float32"),
    ("compile", "float32"),
    ("eager", "bfloat16"),
    ("compile", "bfloat16"),
)
_N_COMPILE = 2  # photos of a first forward pass and of the one after it
_LIBRARIES = ("torch", "torchvision", "transformers", "timm", "numpy", "pillow")

_SURVIVORS = range(8, 16)
"""The number of queries that survive on a realistic photo; the made-up weights see more or less on some, left
out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a measurement. ``n_*`` are photos per round; those of the slow contenders are few."""

    rounds: int
    threads: int
    photos: Path
    pixeltable_python: str | None
    n_memory: tuple[int, ...] = (200, 2_000)
    n_slow: int = 1
    n_pipeline: int = 3
    n_predict: int = 10  # fewer than make the command compare its precision with float32
    n_forward: int = 5
    n_photos: int = 20


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of one contender in a round; ``photo`` wakes it up, if it needs that."""

    worker: Worker
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    photo: str | None = None

    def add(self, row: str, what: str, **arguments: Any) -> None:
        self.asked.append((row, what, arguments))

    def take(self) -> dict[str, float]:
        """Seconds per photo, by row."""
        if self.photo:
            self.worker.ask("wake", photo=self.photo)
        seconds = {row: self.worker.ask(what, **arguments)["s"] for row, what, arguments in self.asked}
        self.worker.ask("rest")
        return seconds


@dataclass(slots=True)
class Bench:
    """The results so far. ``seconds`` are per photo, one entry a round, by contender."""

    plan: Plan
    folder: Path
    seconds: dict[str, list[float]] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    turns: dict[str, Turns] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    compiling: dict[str, float] = field(default_factory=dict)

    def start(self, module: str, *arguments: str, python: str = sys.executable) -> Worker:
        worker = Worker(module, arguments, python=python, folder=self.folder, threads=self.plan.threads)
        self.workers.append(worker)
        return worker


def run(plan: Plan, folder: Path) -> dict[str, Any]:
    """Everything, in a folder that may be thrown away; what ``build/bench/results.json`` holds."""
    bench = Bench(plan, folder)
    started = time.time()
    try:
        photos = make_photos(plan.photos, folder / "photos")[: plan.n_photos]
        say("building the checkpoints")
        builder = bench.start("with_torch")
        models = builder.ask("build", photos=photos, folder=str(folder / "models"))
        builder.stop()
        photos = [one for one, n in zip(photos, models["survivors"], strict=True) if n in _SURVIVORS]
        survivors = [n for n in models["survivors"] if n in _SURVIVORS]
        machine = bench.start("with_torch")
        facts = machine.ask("facts")
        _enter(bench, models, photos, native_bfloat16=facts["native_bfloat16"])
        rates = _take_rounds(bench, machine)
    finally:
        for worker in bench.workers:
            worker.stop()
    say("memory of many images")
    memory = _memory(plan, folder, models["tiny"])
    return {
        "machine": facts,
        "versions": versions(_LIBRARIES),
        "plan": {
            "rounds": plan.rounds,
            "n_photos": len(photos),
            "n_predict": plan.n_predict,
            "n_survivors": round(sum(survivors) / len(photos)),
        },
        "gflop_per_s": rates,
        "seconds": bench.seconds,
        "peak_bytes": bench.peaks,
        "compile_s": bench.compiling,
        "agreement": _agreement(bench.files),
        "memory": memory,
        "failed": bench.failed,
        "wall_s": time.time() - started,
    }


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def _enter(bench: Bench, models: Mapping[str, str], photos: Sequence[str], *, native_bfloat16: bool) -> None:
    """Every contender loaded, warm and with its turns. Where bfloat16 is emulated nobody would choose it."""
    for engine, precision in ENGINES:
        if precision == "float32" or native_bfloat16:
            _try(bench, f"detseg, {engine}, {precision}", _enter_detseg, engine, precision, models, photos)
    _try(bench, "transformers, detection", _enter_transformers, "detection", models["detector"], photos)
    _try(bench, "transformers, segmentation", _enter_transformers, "segmentation", models["panoptic"], photos)
    if bench.plan.pixeltable_python:
        _try(bench, "pixeltable", _enter_pixeltable, bench.plan.pixeltable_python, models, photos)


def _try(bench: Bench, name: str, enter: Callable[..., None], *arguments: Any) -> None:
    say(f"loading {name}")
    try:
        enter(bench, name, *arguments)
    except ContenderFailed as error:
        _fail(bench, name, error)


def _enter_detseg(bench: Bench, name: str, *given: Any) -> None:
    engine, precision, models, photos = given
    out = bench.folder / f"{engine}-{precision}"
    worker = bench.start(
        "with_detseg", json.dumps({"engine": engine, "precision": precision, "out": str(out)})
    )
    turns = Turns(worker, photo=photos[0])
    for answer, names in (
        ("both", {"segmenter": models["panoptic"]}),
        ("detection", {"detector": models["detector"]}),
    ):
        row = f"{name}, {answer}"
        loaded = worker.ask("load", answer=answer, names=names, photos=photos[:_N_COMPILE])
        if engine == "compile":
            bench.compiling[row] = loaded["first_s"] - loaded["again_s"]
        turns.add(f"{row}, forward pass", "forward", answer=answer, photos=photos[: bench.plan.n_forward])
        turns.add(row, "predict", answer=answer, photos=photos[: bench.plan.n_predict])
        if answer == "both":
            file = Path(worker.ask("predict", answer=answer, photos=list(photos))["file"])
            bench.files[f"{engine}, {precision}"] = file.rename(out.with_suffix(".json"))
            bench.peaks[row] = worker.ask("peak")  # before the second model is loaded
    worker.ask("rest")
    bench.turns[name] = turns


def _enter_transformers(bench: Bench, name: str, *given: Any) -> None:
    task, model, photos = given
    turns = Turns(bench.start("with_transformers", task, model))
    n = bench.plan.n_slow if task == "segmentation" else bench.plan.n_pipeline
    turns.worker.ask("warm_up", photo=photos[0])
    turns.worker.ask("rest")
    turns.add(name, "run", photos=photos[:n])
    bench.peaks[name] = turns.worker.ask("peak")
    bench.turns[name] = turns


def _enter_pixeltable(bench: Bench, name: str, *given: Any) -> None:
    python, models, photos = given
    turns = Turns(bench.start("with_pixeltable", models["detector"], models["panoptic"], python=python))
    for column, n in (("detection", bench.plan.n_pipeline), ("segmentation", bench.plan.n_slow)):
        turns.worker.ask("warm_up", column=column, photo=photos[0])
        turns.worker.ask("rest")
        turns.add(f"{name}, {column}", "run", column=column, photos=photos[:n])
    bench.peaks[name] = turns.worker.ask("peak")
    bench.turns[name] = turns


def _take_rounds(bench: Bench, machine: Worker) -> dict[str, list[float]]:
    """Fills the seconds; the machine's rates of every round. Every other round runs backwards."""
    rates: dict[str, list[float]] = {}
    for i in range(bench.plan.rounds):
        say(f"round {i + 1} of {bench.plan.rounds}")
        for precision, rate in machine.ask("rates").items():
            rates.setdefault(precision, []).append(rate)
        for name, turns in list(bench.turns.items())[:: -1 if i % 2 else 1]:
            try:
                for row, seconds in turns.take().items():
                    bench.seconds.setdefault(row, []).append(seconds)
            except ContenderFailed as error:
                _fail(bench, name, error)
    return rates


def _fail(bench: Bench, name: str, error: ContenderFailed) -> None:
    say(f"{name}: {error}")
    bench.failed[name] = str(error)
    bench.turns.pop(name, None)


def _agreement(files: Mapping[str, Path]) -> dict[str, Any]:
    """Every engine and precision against the first, which is eager in float32."""
    names = list(files)
    return {name: asdict(compare(files[names[0]], files[name])) for name in names[1:]}


def _memory(plan: Plan, folder: Path, tiny: str) -> dict[str, int]:
    """Peak of ``detseg predict`` by number of images: small images, a tiny model, never compiled."""
    peaks = {}
    for n in plan.n_memory:
        images = make_small_images(n, folder / f"small-{n}")
        options = ["--detector=", f"--segmenter={tiny}", "--engine=eager", "--device=cpu", "--no-pictures"]
        arguments = ["predict", str(images), "--out", str(folder / f"out-{n}"), *options]
        peaks[str(n)] = peak_of_command(arguments, folder=folder, threads=plan.threads)
    return peaks
