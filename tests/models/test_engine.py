"""Device, precision, compiled or not: what is chosen, and that it gives the same answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._inductor import config as inductor_config

from detseg.errors import ModelError
from detseg.models.agreement import agreement
from detseg.models.engine import Engine, can_compile, choose_engine, has_native_bfloat16, stay_on_one_core
from detseg.models.folding import fold_batch_norms
from detseg.models.loading import load_predictor
from detseg.models.predictor import COMPILE_FROM, PredictorOptions
from tests.models.made import made_image

Folder = Callable[[str], str]
CPU = torch.device("cpu")


def chosen(**asked: Any) -> Engine:
    defaults = {"device": "cpu", "engine": "auto", "precision": "auto"}
    return choose_engine(**{**defaults, "keeps_answers_in_half": True, "compiles": True, **asked})


def test_auto_is_bfloat16_where_hardware_and_family_agree() -> None:
    native = torch.bfloat16 if has_native_bfloat16(CPU) else torch.float32
    assert chosen().precision is native
    assert chosen(keeps_answers_in_half=False).precision is torch.float32
    assert chosen(precision="float32").precision is torch.float32
    assert chosen(precision="bfloat16", keeps_answers_in_half=False).precision is torch.bfloat16


def test_auto_compiles_once_many_images_are_expected() -> None:
    assert can_compile(CPU)  # the tests need a C++ compiler
    engine = chosen(precision="float32")
    engine.expect(COMPILE_FROM - 1)
    assert str(engine) == "cpu, float32, eager"
    engine.expect(COMPILE_FROM)
    assert str(engine) == "cpu, float32, compiled"
    engine.expect(1)
    assert str(engine) == "cpu, float32, compiled"


def test_what_does_not_compile_stays_eager_unless_it_is_asked_for() -> None:
    for engine in (chosen(compiles=False), chosen(engine="eager")):
        engine.expect(10 * COMPILE_FROM)
        assert str(engine).endswith("eager")
    assert str(chosen(engine="compile", compiles=False)).endswith("compiled")


def test_without_a_compiler_auto_is_eager_and_compile_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    engine = chosen()
    engine.expect(COMPILE_FROM)
    assert str(engine).endswith("eager")
    with pytest.raises(ModelError, match=r"needs a C\+\+ compiler .*: use eager"):
        chosen(engine="compile")


def compiled_square(engine: Engine, factor: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function of its own for each factor, so that no compiled one is found in a cache."""
    return engine.compile(lambda x: (x * x).relu() @ x * factor)


