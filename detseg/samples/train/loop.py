"""The training loop: one-cycle learning rate on the clock, averaged weights, resume after a kill."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from detseg.samples.train.batches import load_batch
from detseg.samples.train.data import SceneStore
from detseg.samples.train.losses import detector_loss, segmenter_loss
from detseg.samples.train.models import DENSE_CHANNELS, DenseHead, Task, build_detector, build_segmenter


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train. The schedule ends after ``n_images`` or after ``minutes``, whichever comes first."""

    task: Task
    n_images: int
    minutes: float
    batch_size: int = 16
    learning_rate: float = 6e-4
    warmup_steps: int = 300
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 7


@dataclass(slots=True)
class Progress:
    """Where a training stands; written to disk now and then and read back by ``resume``."""

    step: int = 0
    seconds: float = 0.0
    recent_loss: float = 0.0
    scores: list[tuple[int, float]] = field(default_factory=list)


class Training:
    """A model in training, its averaged twin, the optimizer and the progress."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.progress = Progress()
        model = build_detector() if plan.task == "detector" else build_segmenter()
        self.model = model.to(memory_format=torch.channels_last).train()
        self.head = DenseHead(DENSE_CHANNELS[plan.task])
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self._groups(), lr=plan.learning_rate, foreach=True)
        self._loss = detector_loss if plan.task == "detector" else segmenter_loss

    def _groups(self) -> list[dict[str, object]]:
        """Weights decay; biases, norms and embeddings of one dimension do not."""
        parameters = [*self.model.parameters(), *self.head.parameters()]
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.plan.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    @property
    def share_done(self) -> float:
        """0 at the start, 1 when the plan is fulfilled."""
        images = self.progress.step * self.plan.batch_size / self.plan.n_images
        return min(1.0, max(images, self.progress.seconds / (60 * self.plan.minutes)))

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
        batch = load_batch(store, step, plan.task, batch_size=plan.batch_size, seed=plan.seed)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        with torch.autocast("cpu", torch.bfloat16):
            loss = self._loss(self.model, self.head, batch)
        self.optimizer.zero_grad()
        loss.backward()
        parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, plan.clip, foreach=True)
        if torch.isfinite(norm):
            self.optimizer.step()
        self._update_average()
        value = float(loss.detach())
        self.progress.recent_loss = value if step == 0 else 0.98 * self.progress.recent_loss + 0.02 * value
        self.progress.step += 1
        self.progress.seconds += time.monotonic() - start
        return value

    @torch.no_grad()
    def _update_average(self) -> None:
        step = self.progress.step
        keep = min(0.999, (1 + step) / (10 + step))
        mine, theirs = list(self.average.parameters()), list(self.model.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - keep)
        for kept, new in zip(self.average.buffers(), self.model.buffers(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - keep)
            else:
                kept.copy_(new)

    def write(self, path: Path) -> None:
        """Everything that ``read`` needs to go on as if nothing had happened."""
        state = {
            "model": self.model.state_dict(),
            "head": self.head.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": (self.progress.step, self.progress.seconds, self.progress.recent_loss, self.progress.scores),
        }
        beside = path.with_suffix(".part")
        torch.save(state, beside)
        os.replace(beside, path)

    def read(self, path: Path) -> None:
        """Go on from what ``write`` wrote."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.head.load_state_dict(state["head"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        step, seconds, recent_loss, scores = state["progress"]
        self.progress = Progress(step, seconds, recent_loss, [tuple(s) for s in scores])


def train(
    training: Training,
    store: SceneStore,
    *,
    state_path: Path,
    report: Callable[[str], None],
    evaluate: Callable[[nn.Module], float],
    every_s: tuple[float, float, float] = (20.0, 180.0, 600.0),
) -> None:
    """Train until the plan is fulfilled. ``every_s``: seconds between lines, saved states, evaluations."""
    line_s, save_s, evaluate_s = every_s
    progress, plan = training.progress, training.plan
    last = {"line": progress.seconds, "save": progress.seconds, "evaluate": progress.seconds}
    last_step = progress.step
    while training.share_done < 1:
        training.advance(store)
        now, done = progress.seconds, training.share_done
        if now - last["line"] >= line_s:
            rate = (progress.step - last_step) * plan.batch_size / (now - last["line"])
            eta = now * (1 - done) / max(done, 1e-6) / 60
            report(
                f"{progress.step * plan.batch_size:>7} images  loss {progress.recent_loss:7.3f}  "
                f"{rate:5.1f} images/s  {done:6.1%}  {eta:5.1f} min left"
            )
            last["line"], last_step = now, progress.step
        if now - last["evaluate"] >= evaluate_s:
            last["evaluate"] = now
            score = evaluate(training.average)
            progress.scores.append((progress.step * plan.batch_size, score))
            report(f"{progress.step * plan.batch_size:>7} images  score {score:.4f} on the progress scenes")
        if now - last["save"] >= save_s:
            last["save"] = now
            training.write(state_path)
    training.write(state_path)
