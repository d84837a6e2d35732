"""``python -m bench.qa``: how long `detseg qa` takes over many reviewed images, and its memory.

Makes a catalog of made-up images (640x480, ten regions each, half of the regions with masks) that people
reviewed, some of them control images and some by two people, and ten times as many that wait for review;
runs the measuring and the report in a process of its own. The images themselves are not there, so the page's
gallery draws on grey. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detseg.catalog import Assignment, Catalog, FoundImage, ProjectKey, ReviewRecord, open_catalog
from detseg.config import load_settings
from detseg.geometry.masks import mask_to_box
from detseg.geometry.runs import paste_bitmap
from detseg.labelstudio.codec import prediction_regions
from detseg.labelstudio.label_config import taxonomy_to_config
from detseg.paging import pages
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import (
    Annotation,
    Box,
    Entry,
    ImageId,
    Instance,
    ModelVersion,
    Region,
    RegionId,
    Size,
)

SIZE = Size(640, 480)
VERSION = ModelVersion("bench@00000001")
LABELS = ("bolt", "nut", "washer", "gear", "spring")
TAXONOMY = Taxonomy(tuple(LabelClass(label) for label in LABELS))
TITLE = "bench qa"
N_REGIONS = 10
_SHAPES = 64
_START = datetime(2026, 1, 5, tzinfo=UTC)

_MEASURE = """
import json, re, sys, time
from datetime import UTC, datetime
from pathlib import Path
begun = time.perf_counter()
from detseg.config import load_settings
from detseg.pipeline.evaluate import evaluate
from detseg.pipeline.workspace import opened_catalog

settings = load_settings(Path(sys.argv[1]))
out = settings.state_path / "report.html"
with opened_catalog(settings) as catalog:
    report = evaluate(settings, catalog, out=out, now=datetime(2026, 3, 1, tzinfo=UTC))
seconds = time.perf_counter() - begun
status = Path("/proc/self/status").read_text()
peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", status).group(1))
print(json.dumps({"seconds": round(seconds, 2), "cpu_s": round(time.process_time(), 2), "peak_bytes": peak,
                  "report_bytes": out.stat().st_size}))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.qa", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--waiting", type=int, default=100_000, help="images that nobody has reviewed")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keeps what is made there, for the next time")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="detseg-bench-qa-") as folder:
        config = make_catalog(options.folder or Path(folder), options.images, n_waiting=options.waiting)
        runs = [_measure(config) for _ in range(options.runs)]
    median = statistics.median(run["seconds"] for run in runs)
    made = {"images": options.images, "waiting": options.waiting}
    print(json.dumps({**made, "median_s": median, "runs": runs}, indent=1))
    return 0


