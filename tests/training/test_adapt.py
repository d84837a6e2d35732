"""Classes that a checkpoint knows keep what it learned of them, whatever their order and number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from detseg.errors import TrainingError
from detseg.taxonomy import LabelClass
from detseg.training.adapt import class_heads, compute_loss_in_float32, count_queries, with_classes
from detseg.training.pretrained import load_pretrained
from tests.models import tiny
from tests.models.tiny_families import DETECTORS, UNIVERSAL

BOLT, NUT, GEAR = (LabelClass(name) for name in ("bolt", "nut", "gear"))
STUD = LabelClass("stud")
PIXELS = torch.linspace(-1, 1, 3 * 96 * 96).reshape(1, 3, 96, 96)
SEGMENTERS = ["mask2former", *sorted(UNIVERSAL)]
WORDS = torch.arange(16)[None]


@pytest.fixture(scope="module", params=[*sorted(DETECTORS), "detr", *SEGMENTERS])
def before(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("bases") / request.param
    return load_pretrained(str(tiny.save(request.param, folder, labels=("bolt", "nut", "gear"))))


def answers(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = PIXELS[..., :64, :64] if "Universal" in type(model).__name__ else PIXELS
    words = {"task_inputs": WORDS} if "OneFormer" in type(model).__name__ else {}
    with torch.no_grad():
        output = model.eval()(pixel_values=pixels, **words)
    if hasattr(output, "class_queries_logits"):
        return output.class_queries_logits[0], output.masks_queries_logits[0]
    return output.logits[0], output.pred_boxes[0]


def test_the_same_classes_make_the_same_model(before: Any) -> None:
    model = with_classes(before, [BOLT, NUT, GEAR], seed=0, on_cpu=True)
    assert all(parameter.requires_grad for parameter in model.parameters())
    for ours, theirs in zip(answers(model), answers(before.model), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


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


@pytest.mark.parametrize("kind", [*SEGMENTERS, "detr", "rt_detr"])
@pytest.mark.parametrize("n", [3, 20])
def test_a_model_can_find_more_or_fewer_objects(kind: str, n: int, tmp_path: Path) -> None:
    base = load_pretrained(str(tiny.save(kind, tmp_path / kind)))
    n_before = count_queries(base.config)
    assert n_before is not None
    assert 3 < n_before < 20
    model = with_classes(base, [BOLT, NUT], seed=0, on_cpu=True, queries=n)
    assert (count_queries(model.config), count_queries(base.config)) == (n, n_before)
    logits, found = answers(model)
    assert (len(logits), len(found)) == (n, n)
    old, state = base.model.state_dict(), model.state_dict()
    grown = [name for name, value in state.items() if "quer" in name and value.shape != old[name].shape]
    assert grown or kind == "rt_detr"  # which takes the best places of the image
    for name in grown:
        n_kept = min(len(old[name]), len(state[name]))
        assert torch.equal(state[name][:n_kept], old[name][:n_kept])
        assert len(torch.unique(state[name], dim=0)) == len(state[name])


def test_a_family_without_queries_is_named(tmp_path: Path) -> None:
    base = load_pretrained(str(tiny.save("yolos", tmp_path / "yolos")))
    with pytest.raises(TrainingError, match=r"has no queries .*: leave training\.queries at 0"):
        with_classes(base, [BOLT], seed=0, on_cpu=True, queries=9)


@pytest.mark.parametrize("kind", ["rf_detr", "lw_detr", "d_fine", "detr"])
def test_a_model_that_is_sure_has_a_finite_loss_in_half_precision(kind: str, tmp_path: Path) -> None:
    base = load_pretrained(str(tiny.save(kind, tmp_path / kind, labels=("bolt", "nut"))))
    model = with_classes(base, [BOLT, NUT], seed=0, on_cpu=True).train()
    heads = class_heads(type(model), model.config, n_classes=2)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if name in heads and name.endswith("bias"):
                one[0] = 9.0  # which is a score of 0.9999, and of 1 in bfloat16
    truth = {"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.2]])}
    compute_loss_in_float32(model)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(pixel_values=PIXELS, labels=[truth]).loss
    assert loss.dtype is torch.float32
    assert torch.isfinite(loss)
