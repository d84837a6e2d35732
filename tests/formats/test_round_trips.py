"""Written and read again: what a format holds is equal, and the rest differs by what was announced."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings

from detseg.formats import ImageLabels
from detseg.pipeline.formats import FormatName, find_format
from tests.formats.made import CLASSES, datasets, make_images
from tests.formats.trips import CHECKS, check_trip, write_and_read

KINDS = {cls.name: cls.kind for cls in CLASSES}


def test_every_format_has_a_check() -> None:
    assert CHECKS.keys() == set(get_args(FormatName))


@pytest.mark.parametrize("name", CHECKS)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(images=datasets())
def test_trips(name: str, images: list[ImageLabels], tmp_path_factory: pytest.TempPathFactory) -> None:
    check_trip(find_format(name), images, tmp_path_factory.mktemp("trip"))


@pytest.mark.parametrize("name", CHECKS)
def test_classes_come_back(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    images = make_images(12, seed=5)
    opened = write_and_read(find_format(name), images, tmp_path_factory.mktemp("classes"))
    kinds = dict(KINDS)
    if name == "hf-imagefolder":  # whose files name what is there alone
        kinds = {one.label: kinds[one.label] for image in images for one in image.instances}
    if name.startswith("yolo"):
        kinds = dict.fromkeys(kinds, "thing")
    assert {cls.name: cls.kind for cls in opened.classes} == kinds
    if name not in ("hf-imagefolder", "label-studio"):
        assert [cls.name for cls in opened.classes] == list(kinds)
