"""Written and read again: what a format holds is equal, and the rest differs by what was announced."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings

from detseg.formats import ImageLabels
from detseg.pipeline.formats import FormatName, find_format
from tests.formats.made import CLASSES, datasets, make_images
from tests.formats.trips import CHECKS, check_trip, respell, write_and_read

NAME_WHAT_IS_THERE = ("ade20k",)
"""Formats whose files name classes where they name objects alone."""
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
    format_ = find_format(name)
    opened = write_and_read(format_, images, tmp_path_factory.mktemp("classes"))
    kinds = {respell(format_, label): kind for label, kind in KINDS.items()}
    if name in NAME_WHAT_IS_THERE:
        kinds = {label: kind for label, kind in kinds.items() if label in {"bolt", "Mutter, groß", "belt"}}
    if name.startswith("yolo") or name in ("open-images", "ade20k"):
        kinds = dict.fromkeys(kinds, "thing")
    assert {cls.name: cls.kind for cls in opened.classes} == kinds
    if name not in (*NAME_WHAT_IS_THERE, "label-studio"):
        assert [cls.name for cls in opened.classes] == list(kinds)
