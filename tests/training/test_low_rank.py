"""Low-rank updates: what they change, that they end up in the weights, and that a kill loses none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from detseg.errors import TrainingError
from detseg.pipeline.training import train_version
from detseg.training import course
from tests.models import tiny
from tests.pipeline.labeled import LabeledProject
from tests.training.versions import settings_in


def fit(project: LabeledProject, base: Path, out: Path, **training: Any) -> dict[str, torch.Tensor]:
    options = {"steps": 3, "evaluations": 1, "lora_rank": 2, "average": 0.0, **training}
    train_version(settings_in(project.settings.root, **options), "v1", base=str(base), out=out, seed=3)
    weights: dict[str, torch.Tensor] = load_file(out / "model.safetensors")
    return weights


def test_attention_learns_at_that_rank_and_a_kill_loses_nothing(
    scenes: LabeledProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny.save("segformer", tmp_path / "base")
    before, after = load_file(base / "model.safetensors"), fit(scenes, base, tmp_path / "whole")
    assert before.keys() == after.keys()
    inside = [name for name in before if name.startswith("segformer.")]
    changed = {name for name in inside if not torch.equal(before[name], after[name])}
    assert changed == {name for name in inside if "att" in name and name.endswith("weight")} - {
        name for name in inside if before[name].ndim != 2
    }
    for name in changed:
        assert int(torch.linalg.matrix_rank(after[name] - before[name], atol=1e-6)) <= 2
    assert not torch.equal(before["decode_head.batch_norm.weight"], after["decode_head.batch_norm.weight"])

    monkeypatch.setattr(course, "_SAVE_S", 0.0)
    step_end = course.Course.on_step_end

    def dying(self: course.Course, *arguments: Any, **named: Any) -> None:
        if self.progress.step == 2:
            raise InterruptedError
        step_end(self, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(course.Course, "on_step_end", dying)
        with pytest.raises(InterruptedError):
            fit(scenes, base, tmp_path / "killed")
    again = fit(scenes, base, tmp_path / "killed")
    assert all(torch.equal(value, again[name]) for name, value in after.items())


def test_a_backbone_without_attention_is_named_and_its_folder_stays_free(
    project: LabeledProject, detector: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"has no attention here: leave training\.lora_rank at 0"):
        fit(project, detector, tmp_path / "out")
    assert fit(project, detector, tmp_path / "out", lora_rank=0)
