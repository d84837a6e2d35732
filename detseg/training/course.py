"""The course of a training: how far it is, what it reached, when it looks, saves and ends.

It keeps an average of the weights, which is better than any of them.
"""

from __future__ import annotations

import copy
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from detseg.files import read_json, replacing_folder, write_whole
from detseg.training.low_rank import merged_state
from detseg.training.plan import Plan, Point, decode_point
from detseg.training.work import PROGRESS, best_folder, reading

_FILE = "average.safetensors"


class Average:
    """The average of a model over about ``1 / (1 - decay)`` steps, of fewer at the start."""

    def __init__(self, model: Any, decay: float) -> None:
        self.model: Any = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: Any, step: int) -> None:
        """Take in the weights after so many steps."""
        keep = min(self._decay, (1 + step) / (10 + step))
        here, new = self.model.state_dict(), merged_state(model)
        for name, value in here.items():
            if value.is_floating_point():
                value.lerp_(new[name], 1 - keep)
            else:
                value.copy_(new[name])

    def write(self, folder: Path) -> None:
        """Write the average beside the weights of a checkpoint."""
        write_state(self.model, folder / _FILE)

    def read(self, folder: Path) -> None:
        """Read what ``write`` wrote."""
        self.model.load_state_dict(load_file(folder / _FILE))


def write_state(model: Any, file: Path) -> None:
    """Write the weights of a model by the names that it has for them itself."""
    save_file({name: value.clone().contiguous() for name, value in model.state_dict().items()}, file)


_SAVE_S = 300.0
_LOWEST_RATE = 0.01

Report = Callable[[float], None]
"""Called after each step with the share of the plan that is done, in [0, 1]."""


@dataclass(slots=True)
class Progress:
    """How far a training has come. ``best_step`` is 0 while no weights were kept.

    ``at_once`` images pass through the model at once: fewer than a batch where memory did not suffice.
    """

    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    best_step: int = 0
    chosen_by: str = ""
    best_figure: float = -1.0
    n_stale: int = 0
    at_once: int = 0
    ended: bool = False
    curve: list[Point] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        entry = {**asdict(self), "curve": [point.to_json() for point in self.curve]}
        write_whole(folder / PROGRESS, json.dumps(entry))


def read_progress(folder: Path) -> Progress:
    """Return the progress at a checkpoint."""
    entry = read_json(folder / PROGRESS)
    return Progress(**{**entry, "curve": [decode_point(point) for point in entry["curve"]]})


class Course(TrainerCallback):
    """Keeps the average, the clock and the best weights; tells the trainer when to look, save and stop."""

    def __init__(self, plan: Plan, work: Path, average: Average, *, report: Report) -> None:
        self.progress = Progress()
        self._plan, self._work, self._report = plan, work, report
        self._average = average
        self._loss, self._n_losses = 0.0, 0
        self._clock = self._saved = time.monotonic()
        self._cpu_clock = _cpu_seconds()

    @property
    def averaged(self) -> Any:
        """The model with the averaged weights, in evaluation mode."""
        return self._average.model

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint."""
        with reading(checkpoint):
            self.progress = read_progress(checkpoint)
            self._average.read(checkpoint)
        self._clock = self._saved = time.monotonic()
        self._cpu_clock = _cpu_seconds()

    def share_done(self, step: int) -> float:
        """Return how much of the plan is done, in [0, 1]: of its steps, or of its time if that is more."""
        of_time = self.progress.seconds / 60 / self._plan.minutes if self._plan.minutes else 0.0
        return min(1.0, max(step / self._plan.settings.steps, of_time))

    def rate(self, step: int) -> float:
        """The learning rate of the next step, as a share of the highest: a warm-up, then a cosine."""
        warm = min(1.0, (step + 1) / max(1, self._plan.settings.warmup_steps))
        cosine = (1 + math.cos(math.pi * self.share_done(step))) / 2
        return warm * (_LOWEST_RATE + (1 - _LOWEST_RATE) * cosine)

    def add_loss(self, loss: float) -> None:
        """Take in the loss of a pass."""
        self._loss, self._n_losses = self._loss + loss, self._n_losses + 1

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002
        before = self.share_done(self.progress.step)
        now, cpu = time.monotonic(), _cpu_seconds()
        self.progress.seconds += now - self._clock
        self.progress.cpu_seconds += cpu - self._cpu_clock
        self._clock, self._cpu_clock, self.progress.step = now, cpu, state.global_step
        self._average.update(more["model"], state.global_step)
        done = self.share_done(state.global_step)
        self._report(done)
        looks = self._plan.settings.evaluations
        control.should_evaluate = int(done * looks) > int(before * looks) or done >= 1
        control.should_save = control.should_evaluate or now - self._saved >= _SAVE_S
        control.should_training_stop = self.progress.ended = done >= 1

    def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002
        control.should_evaluate = control.should_save = False  # the last step has done both

    def add_figures(self, control: Any, figures: Mapping[str, float | None]) -> None:
        """Take in what an evaluation gave; keeps the averaged weights if its first figure is the best yet."""
        progress = self.progress
        loss = self._loss / max(1, self._n_losses)
        self._loss, self._n_losses = 0.0, 0
        progress.curve.append(Point(progress.step, progress.seconds, loss, figures))
        progress.n_stale += 1
        progress.chosen_by, value = next(iter(figures.items()))
        figure = value or 0.0
        if figure > progress.best_figure:
            progress.best_figure, progress.best_step, progress.n_stale = figure, progress.step, 0
            self._keep_best()
        patience = self._plan.settings.patience
        if patience and progress.n_stale >= patience:
            control.should_training_stop = progress.ended = True

    def complete(self, checkpoint: Path) -> None:
        """Write what a checkpoint still lacks; from now on it is whole, and older best weights can go."""
        self._average.write(checkpoint)
        self.progress.write(checkpoint)
        self._saved = time.monotonic()
        for folder in self._work.glob("best-*"):
            if folder != best_folder(self._work, self.progress.best_step):
                shutil.rmtree(folder, ignore_errors=True)

    def _keep_best(self) -> None:
        target = best_folder(self._work, self.progress.best_step)
        shutil.rmtree(target, ignore_errors=True)  # of a run that was killed behind its last checkpoint
        with replacing_folder(target) as folder:
            self._average.model.save_pretrained(folder)


def _cpu_seconds() -> float:
    """The processor time of this process, in all its threads, and of those that ended before it."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
