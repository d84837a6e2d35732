"""A training from its plan to a checkpoint: begun, gone on after a kill, ended, written down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from detseg.errors import TrainingError
from detseg.files import parse_json, read_json, write_whole
from detseg.models.checkpoints import Checkpoint, quiet_library
from detseg.models.engine import Engine, choose_device, has_native_bfloat16
from detseg.plurals import format_count
from detseg.training.average import Average
from detseg.training.batches import Draws
from detseg.training.card import model_card
from detseg.training.course import Course, Report, best_folder, last_checkpoint
from detseg.training.evaluate import Split, Tally
from detseg.training.heads import with_classes
from detseg.training.inputs import longest_side, resize_inputs, spare_points
from detseg.training.plan import (
    FIGURES,
    RESULT,
    WORK,
    Plan,
    Reader,
    Trained,
    decode_trained,
    differences,
    encode_trained,
)
from detseg.training.tables import SampleTable
from detseg.training.tasks import TASKS, Task
from detseg.training.trainer import (
    FineTuner,
    LossIsNoNumber,
    make_arguments,
    make_optimizer,
    make_schedule,
)

_PLAN = "plan.json"
_LARGER = 1.3
"""Images are augmented at so many times the size that the model sees, which leaves something to zoom into."""

_LOWER = "lower training.learning_rate, or set engine.precision to float32"


@dataclass(frozen=True, slots=True)
class Splits:
    """The images to learn from and those to choose by, and how both are read."""

    train: SampleTable
    val: SampleTable
    read: Reader


def train(
    plan: Plan, base: Checkpoint, out: Path, *, splits: Splits, report: Report, notes: tuple[str, ...] = ()
) -> Trained:
    """Fine-tune and write a ``from_pretrained`` folder with a model card; goes on where it was stopped.

    ``base`` is what ``load_pretrained`` gave. TrainingError for a loss that is no number, for a disk that is
    full, and for what cannot be trained; the last checkpoint is kept, and so are the best weights until then.
    ``notes`` go into the card.
    """
    training = _Training.prepare(plan, base, out, splits=splits, report=report, notes=notes)
    checkpoint = last_checkpoint(training.work)
    if checkpoint is not None:
        training.course.resume(checkpoint)
    try:
        if not training.course.progress.ended:
            with quiet_library():
                training.run(checkpoint)
    except LossIsNoNumber as error:
        progress = training.course.progress
        if not progress.best_step:
            raise TrainingError(f"{error}, and nothing was learned until then: {_LOWER}") from error
        training.finish(f"stopped, because {error}")
        raise TrainingError(
            f"{error}: the weights of step {progress.best_step} ({FIGURES[progress.chosen_by]} "
            f"{progress.best_figure:.3f}) are in {out}; {_LOWER}"
        ) from error
    return training.finish()


def find_trained(out: Path, plan: Plan) -> Trained | None:
    """What a training of this plan came to, if it has ended. TrainingError where another one stands."""
    if not (out / RESULT).is_file():
        return None
    entry = read_json(out / RESULT)
    try:
        _require_same(out, entry["plan"], plan)
        return decode_trained(entry["trained"], out)
    except (KeyError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"{out / RESULT} is not what this detseg writes: give --out a new folder"
        ) from error


def open_work(out: Path, plan: Plan) -> Path:
    """The folder of a training's state: a new one, or the one of this plan that was begun.

    TrainingError where something else stands.
    """
    work = out / WORK
    if (work / _PLAN).is_file():
        _require_same(out, read_json(work / _PLAN), plan)
        return work
    if not work.is_dir() and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise TrainingError(f"{out} is there already and holds no training: give --out a new folder")
    work.mkdir(parents=True, exist_ok=True)
    write_whole(work / _PLAN, json.dumps(plan.to_json()))
    return work


def _describe_memory(batch_size: int, device: torch.device) -> str:
    images = format_count(batch_size, "image")
    fix = (
        "halve training.batch_size and double training.accumulate, and give --out a new folder"
        if batch_size > 1
        else "give --base a smaller model"
    )
    return f"out of memory on {device}, with {images} at once: {fix}"


def own_words(error: TrainingError) -> str:
    """What an error says, without the traceback that torch puts before what a loading process raises."""
    return str(error.args[0]).rstrip().rpartition(f"{TrainingError.__name__}: ")[2]


def _require_same(out: Path, begun: Mapping[str, Any], plan: Plan) -> None:
    if other := differences(begun, parse_json(json.dumps(plan.to_json()), "the plan")):
        raise TrainingError(
            f"{out} holds a training with another plan, {', '.join(other)}: give --out a new folder, or "
            "remove that one"
        )


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
    ) -> _Training:
        settings, engine = plan.settings, Engine(choose_device(plan.device))
        if settings.image_size:
            resize_inputs(base, settings.image_size)
        model = with_classes(
            base,
            plan.classes,
            seed=plan.seed,
            on_cpu=engine.device.type == "cpu",
            queries=settings.queries,
        )
        spare_points(model, base.processor)
        work = open_work(out, plan)
        model.to(engine.device, memory_format=torch.channels_last)
        course = Course(plan, work, Average(model, plan.settings.average), report=report)
        return cls(plan, out, work, splits, course, model, base.processor, engine, notes)

    def run(self, checkpoint: Path | None) -> None:
        """Train from the beginning or from a checkpoint, to the end of the plan."""
        plan, settings, device = self.plan, self.plan.settings, self.engine.device
        half = plan.precision == "bfloat16" or (plan.precision == "auto" and has_native_bfloat16(device))
        arguments = make_arguments(plan, self.work, device=device, bfloat16=half)
        draws = Draws(
            self.splits.train,
            self.splits.read,
            self.val.ids,
            settings,
            n_draws=settings.steps * settings.batch_size * settings.accumulate * arguments.world_size,
            seed=plan.seed,
            most_px=round(_LARGER * longest_side(self.processor)),
            masks=self.task.masks,
        )
        optimizer = make_optimizer(self.model, plan)
        trainer = FineTuner(
            plan,
            self.course,
            measure=lambda model: self.tally(model).score(),
            model=self.model,
            args=arguments,
            train_dataset=draws,
            data_collator=self.task.collate(self.processor, self.val.panoptic),
            optimizers=(optimizer, make_schedule(optimizer, self.course)),
        )
        try:
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        except LossIsNoNumber:
            raise
        except TrainingError as error:
            raise TrainingError(own_words(error)) from error
        except torch.OutOfMemoryError as error:
            raise TrainingError(_describe_memory(settings.batch_size, device)) from error

    @property
    def task(self) -> Task:
        """What is learned."""
        return TASKS[type(self.model).__name__]

    @property
    def val(self) -> Split:
        """The split that the weights are chosen by, and the classes."""
        return Split(self.splits.val, self.splits.read, self.plan.classes)

    def tally(self, model: Any) -> Tally:
        """Hold what a model finds in the images of val against what people say."""
        return self.task.tally(Checkpoint(self.plan.base, model, self.processor), self.val, self.engine)

    def finish(self, note: str = "") -> Trained:
        """Write the best weights as a checkpoint, with its card, and remove what only the training needed."""
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
        made = self.work / "made"
        with quiet_library():
            model.to("cpu").save_pretrained(made)
            self.processor.save_pretrained(made)
        write_whole(made / "README.md", model_card(self.plan, trained, model))
        result = {"plan": self.plan.to_json(), "trained": encode_trained(trained)}
        write_whole(made / RESULT, json.dumps(result, ensure_ascii=False, indent=1))
        for path in sorted(
            made.iterdir(), key=lambda path: path.name == RESULT
        ):  # the last says: it is whole
            path.replace(self.out / path.name)
        shutil.rmtree(self.work)
        return trained
