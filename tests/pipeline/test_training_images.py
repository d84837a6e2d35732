"""Images that come over a network are fetched once for a training, as far as there is room for copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from detseg.datasets.sample import Sample
from detseg.errors import TrainingError
from detseg.images import image_id
from detseg.pipeline.training import LabeledImages
from detseg.sources.registry import Sources
from tests.pipeline.labeled import LabeledProject, make_project

FAR = "https://images.example/a.jpg"


class Counted(Sources):
    """A network with one image, that counts how often it is asked for it."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data, self.n_reads = data, 0

    def read(self, uri: str) -> bytes:
        assert uri == FAR
        self.n_reads += 1
        return self.data


@pytest.fixture
def project(tmp_path: Path) -> LabeledProject:
    project = make_project(tmp_path)
    project.add([0])
    return project


def far_image(project: LabeledProject) -> tuple[Counted, Sample]:
    data = project.path(0).read_bytes()
    return Counted(data), Sample(image_id(data), project.images[0].size, "empty", "[]", "person 1", uri=FAR)


def test_an_image_is_fetched_once(project: LabeledProject, tmp_path: Path) -> None:
    sources, sample = far_image(project)
    images = LabeledImages(sources, tmp_path / "kept")
    first, again = images.read(sample), images.read(sample)
    assert (first.rgb == again.rgb).all()
    assert sources.n_reads == 1
    LabeledImages(sources, tmp_path / "kept").read(sample)  # the training goes on after a stop
    assert sources.n_reads == 1


def test_copies_take_no_more_room_than_they_may(project: LabeledProject, tmp_path: Path) -> None:
    sources, sample = far_image(project)
    images = LabeledImages(sources, tmp_path / "kept", most_kept=len(sources.data) - 1)
    images.read(sample)
    images.read(sample)
    assert sources.n_reads == 2
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_damaged_copy_is_fetched_anew(project: LabeledProject, tmp_path: Path) -> None:
    sources, sample = far_image(project)
    images = LabeledImages(sources, tmp_path / "kept")
    images.read(sample)
    (copy,) = (tmp_path / "kept").iterdir()
    copy.write_bytes(b"half")
    images.read(sample)
    assert sources.n_reads == 2
    assert copy.read_bytes() == sources.data


def test_files_at_hand_are_read_where_they_lie(project: LabeledProject, tmp_path: Path) -> None:
    _, sample = far_image(project)
    near = Sample(sample.image, sample.size, "empty", "[]", "person 1", uri=str(project.path(0)))
    images = LabeledImages(Sources(), tmp_path / "kept")
    images.read(near)
    assert not (tmp_path / "kept").exists()
    project.path(0).unlink()
    with pytest.raises(TrainingError, match="put it back, or let it be left out"):
        images.read(near)