def _measure(config: Path) -> dict[str, float]:
    command = [sys.executable, "-c", _MEASURE, str(config)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(answer)
    return result


def make_catalog(folder: Path, n_images: int, *, n_waiting: int = 0) -> Path:
    config = folder / "detseg.toml"
    if config.exists():
        return config
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state").mkdir()
    config.write_text(f'queue.project = "{TITLE}"\nstate_dir = "state"\n', encoding="utf-8")
    settings = load_settings(config)
    with open_catalog(settings.catalog_url) as catalog:
        project = catalog.projects.record(
            1,
            url="http://127.0.0.1:1",
            title=TITLE,
            created_at=_START,
            label_config=taxonomy_to_config(TAXONOMY),
        )
        shapes = _shapes(np.random.default_rng(0))
        for numbers in pages(range(n_images), 500):
            _record(catalog, project.key, numbers, shapes)
        _record_waiting(catalog, project.key, range(n_images, n_images + n_waiting), shapes)
    return config


def _record_waiting(
    catalog: Catalog, key: ProjectKey, numbers: Sequence[int], shapes: Sequence[npt.NDArray[np.bool_]]
) -> None:
    """Predictions of which 500 differ: nobody looks at them together."""
    known = [_prediction(np.random.default_rng(number + 1), number, shapes) for number in numbers[:500]]
    for page in pages(numbers, 5_000):
        images = {_image(number): number for number in page}
        catalog.images.record(
            FoundImage(image, SIZE, Entry(f"/nowhere/{number:06}.jpg", 1, "1"))
            for image, number in images.items()
        )
        catalog.predictions.record(
            replace(known[number % len(known)], image=image) for image, number in images.items()
        )
        catalog.tasks.open_push(key, list(images), VERSION)
        catalog.tasks.confirm_push(key, {image: number + 1 for image, number in images.items()})


def _record(
    catalog: Catalog, key: ProjectKey, numbers: Sequence[int], shapes: Sequence[npt.NDArray[np.bool_]]
) -> None:
    rngs = {number: np.random.default_rng(number + 1) for number in numbers}
    predictions = {number: _prediction(rng, number, shapes) for number, rng in rngs.items()}
    catalog.images.record(
        FoundImage(one.image, one.size, Entry(f"/nowhere/{number:06}.jpg", 1, "1"))
        for number, one in predictions.items()
    )
    catalog.predictions.record(predictions.values())
    ids = [one.image for one in predictions.values()]
    catalog.tasks.open_push(key, ids, VERSION)
    catalog.tasks.confirm_push(key, {one.image: number + 1 for number, one in predictions.items()})
    lots = [Assignment(predictions[number].image, "control") for number in numbers if number % 20 == 0]
    catalog.arms.record(key, lots)
    reviews = [
        review
        for number, one in predictions.items()
        for review in _reviews(rngs[number], number, one, shapes)
    ]
    catalog.reviews.record(key, reviews)


def _shapes(rng: np.random.Generator) -> list[npt.NDArray[np.bool_]]:
    """Blobs of 30 to 120 pixels with wavy outlines: (H, W) each."""
    shapes = []
    for _ in range(_SHAPES):
        height, width = rng.integers(30, 120, 2)
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        angle = np.arctan2(y, x)
        waves = sum(rng.uniform(0, 0.06) * np.sin(k * angle + rng.uniform(0, 6)) for k in range(2, 9))
        shapes.append(np.hypot(x, y) < 0.8 + waves)
    return shapes


def _prediction(rng: np.random.Generator, number: int, shapes: Sequence[npt.NDArray[np.bool_]]) -> Annotation:
    image = _image(number)
    instances = [_instance(rng, shapes, masked=i % 2 == 0) for i in range(N_REGIONS)]
    return Annotation(image, SIZE, VERSION, "labeled", prediction_regions(image, VERSION, instances))


def _image(number: int) -> ImageId:
    return ImageId(f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}")


def _instance(
    rng: np.random.Generator,
    shapes: Sequence[npt.NDArray[np.bool_]],
    *,
    masked: bool,
    score: float | None = 1.0,
) -> Instance:
    shape = shapes[int(rng.integers(len(shapes)))]
    x, y = int(rng.integers(SIZE.width - shape.shape[1])), int(rng.integers(SIZE.height - shape.shape[0]))
    label = LABELS[int(rng.integers(len(LABELS)))]
    score = None if score is None else float(rng.beta(5, 2))
    if not masked:
        return Instance(label, "thing", Box(x, y, x + shape.shape[1], y + shape.shape[0]), None, score)
    mask = paste_bitmap(shape, SIZE, x0=x, y0=y)
    return Instance(label, "thing", mask_to_box(mask), mask, score)


def _reviews(
    rng: np.random.Generator,
    number: int,
    prediction: Annotation,
    shapes: Sequence[npt.NDArray[np.bool_]],
) -> Iterator[ReviewRecord]:
    """Yield what one person made of it, or two of every tenth image; control images are as good and take
    longer."""
    control = number % 20 == 0
    for k in range(2 if number % 10 == 1 else 1):
        regions = tuple(_reviewed(rng, prediction.regions, shapes))
        if control:
            regions = tuple(
                replace(one, id=RegionId(f"b{i}"), origin="person") for i, one in enumerate(regions)
            )
        annotation = Annotation(
            image=prediction.image,
            size=SIZE,
            author=f"annotator {(number + k) % 4 + 1}",
            state="labeled",
            regions=regions,
            lead_time_s=float(rng.lognormal(5.5 if control else 4.5, 0.5)),
            updated_at=_START + timedelta(minutes=8 * number + k),
        )
        yield ReviewRecord(2 * number + k + 1, _START, number + 1, annotation)


def _reviewed(
    rng: np.random.Generator, regions: Sequence[Region], shapes: Sequence[npt.NDArray[np.bool_]]
) -> Iterator[Region]:
    for region in regions:
        chance, before = rng.random(), replace(region.instance, score=None)
        if chance < 0.10:
            continue  # deleted
        if chance < 0.25:
            before = replace(
                _instance(rng, shapes, masked=before.mask is not None, score=None), label=before.label
            )
        elif chance < 0.30:
            before = replace(before, label=LABELS[int(rng.integers(len(LABELS)))])
        yield replace(region, instance=before)
    if rng.random() < 0.5:
        yield Region(RegionId("added"), "person", _instance(rng, shapes, masked=False, score=None))


if __name__ == "__main__":
    sys.exit(main())
