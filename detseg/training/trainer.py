"""The fine-tuning itself: transformers' ``Trainer`` with our order of images, our figures and our limits, and
its optimizer: which weights change how fast."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments
from transformers.utils import SAFE_WEIGHTS_NAME

from detseg.errors import TrainingError
from detseg.models.backbone import find_backbone
from detseg.training.course import Course, write_state
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
        for callback in (PrinterCallback, ProgressCallback):  # commands print by themselves
            self.remove_callback(callback)
        self.add_callback(course)
        self.model_accepts_loss_kwargs = False  # losses here are means over a pass, which its parts share
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

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:  # noqa: ARG002
        """Write all weights of a checkpoint.

        transformers would write some under other names than the model has them, and not find them again.
        """
        folder = Path(output_dir or self._work)
        folder.mkdir(parents=True, exist_ok=True)
        write_state(self.model, folder / SAFE_WEIGHTS_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Read what ``_save`` wrote."""
        here: Any = self.model if model is None else model
        with reading(Path(resume_from_checkpoint)):
            here.load_state_dict(load_file(Path(resume_from_checkpoint) / SAFE_WEIGHTS_NAME))

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


_BLOCK = re.compile(
    r"(?:.*?\.)?\d+(?=\.block\.)"  # torchvision's MobileNet
    r"|.*?(?:layers?|blocks?|stages?)[._]?\d+(?:\.(?:layers?\.|blocks?\.)?\d+)?(?=\.)"
)
"""The beginning of a parameter's name that names its block: ``encoder.stages.0.layers.1`` of a longer one."""


def make_optimizer(model: Any, plan: Plan) -> torch.optim.Optimizer:
    """AdamW with a rate of its own for the backbone, and for each of its layers; biases and norms do not
    decay."""
    settings = plan.settings
    rates = _backbone_rates(model, rate=settings.backbone_rate, decay=settings.layer_decay)
    if settings.backbone_rate == 0 and (backbone := find_backbone(model)) is not None:
        backbone.requires_grad_(False)
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            key = rates.get(id(parameter), 1.0), parameter.ndim > 1
            groups.setdefault(key, []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": settings.learning_rate * rate,
                "weight_decay": settings.weight_decay if decays else 0.0,
            }
            for (rate, decays), parameters in groups.items()
        ]
    )


def _backbone_rates(model: Any, *, rate: float, decay: float) -> dict[int, float]:
    """The learning rates of the backbone's parameters by their ``id``, as multiples of the head's."""
    backbone = find_backbone(model)
    if backbone is None:
        return {}
    names, parameters = zip(*backbone.named_parameters(), strict=True)
    depths = layer_depths(names)
    return {
        id(one): rate * decay ** (max(depths) - depth) for one, depth in zip(parameters, depths, strict=True)
    }


def layer_depths(names: Iterable[str]) -> list[int]:
    """The number of each parameter's block, from 1, in the order of the network; 0 for what comes before.

    >>> layer_depths(["stem.weight", "layer1.0.conv.weight", "layer1.0.bn.bias", "layer1.1.w", "norm"])
    [0, 1, 1, 2, 2]
    >>> layer_depths(["0.0.weight", "1.block.0.0.weight", "1.block.1.1.bias", "2.block.0.0.weight"])
    [0, 1, 1, 2]
    """
    depths: list[int] = []
    blocks: dict[str, int] = {}
    for name in names:
        found = _BLOCK.match(name)
        if found:
            depths.append(blocks.setdefault(found[0], len(blocks) + 1))
        else:
            depths.append(len(blocks))
    return depths
