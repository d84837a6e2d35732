"""The fine-tuning itself: transformers' ``Trainer`` with our order of images, our figures and our limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments

from detseg.errors import TrainingError
from detseg.training.course import Course
from detseg.training.plan import Plan
from detseg.training.work import reading, writing

_PRIME = 1_000_003
Measure = Callable[[Any], Mapping[str, float | None]]
"""The figures of a model in evaluation mode on the split val; the first chooses the best weights."""


class LossIsNoNumber(TrainingError):
    """A loss or an answer is infinite or not a number: from here on nothing would be learned."""


class FineTuner(Trainer):
    """A ``Trainer`` whose every step is a function of the seed and its number, on any number of devices."""

    def __init__(self, plan: Plan, course: Course, *, measure: Measure, **more: Any) -> None:
        super().__init__(**more)
        for callback in (PrinterCallback, ProgressCallback):  # the house prints at its own place
            self.remove_callback(callback)
        self.add_callback(course)
        self._plan, self._course, self._measure = plan, course, measure

    def training_step(self, *arguments: Any, **named: Any) -> torch.Tensor:
        step = self.state.global_step
        torch.manual_seed(self._plan.seed * _PRIME + step * self.args.world_size + self.args.process_index)
        loss = super().training_step(*arguments, **named)
        value = float(loss)
        if not math.isfinite(value):
            raise LossIsNoNumber(f"the loss of step {step + 1} is {value}")
        self._course.add_loss(value * self.args.gradient_accumulation_steps)
        return loss

    def compute_loss(self, *arguments: Any, **named: Any) -> torch.Tensor:
        loss: Any = super().compute_loss(*arguments, **named)
        scalar: torch.Tensor = loss.reshape(())  # that of OneFormer has one element
        return scalar

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002
        return 0  # which nobody reads, and which cannot be counted for every family

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Measure the averaged weights on the split val, and let the course go on from that."""
        try:
            figures = self._measure(self._course.averaged)
        except ArithmeticError as error:
            raise LossIsNoNumber(
                f"what the model answers after step {self.state.global_step} is no number"
            ) from error
        with writing(self._work, self.state.global_step):
            self._course.add_figures(self.control, figures)
        return {f"eval_{name}": value or 0.0 for name, value in figures.items()}

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = self._work / f"checkpoint-{self.state.global_step}"
        with writing(folder, self.state.global_step):
            super()._save_checkpoint(model, trial)
            self._course.complete(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Read all weights of a checkpoint.

        transformers writes some under other names than the model has them, and its own trainer then leaves
        those as they were, without a word; ``from_pretrained`` knows both names.
        """
        here: Any = self.model if model is None else model
        with reading(Path(resume_from_checkpoint)):
            there = type(here).from_pretrained(resume_from_checkpoint, use_safetensors=True)
            here.load_state_dict(there.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with reading(Path(checkpoint or self._work)):
            super()._load_optimizer_and_scheduler(checkpoint)

    @property
    def _work(self) -> Path:
        return Path(str(self.args.output_dir))


def make_schedule(optimizer: torch.optim.Optimizer, course: Course) -> LambdaLR:
    """The learning rates by what is done of the plan."""
    return LambdaLR(optimizer, course.rate)


def make_arguments(
    plan: Plan, work: Path, *, device: torch.device, bfloat16: bool, at_once: int
) -> TrainingArguments:
    """The settings of transformers' ``Trainer``. What it would print, report or fetch, it does not.

    Batches are learned from in parts of ``at_once`` images, a divisor of their number.
    """
    settings = plan.settings
    return TrainingArguments(
        output_dir=str(work),
        max_steps=settings.steps,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=settings.accumulate * settings.batch_size // at_once,
        max_grad_norm=settings.clip,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        seed=plan.seed,
        bf16=bfloat16,
        use_cpu=device.type == "cpu",
        dataloader_num_workers=settings.workers,
        dataloader_pin_memory=device.type == "cuda",
        dataloader_persistent_workers=settings.workers > 0,
        eval_strategy="no",
        save_strategy="no",
        save_total_limit=2,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        log_level="error",
        report_to="none",
    )
