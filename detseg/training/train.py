"""A training from its plan to a checkpoint: started, resumed after a kill, finished."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from detseg.errors import TrainingError
from detseg.files import write_whole
from detseg.models.checkpoints import Checkpoint, architecture_of, quiet_library
from detseg.models.engine import Engine, choose_device, has_native_bfloat16
from detseg.plurals import format_count
from detseg.training.adapt import (
    compute_loss_in_float32,
    longest_side,
    resize_inputs,
    spare_points,
    with_classes,
)
from detseg.training.batches import Draws
from detseg.training.card import model_card
from detseg.training.course import Average, Course, Report
from detseg.training.evaluate import Split, Tally
from detseg.training.low_rank import add_low_rank
from detseg.training.plan import (
    FIGURES,
    RESULT,
    Plan,
    Reader,
    Trained,
    encode_trained,
)
from detseg.training.tables import SampleTable
from detseg.training.tasks import TASKS, Task
from detseg.training.torchvision_models import without_loss
from detseg.training.trainer import (
    FineTuner,
    LossIsNoNumber,
    make_arguments,
    make_optimizer,
    make_schedule,
)
from detseg.training.work import best_folder, last_checkpoint, open_work, writing_result

LARGER = 1.3
"""Images are augmented at so many times the size that the model sees, which leaves something to zoom into."""

_LONE_IMAGE = "Expected more than 1 value per channel"
"""Said by PyTorch where a batch normalisation sees a single value: that of one image, as a whole."""

_LARGER_BATCH = "set training.batch_size to 2 or more"
_LOWER = "lower training.learning_rate, or set engine.precision to float32"


class OutOfMemory(TrainingError):
    """The device has not the memory for so many images at once."""


@dataclass(frozen=True, slots=True)
class Splits:
    """The images to learn from and those to choose by, and how both are read."""

    train: SampleTable
    val: SampleTable
    read: Reader


def train(
    plan: Plan,
    base: Checkpoint,
    out: Path,
    *,
    splits: Splits,
    report: Report,
    warn: Callable[[str], None] = lambda _: None,
    notes: tuple[str, ...] = (),
) -> Trained:
    """Fine-tune, and write a ``from_pretrained`` folder with a model card; resume where it was stopped.

    Where memory does not suffice for a batch, its images are learned from in parts. ``base`` is what
    ``load_pretrained`` gave. TrainingError for a loss that is no number, for a disk that is full, and for
    what cannot be trained; the last checkpoint is kept, and so are the best weights until then. ``warn`` gets
    a line for people; ``notes`` go into the card.
    """
    at_once = plan.settings.batch_size
    while True:
        training = _Training.prepare(
            plan, base, out, splits=splits, report=report, notes=notes, at_once=at_once
        )
        try:
            return _complete(training)
        except OutOfMemory as error:
            said = str(error)
            at_once = _fewer(plan.settings.batch_size, training.at_once)
            if not at_once:
                raise TrainingError(f"{said}: give --base a smaller model") from error
        del training
        clear_device_cache(garbage_collection=True)
        images = format_count(at_once, "image")
        line = f"{said}: goes on with {images} at once, whose gradients together make the same steps"
        warn(line)
        notes = (*notes, line)


def _complete(training: _Training) -> Trained:
    """Run a training to its end, from its last checkpoint if there is one, and write its result."""
    try:
        if not training.course.progress.ended:
            with quiet_library():
                training.run()
    except LossIsNoNumber as error:
        progress = training.course.progress
        if not progress.best_step:
            raise TrainingError(f"{error}, and nothing was learned until then: {_LOWER}") from error
        training.finish(f"stopped, because {error}")
        raise TrainingError(
            f"{error}: the weights of step {progress.best_step} ({FIGURES[progress.chosen_by]} "
            f"{progress.best_figure:.3f}) are in {training.out}; {_LOWER}"
        ) from error
    return training.finish()


def _fewer(batch_size: int, at_once: int) -> int:
    """The largest number of images that makes the batch without a rest, up to half of ``at_once``; 0 for
    none.

    >>> [_fewer(8, 8), _fewer(6, 6), _fewer(6, 3), _fewer(5, 5), _fewer(5, 1)]
    [4, 3, 1, 1, 0]
    """
    return next((n for n in range(at_once // 2, 0, -1) if batch_size % n == 0), 0)


def own_words(error: TrainingError) -> str:
    """Return the message of an error without the traceback that torch puts before it in a loading process."""
    return str(error.args[0]).rstrip().rpartition(f"{TrainingError.__name__}: ")[2]


@dataclass(frozen=True, slots=True)
class _Training:
    """A training that is ready to run."""

    plan: Plan
    out: Path
    work: Path
    splits: Splits
    course: Course
    model: Any
    processor: Any
    engine: Engine
    notes: tuple[str, ...]
    at_once: int
    checkpoint: Path | None

    @classmethod
    def prepare(
        cls,
        plan: Plan,
        base: Checkpoint,
        out: Path,
        *,
        splits: Splits,
        report: Report,
        notes: tuple[str, ...],
        at_once: int,
    ) -> _Training:
        settings, engine = plan.settings, Engine(choose_device(plan.device))
        if settings.image_size:
            resize_inputs(base, settings.image_size)
        model = with_classes(
            base,
            TASKS[architecture_of(base.model)].labels(plan.classes),
            seed=plan.seed,
            on_cpu=engine.device.type == "cpu",
            queries=settings.queries,
        )
        spare_points(model, base.processor)
        compute_loss_in_float32(model)
        work = open_work(out, plan)
        model.to(engine.device, memory_format=torch.channels_last)
        course = Course(plan, work, Average(model, plan.settings.average), report=report)
        if settings.lora_rank:  # the average has weights as they are used
            add_low_rank(model, settings.lora_rank, seed=plan.seed)
        if (checkpoint := last_checkpoint(work)) is not None:
            course.resume(checkpoint)
        at_once = min(at_once, course.progress.at_once or at_once)
        course.progress.at_once = at_once
        return cls(plan, out, work, splits, course, model, base.processor, engine, notes, at_once, checkpoint)

    def run(self) -> None:
        """Train from the beginning or from the last checkpoint, to the end of the plan."""
        plan, settings, device = self.plan, self.plan.settings, self.engine.device
        half = plan.precision == "bfloat16" or (plan.precision == "auto" and has_native_bfloat16(device))
        arguments = make_arguments(plan, self.work, device=device, bfloat16=half, at_once=self.at_once)
        draws = Draws(
            self.splits.train,
            self.splits.read,
            self.val.ids,
            settings,
            n_draws=settings.steps * settings.batch_size * settings.accumulate * arguments.world_size,
            seed=plan.seed,
            most_px=round(LARGER * longest_side(self.processor)),
            make=self.task.make,
            things=frozenset(i for i, cls in enumerate(plan.classes) if cls.kind == "thing"),
        )
        optimizer = make_optimizer(self.model, plan)
        trainer = FineTuner(
            plan,
            self.course,
            measure=lambda model: self.tally(model).score(),
            model=self.model,
            args=arguments,
            train_dataset=draws,
            data_collator=self.task.collate(self.processor, self.val),
            optimizers=(optimizer, make_schedule(optimizer, self.course)),
        )
        try:
            trainer.train(resume_from_checkpoint=None if self.checkpoint is None else str(self.checkpoint))
        except LossIsNoNumber:
            raise
        except TrainingError as error:
            raise TrainingError(own_words(error)) from error
        except (RuntimeError, MemoryError, ValueError) as error:
            if (known := self._explain(error, n_devices=arguments.world_size)) is None:
                raise
            raise known from error

    def _explain(self, error: Exception, *, n_devices: int) -> TrainingError | None:
        """The error in our words, if a batch was too large for the memory, or too small for the model."""
        if _LONE_IMAGE in str(error):
            way = "give --base a smaller model" if self.plan.settings.batch_size > 1 else _LARGER_BATCH
            return TrainingError(
                f"{self.plan.base} cannot learn from 1 image at once, for it normalises over several: {way}"
            )
        if not isinstance(error, MemoryError) and not should_reduce_batch_size(error):
            return None
        device, images = self.engine.device, format_count(self.at_once, "image")
        said = f"out of memory on {device}, with {images} at once"
        if n_devices == 1:
            return OutOfMemory(said)
        return TrainingError(  # the others wait for this one
            f"{said}: halve training.batch_size, double training.accumulate, give --out a new folder"
        )

    @property
    def task(self) -> Task:
        """What is learned."""
        return TASKS[architecture_of(without_loss(self.model))]

    @property
    def val(self) -> Split:
        """The split that the weights are chosen by, and the classes."""
        return Split(self.splits.val, self.splits.read, self.plan.classes)

    def tally(self, model: Any) -> Tally:
        """Compare what a model finds in the images of val with the labels.

        It is a copy that predicts, for networks fold norms, take off heads and set thresholds of their model.
        """
        answering = copy.deepcopy(without_loss(model))
        return self.task.tally(Checkpoint(self.plan.base, answering, self.processor), self.val, self.engine)

    def finish(self, note: str = "") -> Trained:
        """Write the best weights as a checkpoint with its card, and remove what only the training needed."""
        progress = self.course.progress
        best = best_folder(self.work, progress.best_step)
        with quiet_library():
            model = type(self.model).from_pretrained(best, use_safetensors=True).eval().requires_grad_(False)
        best_figures = self.tally(model.to(self.engine.device)).best(step=progress.best_step)
        trained = Trained(
            checkpoint=self.out,
            dataset=self.plan.dataset,
            base=self.plan.base,
            steps=progress.step,
            seconds=progress.seconds,
            cpu_seconds=progress.cpu_seconds,
            n_images={"train": len(self.splits.train), "val": len(self.splits.val)},
            best=best_figures,
            curve=tuple(progress.curve),
            notes=(*self.notes, note) if note else self.notes,
        )
        with writing_result(self.out) as made, quiet_library():
            model.to("cpu").save_pretrained(made)
            self.processor.save_pretrained(made)
            write_whole(made / "README.md", model_card(self.plan, trained, model))
            result = {"plan": self.plan.to_json(), "trained": encode_trained(trained)}
            write_whole(made / RESULT, json.dumps(result, ensure_ascii=False, indent=1))
        return trained
