"""A version and a tiny detector that are made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.models import tiny
from tests.models.tiny_torchvision import torchvision_checkpoint
from tests.pipeline.labeled import LabeledProject, belt, ring
from tests.training.versions import make_version


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> LabeledProject:
    """Four images to learn from, two to choose by, one to judge by, in the version v1."""
    return make_version(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> LabeledProject:
    """The same with a mask for each thing, two of which overlap, and for a surface."""
    regions = (ring("a"), ring("b", 20, label="bolt"), belt("c"))
    return make_version(tmp_path_factory.mktemp("scenes"), regions=regions)


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random RT-DETR that knows bolt, nut and gear."""
    return tiny.save("rt_detr", tmp_path_factory.mktemp("models") / "rt_detr")


@pytest.fixture(scope="session")
def torchvision_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random SSDLite that knows bolt, nut and gear."""
    return torchvision_checkpoint(tmp_path_factory.mktemp("models") / "ssd", "ssdlite320_mobilenet_v3_large")


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Mask2Former that knows bolt, nut, gear, tray and belt."""
    return tiny.save("mask2former", tmp_path_factory.mktemp("models") / "mask2former")


@pytest.fixture(scope="session")
def semantic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random UPerNet, with a head that helps training only, that knows bolt, nut, gear, tray and belt."""
    return tiny.save("upernet", tmp_path_factory.mktemp("models") / "upernet")
