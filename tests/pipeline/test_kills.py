"""Datasets whose writers are killed, or run out of disk: nothing is half there, and the next run succeeds."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from detseg.datasets.store import DatasetStore
from detseg.pipeline.convert import convert_dataset
from detseg.pipeline.dataset_folders import WriteOptions
from tests.datasets.test_store import make_sample, read, write

PLAIN = WriteOptions()

KILLED_WRITE = """
import os, signal, sys
from pathlib import Path
from detseg.formats.dataset import Opened
from detseg.formats.yolo_files import read_yolo
from detseg.pipeline.formats import find_format
from detseg.pipeline.dataset_folders import Source, WriteOptions, write_dataset

opened = read_yolo(Path(sys.argv[1]))
n_read = 0

def read(image):
    global n_read
    n_read += 1
    if n_read == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return Path(image.uri).read_bytes()

source = Source("yolo", opened.classes, opened.images, read)
write_dataset(find_format(sys.argv[3]), source, Path(sys.argv[2]), options=WriteOptions(), warn=print)
"""

KILLED_CREATE = """
import os, signal, sys
from detseg.datasets.store import DatasetStore
from tests.datasets.test_store import make_sample, write

def samples():
    yield make_sample(0, ["nut"])
    os.kill(os.getpid(), signal.SIGKILL)

write(DatasetStore(sys.argv[1]), "v2", samples())
"""


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    folder = tmp_path / "yolo"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(3):
        Image.effect_noise((80, 60), 99).save(folder / "images" / f"{number}.png")
        (folder / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    return folder


def run_killed(program: str, *arguments: object) -> None:
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("format_", ["coco", "hf"])
def test_a_killed_export_is_not_there_and_the_next_one_clears_up(
    format_: str, yolo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_killed(KILLED_WRITE, yolo, out, format_)
    (left,) = tmp_path.glob(".out-*")
    assert any(left.iterdir())
    assert not out.exists()
    other = tmp_path / ".out-of another run.partial"
    (other / "images").mkdir(parents=True)
    handle = os.open(other, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert convert_dataset(yolo, "yolo", format_, out, options=PLAIN).written.images == 3
        assert list(tmp_path.glob(".out-*")) == [other]
    finally:
        os.close(handle)


def test_a_killed_create_is_not_there_and_the_next_one_clears_up(tmp_path: Path) -> None:
    store = DatasetStore(str(tmp_path / "datasets"))
    first = write(store, "v1", map(make_sample, range(3)))
    run_killed(KILLED_CREATE, store.location)
    assert list((tmp_path / "datasets").glob(".detseg-*"))
    assert store.versions() == (first,)
    second = write(store, "v2", [make_sample(0, ["nut"])])
    assert read(store, second) == [make_sample(0, ["nut"])]
    assert not list((tmp_path / "datasets").rglob(".detseg-*"))


@pytest.mark.parametrize("format_", ["coco", "hf"])
def test_a_full_disk_is_one_line(format_: str, yolo: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    command = [sys.executable, "-m", "detseg", "convert", str(yolo), "--from", "yolo", "--to", format_]
    full = [*command, "--out", str(tmp_path / "out")]
    done = subprocess.run(full, preexec_fn=limit, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("detseg: ")]
    assert line.startswith(f"detseg: {tmp_path / 'out'} cannot be written: ")
    assert "File too large" in line
    assert line.endswith("or name another place with --out")
    assert {path.name for path in tmp_path.iterdir()} == {"yolo"}
