"""The machine's rates, and the checkpoints that all contenders share."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from bench.worker import serve

_SHAPE = (1, 256, 100, 134)  # a middle layer of ResNet-50 for a 640x480 photo at 800
_REPEATS, _WARM_UPS = 20, 3


def convolution_rates() -> dict[str, float]:
    """GFLOP/s of a 3x3 convolution, 256 to 256 channels, by precision, with all threads."""
    return {name: _rate(getattr(torch, name)) for name in ("float32", "bfloat16")}


def _rate(dtype: torch.dtype) -> float:
    _, channels, height, width = _SHAPE
    image = torch.randn(_SHAPE, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(_WARM_UPS):
            functional.conv2d(image, weight, padding=1)
        start = time.perf_counter()
        for _ in range(_REPEATS):
            functional.conv2d(image, weight, padding=1)
        seconds = (time.perf_counter() - start) / _REPEATS
    return 2 * channels * channels * 9 * height * width / seconds / 1e9


def facts() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "features": sorted(name for name, there in torch.cpu.get_capabilities().items() if there is True),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "native_bfloat16": _has_bfloat16(),
    }


def _has_bfloat16() -> bool:
    from detseg.models.engine import has_native_bfloat16

    return has_native_bfloat16(torch.device("cpu"))


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def build(photos: list[str], folder: str) -> dict[str, Any]:
    """The folders of the checkpoints: the two that are compared, and one of a few thousand weights."""
    from bench.checkpoints import build_checkpoints
    from tests.models import tiny

    built = build_checkpoints([Path(photo) for photo in photos], Path(folder))
    return {
        "detector": str(built.detector),
        "panoptic": str(built.panoptic),
        "tiny": str(tiny.save("detr_panoptic", Path(folder) / "tiny")),
        "survivors": built.survivors,
    }


if __name__ == "__main__":
    serve({"rates": convolution_rates, "facts": facts, "build": build})
