"""A contender's side of the talk: one line of JSON in, one out. The standard library alone, so that it runs
in another environment too."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Handlers = Mapping[str, Callable[..., Any]]


def serve(handlers: Handlers) -> None:
    """Answers ``{"do": name, ...}`` with what the handler of that name gives, until the input ends.

    Every worker knows ``rest`` and ``peak``.
    What libraries print goes to the error output; the answers have the standard output for themselves.
    """
    everything = {"rest": rest, "peak": peak_bytes} | dict(handlers)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(everything[request.pop("do")](**request)) + "\n")
        answers.flush()


def seconds_each(work: Callable[[str], Any], paths: Sequence[str]) -> float:
    """Seconds per path, one after the other."""
    start = time.perf_counter()
    for path in paths:
        work(path)
    return (time.perf_counter() - start) / len(paths)


def rest() -> None:
    """Gives back what the allocator keeps for later, so that who waits leaves the memory to the others."""
    library = ctypes.util.find_library("c")
    if library and sys.platform == "linux":
        ctypes.CDLL(library).malloc_trim(0)


def peak_bytes() -> int:
    """The most memory that this process has held until now, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
