"""The training loop: learning rate by what is done of the plan, averaged weights, resume after a kill."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from detseg.errors import ModelError
from detseg.samples.checkpoints import Role
from detseg.samples.train.batches import load_batch
from detseg.samples.train.data import SceneStore
from detseg.samples.train.losses import LOSSES
from detseg.samples.train.models import DENSE_CHANNELS, DenseHead, build_model


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a training. The schedule ends after ``n_images`` or after ``minutes``, whichever comes
    first.

    With images alone the result is a function of the plan; with minutes it is one of the machine, too.
    """

    role: Role
    n_images: int
    minutes: float = math.inf
    batch_size: int = 16
    learning_rate: float = 6e-4
    warmup_steps: int = 300
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 7


@dataclass(slots=True)
class Progress:
    """The progress: steps made, seconds of training, and the loss as a moving mean."""

    step: int = 0
    seconds: float = 0.0
    recent_loss: float = 0.0


class Training:
    """A model in training, its averaged twin, the optimizer and the progress."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.progress = Progress()
        self.model: Any = build_model(plan.role).to(memory_format=torch.channels_last).train()
        self.head = DenseHead(DENSE_CHANNELS[plan.role])
        self.average: Any = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self._groups(), lr=plan.learning_rate, foreach=True)

    def _groups(self) -> list[dict[str, Any]]:
        """Matrices decay; biases and norms do not."""
        parameters = [*self.model.parameters(), *self.head.parameters()]
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.plan.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    @property
    def n_images(self) -> int:
        """Pictures seen so far."""
        return self.progress.step * self.plan.batch_size

    @property
    def share_done(self) -> float:
        """0 at the start, 1 when the plan is fulfilled."""
        return min(
            1.0, max(self.n_images / self.plan.n_images, self.progress.seconds / 60 / self.plan.minutes)
        )

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine down to a hundredth."""
        warm = min(1.0, (self.progress.step + 1) / self.plan.warmup_steps)
        cosine = 0.505 + 0.495 * math.cos(math.pi * self.share_done)
        return self.plan.learning_rate * warm * cosine

    def advance(self, store: SceneStore) -> float:
        """One step; answers its loss."""
        start = time.monotonic()
        plan, step = self.plan, self.progress.step
        torch.manual_seed(plan.seed * 1_000_003 + step)
        batch = load_batch(store, step, plan.role, batch_size=plan.batch_size, seed=plan.seed)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        with torch.autocast("cpu", torch.bfloat16):
            loss = LOSSES[plan.role](self.model, self.head, batch)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, plan.clip, foreach=True)
        if torch.isfinite(norm):
            self.optimizer.step()
        self._update_average()
        value = float(loss.detach())
        recent = self.progress.recent_loss
        self.progress.recent_loss = value if step == 0 else 0.98 * recent + 0.02 * value
        self.progress.step += 1
        self.progress.seconds += time.monotonic() - start
        return value

    @torch.no_grad()
    def _update_average(self) -> None:
        """An exponential moving average of a thousand steps, of fewer at the start."""
        keep = min(0.999, (1 + self.progress.step) / (10 + self.progress.step))
        for kept, new in zip(self.average.parameters(), self.model.parameters(), strict=True):
            kept.lerp_(new, 1 - keep)
        for kept, new in zip(self.average.buffers(), self.model.buffers(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - keep)
            else:
                kept.copy_(new)

    def write(self, path: Path) -> None:
        """Everything that ``read`` needs to go on as if nothing had happened; whole or not at all."""
        progress = self.progress
        state = {
            "model": self.model.state_dict(),
            "head": self.head.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": (progress.step, progress.seconds, progress.recent_loss),
        }
        beside = path.with_suffix(".part")
        torch.save(state, beside)
        beside.replace(path)

    def read(self, path: Path) -> None:
        """Go on from what ``write`` wrote. Raises ModelError for the state of another model."""
        state = torch.load(path, weights_only=True)
        try:
            self.model.load_state_dict(state["model"])
            self.head.load_state_dict(state["head"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"{path} is not the state of this training ({reason}): remove it") from error
        step, seconds, recent_loss = state["progress"][:3]
        self.progress = Progress(step, seconds, recent_loss)


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds of training between two lines of progress, two saved states, two evaluations."""

    line_s: float = 20.0
    save_s: float = 180.0
    evaluate_s: float = 900.0


def train(
    training: Training,
    store: SceneStore,
    *,
    state_path: Path,
    report: Callable[[str], None],
    evaluate: Callable[[Any], float],
    pauses: Pauses = Pauses(),
) -> None:
    """Train until the plan is fulfilled. ``evaluate`` gets the averaged model and answers its score."""
    start = training.progress.seconds
    next_line, next_save = start + pauses.line_s, start + pauses.save_s
    next_evaluation = start + pauses.evaluate_s
    last = (training.n_images, start)
    while training.share_done < 1:
        training.advance(store)
        now = training.progress.seconds
        if now >= next_line:
            report(progress_line(training, since=last))
            next_line, last = now + pauses.line_s, (training.n_images, now)
        if now >= next_evaluation:
            next_evaluation = now + pauses.evaluate_s
            score = evaluate(training.average)
            report(f"{training.n_images:>7} images  score {score:.4f} on the progress scenes")
        if now >= next_save:
            next_save = now + pauses.save_s
            training.write(state_path)
    training.write(state_path)


def progress_line(training: Training, *, since: tuple[int, float]) -> str:
    """Say how far the training is; ``since`` are the images and seconds at the last line."""
    n_images, seconds, done = training.n_images, training.progress.seconds, training.share_done
    rate = (n_images - since[0]) / max(seconds - since[1], 1e-9)
    minutes_left = seconds * (1 - done) / max(done, 1e-9) / 60
    return (
        f"{n_images:>7} images  loss {training.progress.recent_loss:7.3f}  {rate:5.1f} images/s  "
        f"{done:6.1%}  {minutes_left:5.1f} min left"
    )
