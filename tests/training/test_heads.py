"""Classes that a checkpoint knows keep what it learned of them, whatever their order and number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from detseg.taxonomy import LabelClass
from detseg.training.heads import class_heads, with_classes
from detseg.training.pretrained import load_pretrained
from tests.models import tiny
from tests.models.tiny_families import DETECTORS

BOLT, NUT, GEAR = (LabelClass(name) for name in ("bolt", "nut", "gear"))
STUD = LabelClass("stud")
PIXELS = torch.linspace(-1, 1, 3 * 96 * 96).reshape(1, 3, 96, 96)


@pytest.fixture(scope="module", params=[*sorted(DETECTORS), "detr"])
def before(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_pretrained(str(tiny.save(request.param, tmp_path_factory.mktemp("bases") / request.param)))


def answers(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        output = model.eval()(pixel_values=PIXELS)
    return output.logits[0], output.pred_boxes[0]


def test_the_same_classes_make_the_same_model(before: Any) -> None:
    model = with_classes(before, [BOLT, NUT, GEAR], seed=0, on_cpu=True)
    assert all(parameter.requires_grad for parameter in model.parameters())
    for ours, theirs in zip(answers(model), answers(before.model), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_rows_move_with_their_classes(before: Any) -> None:
    other = with_classes(before, [GEAR, STUD, LabelClass("screw", aliases=("Bolt",))], seed=0, on_cpu=True)
    assert other.config.id2label == {0: "gear", 1: "stud", 2: "screw"}
    heads = class_heads(type(before.model), before.config, n_classes=3)
    assert heads
    old, after = before.model.state_dict(), other.state_dict()
    for name in old:
        if name in heads:
            assert torch.equal(after[name][0], old[name][2])
            assert torch.equal(after[name][2], old[name][0])
            assert torch.equal(after[name][3:], old[name][3:])  # nothing, or padding
        else:
            assert torch.equal(after[name], old[name])


@pytest.mark.parametrize("classes", [[STUD], [NUT, *(LabelClass(f"class {i}") for i in range(9))]])
def test_any_number_of_classes_fits(before: Any, classes: list[LabelClass]) -> None:
    logits, boxes = answers(with_classes(before, classes, seed=1, on_cpu=True))
    assert logits.shape[-1] - len(classes) in (0, 1)
    assert bool(torch.isfinite(logits).all())
    assert bool(torch.isfinite(boxes).all())


def test_new_rows_are_the_seeds(tmp_path: Path) -> None:
    checkpoint = load_pretrained(str(tiny.save("rt_detr", tmp_path / "rt_detr")))
    first, same, other = (
        with_classes(checkpoint, [STUD], seed=s, on_cpu=True).state_dict() for s in (1, 1, 2)
    )
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())
