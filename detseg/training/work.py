"""The folder of a training: made for one plan, resumed, finished; and one line where a disk fails."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from detseg.errors import FormatError, TrainingError, short_reason
from detseg.files import parse_json, read_json, write_whole
from detseg.locking import file_lock
from detseg.training.plan import RESULT, WORK, Plan, Trained, decode_trained, differences

PROGRESS = "progress.json"
"""The last file of a checkpoint: one without it is not whole."""

_PLAN = "plan.json"
_AGAIN = "run the same command again, which"
_WRITING_ERRORS = (OSError, RuntimeError, SafetensorError)
"""The errors of safetensors and torch where a disk is full; torch's is a RuntimeError without a number."""

_READING_ERRORS = (
    OSError, RuntimeError, SafetensorError, FormatError, pickle.UnpicklingError, EOFError,
    LookupError, TypeError, AttributeError, ValueError,
)  # fmt: skip
"""The errors of json, safetensors and torch for files that are no longer what was written."""


def find_trained(out: Path, plan: Plan) -> Trained | None:
    """Return the result of a training of this plan, if it has ended. TrainingError for another plan's."""
    if not (out / RESULT).is_file():
        return None
    entry = read_json(out / RESULT)
    try:
        _require_same(out, entry["plan"], plan)
        trained = decode_trained(entry["trained"], out)
    except (KeyError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"{out / RESULT} is not what this detseg writes: give --out a new folder"
        ) from error
    shutil.rmtree(out / WORK, ignore_errors=True)  # of a run that was killed behind its result
    return trained


def open_work(out: Path, plan: Plan) -> Path:
    """The folder of a training's state: a new one, or the one of this plan that was begun.

    A plan by which nothing was learned yet gives way: what it asked for may have been refused. TrainingError
    where something else stands.
    """
    work = _make_work(out)
    if (work / _PLAN).is_file() and last_checkpoint(work) is not None:
        try:
            _require_same(out, read_json(work / _PLAN), plan)
        except (FormatError, TypeError, AttributeError) as error:
            raise TrainingError(
                f"{work / _PLAN} is damaged: remove {work} to begin anew, or give --out a new folder"
            ) from error
    else:
        write_whole(work / _PLAN, json.dumps(plan.to_json()))
    return work


def _make_work(out: Path) -> Path:
    work = out / WORK
    if not work.is_dir() and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise TrainingError(f"{out} is there already and holds no training: give --out a new folder")
    work.mkdir(parents=True, exist_ok=True)
    return work


@contextmanager
def working(out: Path, plan: Plan) -> Iterator[Path]:
    """The folder that ``open_work`` answers, for this training alone. LockHeld where another has it.

    Of processes that train together (``accelerate launch``), the first has it for all.
    """
    if os.environ.get("RANK", "0") != "0":
        yield _make_work(out)
        return
    with file_lock(_make_work(out) / "lock", what=f"the training in {out}", longest_s=0.0):
        yield open_work(out, plan)


def last_checkpoint(work: Path) -> Path | None:
    """Return the newest checkpoint of a training that was written whole."""
    whole = [path.parent for path in work.glob(f"checkpoint-*/{PROGRESS}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def best_folder(work: Path, step: int) -> Path:
    """The folder of the weights that were the best until then, when they were kept after that step."""
    return work / f"best-{step}"


@contextmanager
def reading(checkpoint: Path) -> Iterator[None]:
    """Turn what cannot be read of a checkpoint into a TrainingError."""
    try:
        yield
    except _READING_ERRORS as error:
        raise TrainingError(
            f"{checkpoint} is damaged ({short_reason(error)}): remove it and {_AGAIN} goes on from the "
            "checkpoint before it, or from the beginning"
        ) from error


@contextmanager
def writing(folder: Path, step: int) -> Iterator[None]:
    """Turn what cannot be written into a TrainingError, and remove the half of a checkpoint.

    ``folder`` is that of the checkpoint, or the training's own.
    """
    try:
        yield
    except _WRITING_ERRORS as error:
        work = folder.parent if folder.name.startswith("checkpoint-") else folder
        if folder != work:
            shutil.rmtree(folder, ignore_errors=True)
        before = last_checkpoint(work)
        goes_on = f"from {before.name.replace('-', ' ')}" if before else "from the beginning"
        raise TrainingError(
            f"the checkpoint of step {step} cannot be written to {work} ({_reason(error)}): make room there "
            f"and {_AGAIN} goes on {goes_on}"
        ) from error


@contextmanager
def writing_result(out: Path) -> Iterator[Path]:
    """A folder in which the result of a training is put together; at the end its files are moved to ``out``.

    ``RESULT`` is the last: it says that the others are whole. Who may read it may read all of them, also the
    weights, which safetensors writes for their owner alone. TrainingError for what cannot be written.
    """
    made = out / WORK / "made"
    try:
        yield made
        mode = stat.S_IMODE((made / RESULT).stat().st_mode)
        for path in made.iterdir():
            path.chmod(mode)
        for path in sorted(made.iterdir(), key=lambda path: path.name == RESULT):
            path.replace(out / path.name)
    except _WRITING_ERRORS as error:
        shutil.rmtree(made, ignore_errors=True)
        raise TrainingError(
            f"the trained model cannot be written to {out} ({_reason(error)}): make room there and {_AGAIN} "
            "writes it"
        ) from error
    shutil.rmtree(out / WORK, ignore_errors=True)


def _reason(error: Exception) -> str:
    full = getattr(error, "errno", None) == errno.ENOSPC or "file write failed" in str(error)
    return "No space left on device" if full else short_reason(error)


def _require_same(out: Path, begun: Mapping[str, Any], plan: Plan) -> None:
    if other := differences(begun, parse_json(json.dumps(plan.to_json()), "the plan")):
        raise TrainingError(
            f"{out} holds a training with another plan, {', '.join(other)}: give --out a new folder, or "
            "remove that one (`detseg retrain --restart` begins a round in another)"
        )