@pytest.fixture
def broken_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A compiler that is there and compiles nothing."""
    program = tmp_path / "g++"
    program.write_text("#!/bin/sh\necho no Python.h >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    with inductor_config.patch({"cpp.cxx": (None, str(program))}):
        yield


@pytest.mark.usefixtures("broken_compiler")
def test_where_the_compiler_fails_auto_goes_on_eagerly() -> None:
    engine = chosen(precision="float32")
    run = compiled_square(engine, 1.25)
    engine.expect(COMPILE_FROM)
    x = torch.eye(3)
    assert torch.equal(run(x), 1.25 * x)
    engine.expect(COMPILE_FROM)
    assert str(engine) == "cpu, float32, eager"
    assert torch.equal(run(2 * x), 10 * x)


@pytest.mark.usefixtures("broken_compiler")
def test_where_the_compiler_fails_and_is_required_that_is_an_error() -> None:
    run = compiled_square(chosen(precision="float32", engine="compile"), 1.5)
    with pytest.raises(ModelError, match=r"the compiler failed \(.*\): use eager"):
        run(torch.eye(3))


def test_what_a_compiled_function_cannot_take_is_not_the_compilers_fault() -> None:
    engine = chosen(precision="float32", engine="compile")
    run = compiled_square(engine, 1.75)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run(torch.ones(2, 3))
    assert str(engine).endswith("compiled")


def test_a_cpu_has_no_float16() -> None:
    with pytest.raises(ModelError, match=r"a CPU has no fast float16: set engine\.precision to"):
        chosen(precision="float16")


def test_compiled_answers_are_the_eager_ones_for_any_shape(checkpoint: Folder) -> None:
    images = [made_image(97, 61, seed=1), made_image(64, 80, seed=2), made_image(97, 61, seed=3)]
    answers = []
    for engine in ("eager", "compile"):
        options = PredictorOptions(
            device="cpu",
            precision="float32",
            engine=engine,
            mask_threshold=0.3,
            overlap_threshold=0.1,  # type: ignore[arg-type]
        )
        predictor = load_predictor(None, checkpoint("detr_panoptic"), options=options)
        answers.append(predictor.predict(images))
    assert sum(one.mask is not None for answer in answers[0] for one in answer) > 3
    found = agreement(*answers)
    assert found.changed_boxes == 0.0
    assert found.changed_mask_pixels is not None
    assert found.changed_mask_pixels < 1e-3
    for eager, compiled in zip(*answers, strict=True):
        for one, other in zip(eager, compiled, strict=True):
            assert one.label == other.label
            assert one.score == pytest.approx(other.score, abs=1e-5)
            if one.box and other.box:
                assert one.box.xyxy == pytest.approx(other.box.xyxy, abs=1e-3)


def test_half_precision_says_what_it_changes(checkpoint: Folder) -> None:
    half = load_predictor(
        None, checkpoint("detr_panoptic"), options=PredictorOptions(device="cpu", precision="bfloat16")
    )
    exact = half.in_float32()
    assert exact is not None
    assert exact.in_float32() is None
    assert list(half.engines.values()) == ["cpu, bfloat16, eager"]
    assert list(exact.engines.values()) == ["cpu, float32, eager"]
    images = [made_image(97, 61, seed=1)]
    options = PredictorOptions(device="cpu", precision="float32")
    alone = load_predictor(None, checkpoint("detr_panoptic"), options=options)
    assert exact.predict(images) == alone.predict(images)
    assert half.predict(images) != exact.predict(images)
    assert half.version != alone.version  # another precision is another model


class _Network(nn.Module):
    """Convolutions and norms: one pair to fold, one norm behind a sum, one convolution used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.shared, self.shared_norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.sum_norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first_norm(self.first(x)).relu()
        x = self.shared_norm(self.shared(x)) + self.shared(x)
        norms: torch.Tensor = self.sum_norm(x + 1)
        return norms


def test_only_norms_that_follow_a_convolution_are_folded_and_nothing_changes() -> None:
    torch.manual_seed(0)
    network = _Network().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.normal_(module.bias)
            module.running_mean = torch.randn(4)
            module.running_var = torch.rand(4) + 0.5
    x = torch.randn(2, 3, 9, 7)
    with torch.no_grad():
        before = network(x)
        assert fold_batch_norms(network, lambda: network(x)) == 1
        assert torch.allclose(network(x), before, atol=1e-5)
    assert isinstance(network.first_norm, nn.Identity)
    assert isinstance(network.shared_norm, nn.BatchNorm2d)
    assert isinstance(network.sum_norm, nn.BatchNorm2d)
    assert fold_batch_norms(network, lambda: network(x)) == 0


def test_a_norm_in_training_is_not_folded() -> None:
    network = _Network().train()
    x = torch.randn(2, 3, 9, 7)
    assert fold_batch_norms(network, lambda: network(x)) == 0


@pytest.fixture
def three_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_cores")
def test_only_the_threads_of_the_pool_stay_on_one_core() -> None:
    with ThreadPoolExecutor(3, initializer=stay_on_one_core) as pool:
        assert set(pool.map(lambda _: torch.get_num_threads(), range(20))) == {1}
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 3
    assert torch.get_num_threads() == 3
