"""Time and memory of `detseg preannotate` where nothing is new.

    python -m bench.nothing_new --images 100000

Makes a folder of tiny images, runs the command once over a few of them so that a project is there, fills the
catalog as if all had been predicted and pushed, then runs the command again and measures the whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from detseg.catalog import Catalog, FoundImage, open_catalog
from detseg.images import image_id
from detseg.paging import pages
from detseg.types import Annotation, Entry, ImageId, ModelVersion, Size

_PER_FOLDER = 1_000
_SIZE = Size(32, 32)


def png_bytes(number: int) -> bytes:
    """A grey 32x32 PNG that differs from those of all other numbers."""
    row = b"\0" + struct.pack(">I", number) + bytes(_SIZE.width - 4)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", _SIZE.width, _SIZE.height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * _SIZE.height, 1)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def write_images(folder: Path, numbers: range) -> Iterator[tuple[ImageId, Entry]]:
    """Writes the images of these numbers; what they are and how a listing shows them."""
    for number in numbers:
        path = folder / f"{number // _PER_FOLDER:04d}" / f"{number:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = png_bytes(number)
        path.write_bytes(data)
        stat = path.stat()
        yield image_id(data), Entry(str(path), stat.st_size, str(stat.st_mtime_ns))


def pretend(catalog: Catalog, found: Iterator[tuple[ImageId, Entry]], version: ModelVersion) -> None:
    """Records images as predicted (nothing there) and pushed to the catalog's only project."""
    (project,) = catalog.projects.all()
    n_tasks = 1_000_000  # above the server's own numbers
    for page in pages(found, 5_000):
        ids = [image for image, _ in page]
        catalog.images.record(FoundImage(image, _SIZE, entry) for image, entry in page)
        catalog.predictions.record(Annotation(image, _SIZE, version, "empty") for image in ids)
        claimed = catalog.tasks.open_push(project.key, ids, version)
        catalog.tasks.confirm_push(project.key, {image: n_tasks + n for n, image in enumerate(claimed)})
        n_tasks += len(claimed)


@dataclass(frozen=True, slots=True)
class Run:
    """The command's JSON, how long it took, how long it computed, and its peak of memory."""

    report: dict[str, object]
    seconds: float
    cpu_s: float
    peak_mb: float


def run(work: Path, *options: str) -> Run:
    """Runs a command of detseg in that folder."""
    command = [sys.executable, "-m", "detseg", *options, "--json"]
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return Run(json.loads(text), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        list(write_images(work / "images", range(16)))
        run(work, "up")
        try:
            first = run(work, "preannotate").report
            with open_catalog(f"sqlite:///{work}/.detseg/catalog.sqlite3") as catalog:
                found = write_images(work / "images", range(16, options.images))
                pretend(catalog, found, ModelVersion(str(first["model_version"])))
            runs = [run(work, "preannotate") for _ in range(options.runs)]
        finally:
            run(work, "down")
    if any(one.report["already_done"] != options.images for one in runs):
        raise SystemExit(f"something was new: {[one.report for one in runs]}")
    figures = {
        "images": options.images,
        "seconds": [round(one.seconds, 2) for one in runs],
        "cpu_s": [round(one.cpu_s, 2) for one in runs],
        "peak_mb": [round(one.peak_mb) for one in runs],
        "steps": [one.report["seconds"] for one in runs],
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
