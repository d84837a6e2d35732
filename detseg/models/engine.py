"""The engine that runs a network: device, precision, compiled or not, and the cores that are left to it."""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from subprocess import SubprocessError
from typing import Any, TypeVar, cast

import torch

from detseg.errors import ModelError
from detseg.models.predictor import COMPILE_FROM, EngineName, Precision

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_NARROW_PX = 64  # of which convolutions with strides of two make one pixel, down to the coarsest map
_COMPILER_ERRORS = (RuntimeError, OSError, ImportError, SubprocessError)
"""The errors of torch.compile, and of the compilers that it calls."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_MOST_KEPT = 2**31 - 1  # bytes; older releases than 2.35 refuse it, and go on as they were

_SETTING_CORES = threading.Lock()

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(slots=True)
class CompileSwitch:
    """A switch by which functions run compiled from now on. Once on, it stays on, unless the compiler is
    ``broken``.

    ``required``: a function that cannot be compiled is an error then, and is not run eagerly.
    """

    on: bool = False
    required: bool = False
    broken: bool = False

    def give_up(self, error: Exception) -> None:
        """The compiler failed. ModelError if compiling is required."""
        if self.required:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"engine = compile: the compiler failed ({reason}): use eager") from error
        self.on, self.broken = False, True


@dataclass(frozen=True, slots=True)
class Engine:
    """The choices for one network. Without a switch nothing is ever compiled."""

    device: torch.device
    precision: torch.dtype = torch.float32
    switch: CompileSwitch | None = None

    @property
    def largest_batch(self) -> int | None:
        """Return how many images one forward pass may hold; None where the user says.

        A CPU gains nothing from a second image (its caches are full with one), and with one image at a time
        no answer can depend on what else was in the batch.
        """
        return 1 if self.device.type == "cpu" else None

    def __str__(self) -> str:
        precision = str(self.precision).removeprefix("torch.")
        return f"{self.device}, {precision}, {'compiled' if self.switch and self.switch.on else 'eager'}"

    @contextmanager
    def running(self, width_px: int = _NARROW_PX + 1) -> Iterator[None]:
        """Inference without gradients, convolutions and matrix products in the precision of the engine.

        Of images that are ``width_px`` wide when they go in. Narrow ones run in float32 on a CPU, and are not
        compiled: where a convolution's output is one pixel wide, oneDNN 3.13 reads memory that nobody wrote
        (bfloat16, a stride of two, a CPU with AMX), and answers NaN, or anything.
        """
        narrow = self.device.type == "cpu" and width_px <= _NARROW_PX
        half = self.precision is not torch.float32 and not narrow
        with torch.no_grad(), torch.autocast(self.device.type, self.precision, enabled=half):
            yield

    @contextmanager
    def exactly(self) -> Iterator[None]:
        """Within ``running``: in float32 all the same. What is given has to be in float32 too."""
        with torch.autocast(self.device.type, enabled=False):
            yield

    def compile(self, function: _Function) -> _Function:
        """The same function, which runs compiled, for any shape, once the switch is on.

        Where the compiler fails (no headers, no room for its cache) it runs eagerly from then on, or raises
        ModelError if compiling is required. What the function itself raises passes.
        """
        if self.switch is None:
            return function
        from torch._inductor import config as inductor  # takes seconds, and few runs compile

        compiled, switch = torch.compile(function, dynamic=True), self.switch

        def run(*arguments: Any, **named: Any) -> Any:
            in_half = torch.is_autocast_enabled(self.device.type)
            if not switch.on or in_half == (self.precision is torch.float32):
                return function(*arguments, **named)
            try:
                # Frozen weights are laid out, and cast to the precision, once and not in every pass. (As an
                # option of torch.compile it comes too late: the weights are inputs of the graph by then.)
                with inductor.patch(freezing=self.device.type == "cpu"):
                    return compiled(*arguments, **named)
            except (torch.OutOfMemoryError, torch.AcceleratorError):
                raise
            except _COMPILER_ERRORS as error:
                output = function(*arguments, **named)  # where it is not the compiler's fault, this fails too
                switch.give_up(error)
                return output

        return cast(_Function, run)

    def expect(self, n_images: int) -> None:
        """So many images are to come: from ``COMPILE_FROM`` on, an engine that may compile does."""
        if self.switch is not None and n_images >= COMPILE_FROM and not self.switch.broken:
            self.switch.on = True


def choose_engine(
    *,
    device: str,
    engine: EngineName,
    precision: Precision,
    keeps_answers_in_half: bool,
    compiles: bool,
) -> Engine:
    """The engine for a family.

    ``precision = "auto"`` is bfloat16 where the hardware has it and the family ``keeps_answers_in_half``;
    it never depends on the number of images, for it is part of the model version.
    ``engine = "auto"`` compiles a family that ``compiles`` once many images are expected. ModelError for what
    is not there.
    """
    place = choose_device(device)
    dtype = _DTYPES.get(precision, torch.float32)
    if precision == "auto" and keeps_answers_in_half and has_native_bfloat16(place):
        dtype = torch.bfloat16
    if dtype is torch.float16 and place.type == "cpu":
        raise ModelError("a CPU has no fast float16: set engine.precision to bfloat16, float32 or auto")
    if engine == "compile" and not can_compile(place):
        raise ModelError("engine = compile needs a C++ compiler (g++ or clang++) on this machine: use eager")
    asked = engine == "compile"
    may_compile = asked or (engine == "auto" and compiles and can_compile(place))
    return Engine(place, dtype, CompileSwitch(on=asked, required=asked) if may_compile else None)


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is the first of cuda, mps and cpu that is there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(f"the device {name!r} is not there: use auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cpu":
        keep_freed_memory()
    return device


@cache
def keep_freed_memory() -> None:
    """Let this process keep the memory of tensors that are gone, for those that come.

    glibc gives each large block back to the kernel and asks for another, which has to be made page by page.
    In a virtual machine that takes longer than the arithmetic. Nothing happens where the C library is
    another.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for limit in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
        mallopt(limit, _MOST_KEPT)


def has_native_bfloat16(device: torch.device) -> bool:
    """Tell whether the hardware multiplies in bfloat16 itself, so that it is faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        features = torch.cpu.get_capabilities()
        return bool(features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16"))
    return False


def can_compile(device: torch.device) -> bool:
    """Check that what ``torch.compile`` needs on that device is installed."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (7, 0)
    compilers = (os.environ.get("CXX"), "g++", "clang++")
    return device.type == "cpu" and any(name and shutil.which(name) for name in compilers)


def stay_on_one_core() -> None:
    """For a pool's threads, as their initializer: torch's operators in them take one core each.

    Operators that split their work beside a forward pass on the CPU take the cores away from it, and it waits
    for its slowest part. torch keeps the number by thread, and what was set last is what threads that come
    later begin with: that is put back.
    """
    with _SETTING_CORES:
        others = torch.get_num_threads()
        torch.set_num_threads(1)
        setter = threading.Thread(target=torch.set_num_threads, args=(others,))
        setter.start()
        setter.join()
