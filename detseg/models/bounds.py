"""The bounds of a checkpoint's settings: a network about as large as the weights that lie beside them.

A ``config.json`` with an absurd number in it (300,000 layers, a hidden size of 10**9) would be built for
hours, or fill the memory, before anybody compared it with the weights.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import safe_open
from torch.nn.modules import module as registration

from detseg.errors import ModelError
from detseg.plurals import format_count

_LARGEST = 1_000_000  # no number of a configuration is larger, unless a tensor is so long
_PARTS_PER_TENSOR, _MORE_PARTS = 20, 10_000  # layers without weights, and what is registered again
_TIMES, _MORE_NUMBERS = 4, 50_000_000  # weights that are shared or registered again; heads that are missing
_MOST_PIXELS = 8_192  # a side of what a network gets
_SIDES = ("size", "height", "width", "edge")


@dataclass(slots=True)
class _Size:
    """The size of weights: how many tensors, the numbers in them, and the longest side of one."""

    n_tensors: int = 0
    n_numbers: int = 0
    longest: int = 0

    def add(self, shape: tuple[int, ...]) -> None:
        self.n_tensors += 1
        self.n_numbers += math.prod(shape)
        self.longest = max(self.longest, *shape, 0)


def check_config(name: str, folder: Path, content: dict[str, Any]) -> None:
    """Raises ModelError for a number in the configuration that no network with these weights can have."""
    most = max(_LARGEST, _weights(folder).longest)
    for key, value in _numbers(content):
        if isinstance(value, int) and value > most:
            raise _too_much(name, f"{key} = {_words(value)}")


def check_n_labels(name: str, folder: Path, n_labels: int) -> None:
    """Raises ModelError for more labels than any tensor has places for."""
    if n_labels > _weights(folder).longest:
        raise _too_much(name, f"{_words(n_labels)} labels")


def check_preprocessing(name: str, content: dict[str, Any]) -> None:
    """Raises ModelError for images that are made larger than any network takes."""
    for key, value in _numbers(content):
        if value > _MOST_PIXELS and any(part in key for part in _SIDES):
            raise ModelError(
                f"{name} cannot be loaded: its images are to have {key} = {_words(value)} pixels, and "
                f"{_MOST_PIXELS:,} a side are possible"
            )


@contextmanager
def bounded_building(name: str, folder: Path) -> Iterator[None]:
    """Raises ModelError as soon as a network that is built in here is larger than the folder's weights."""
    there, built, n_modules = _weights(folder), _Size(), 0
    thread = threading.get_ident()
    most_parts = _MORE_PARTS + _PARTS_PER_TENSOR * there.n_tensors

    def count_tensor(_module: Any, _key: str, tensor: torch.Tensor | None) -> None:
        if tensor is None or threading.get_ident() != thread or torch.nn.parameter.is_lazy(tensor):
            return
        built.add(tuple(tensor.shape))
        if built.n_numbers > _MORE_NUMBERS + _TIMES * there.n_numbers:
            raise _too_much(name, f"more than {built.n_numbers:,} weights, and has {there.n_numbers:,}")
        if built.n_tensors > most_parts:
            raise too_many()

    def count_module(_module: Any, _key: str, _child: Any) -> None:
        nonlocal n_modules
        n_modules += threading.get_ident() == thread
        if n_modules > most_parts:
            raise too_many()

    def too_many() -> ModelError:
        tensors = format_count(there.n_tensors, "tensor")
        return _too_much(name, f"more than {most_parts:,} layers, and its weights are {tensors}")

    with ExitStack() as stack:
        stack.enter_context(registration.register_module_parameter_registration_hook(count_tensor))
        stack.enter_context(registration.register_module_buffer_registration_hook(count_tensor))
        stack.enter_context(registration.register_module_module_registration_hook(count_module))
        yield


def _weights(folder: Path) -> _Size:
    """Read the size of the weights from the headers of the files. Raises what safetensors raises for a
    damaged one."""
    found = _Size()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            for key in weights.keys():  # noqa: SIM118  (it is no dictionary)
                found.add(tuple(weights.get_slice(key).get_shape()))
    return found


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, int | float]]:
    """All numbers in a JSON value, with the names that stand before each."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _numbers(one, str(name) if not key else f"{key}.{name}")
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value


def _words(value: float) -> str:
    digits = str(value)
    return digits if len(digits) <= 20 else f"{digits[:6]}... ({len(digits)} digits)"


def _too_much(name: str, what: str) -> ModelError:
    return ModelError(
        f"{shorten(name, 300)} asks for {what}: its config.json is damaged, or of another checkpoint"
    )
