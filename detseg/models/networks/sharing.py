"""A model with something of its own that shares its weights: several networks may run one checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any


def with_forward(model: Any, part: str, forward: Callable[..., Any]) -> Any:
    """The same model, whose part of that name runs that function; the model that came stays as it is."""
    changed = copy(getattr(model, part))
    changed.forward = forward
    other = copy(model)
    other._modules = {**model._modules, part: changed}
    return other


def with_attributes(model: Any, **attributes: Any) -> Any:
    """The same model with other attributes, which are no modules; the model that came stays as it is."""
    other = copy(model)
    vars(other).update(attributes)
    return other
