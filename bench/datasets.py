"""``python -m bench.datasets``: how long dataset versions take over many labeled images, and their memory.

Takes the made catalog of ``bench.qa`` (640x480, ten regions an image, half of them with masks), makes a
version, changes one image in a hundred, makes another, compares both, exports one as COCO and imports that
file into a project of its own, each in a process of its own. With ``--datumaro PYTHON``, an interpreter that
has datumaro, that writes the same COCO file from memory, too; its export alone is timed. Prints one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from bench.qa import SIZE, make_catalog
from detseg.catalog import FoundImage
from detseg.config import Settings, load_settings
from detseg.pipeline.workspace import opened_catalog
from detseg.types import Entry

_EVERY = 100
"""One image in so many is changed."""

_STEP = """
import json, re, shutil, sys, time
from pathlib import Path
begun = time.perf_counter()
from detseg.config import load_settings
from detseg.datasets.differences import compare_versions
from detseg.datasets.store import DatasetStore
from detseg.pipeline.datasets import Wish, create_version
from detseg.pipeline.export import export_version
from detseg.pipeline.importing import Import, import_dataset
from detseg.pipeline.dataset_folders import WriteOptions

settings, step = load_settings(Path(sys.argv[1])), sys.argv[2]
store = DatasetStore(settings.datasets_location)
if step in ("v1", "v2"):
    create_version(settings, step, Wish(disputed=True))
elif step == "diff":
    compare_versions(store, store.version("v1"), store.version("v2"))
elif step == "import":
    own = settings.updated(queue__project=sys.argv[3])
    file = settings.root / "out" / "annotations" / "instances.json"
    done = import_dataset(own, Import(file, "coco", "labels"))
    assert done.images == done.new and not done.unmatched and not done.failures, done
else:
    export_version(settings, "v1", "coco", settings.root / "out", options=WriteOptions("none"))
seconds = time.perf_counter() - begun
status = Path("/proc/self/status").read_text()
peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", status).group(1))
print(json.dumps({"seconds": round(seconds, 2), "cpu_s": round(time.process_time(), 2), "peak_bytes": peak}))
"""

_DATUMARO = """
import json, sys, time
import numpy as np
from datumaro.components.annotation import AnnotationType, Bbox, LabelCategories, RleMask
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image
from pycocotools import mask as coco

data = json.load(open(sys.argv[1]))
by_image = {}
for one in data["annotations"]:
    by_image.setdefault(one["image_id"], []).append(one)
items = []
for image in data["images"]:
    found = []
    for one in by_image.get(image["id"], []):
        label, facts = one["category_id"] - 1, {"id": one["id"], "group": one["id"]}
        if "segmentation" in one:
            rle = {"size": one["segmentation"]["size"], "counts": one["segmentation"]["counts"].encode()}
            found.append(RleMask(rle, label=label, **facts))
        else:
            found.append(Bbox(*one["bbox"], label=label, **facts))
    media = Image.from_file(path=image["file_name"], size=(image["height"], image["width"]))
    facts = {"media": media, "annotations": found, "attributes": {"id": image["id"]}}
    items.append(DatasetItem(image["file_name"], subset="all", **facts))
labels = LabelCategories.from_iterable(one["name"] for one in data["categories"])
dataset = Dataset.from_iterable(items, categories={AnnotationType.label: labels}, media_type=Image)
begun = time.perf_counter()
dataset.export(sys.argv[2], "coco_instances", save_media=False)
print(json.dumps({"seconds": round(time.perf_counter() - begun, 2)}))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.datasets", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keeps what is made there, for the next time")
    parser.add_argument("--datumaro", help="an interpreter that has datumaro and pycocotools")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="detseg-bench-datasets-") as folder:
        root = options.folder or Path(folder)
        config = make_catalog(root, options.images)
        runs = [_run(config, number, options.datumaro) for number in range(options.runs)]
    medians = {step: statistics.median(run[step]["seconds"] for run in runs) for step in runs[0]}
    print(json.dumps({"images": options.images, "median_s": medians, "runs": runs}, indent=1))
    return 0


def _run(config: Path, number: int, datumaro: str | None) -> dict[str, dict[str, float]]:
    settings = load_settings(config)
    for folder in (Path(settings.datasets_location), settings.root / "out", settings.root / "datumaro"):
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    steps = {"v1": _measure(_STEP, sys.executable, config, "v1")}
    _change(config, number)
    for step in ("v2", "diff", "export"):
        steps[step] = _measure(_STEP, sys.executable, config, step)
    _place_exported(settings)
    steps["import"] = _measure(_STEP, sys.executable, config, "import", f"imported {number}")
    if datumaro is not None:
        written = settings.root / "out" / "annotations" / "instances.json"
        steps["datumaro"] = _measure(_DATUMARO, datumaro, written, settings.root / "datumaro")
    return steps


def _measure(program: str, python: str, *arguments: object) -> dict[str, float]:
    command = [python, "-c", program, *map(str, arguments)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(answer)
    return result


def _change(config: Path, number: int) -> None:
    """Somebody moves the first box of one image in a hundred."""
    with opened_catalog(load_settings(config)) as catalog:
        (project,) = catalog.projects.all()
        changed = []
        for position, record in enumerate(catalog.reviews.latest(project.key)):
            if position % _EVERY == 0:
                said = record.annotation
                moment = said.updated_at + timedelta(days=number + 1) if said.updated_at else None
                changed.append(
                    replace(record, annotation=replace(said, regions=said.regions[1:], updated_at=moment))
                )
        catalog.reviews.record(project.key, changed)


def _place_exported(settings: Settings) -> None:
    """Record the exported names as places of the images, whose files are not there, so that they meet."""
    with opened_catalog(settings) as catalog, (settings.root / "out" / "manifest.jsonl").open() as lines:
        catalog.images.record(
            FoundImage(entry["id"], SIZE, Entry(f"/placed/{entry['file_name']}", 1, "1"))
            for entry in map(json.loads, lines)
        )


if __name__ == "__main__":
    sys.exit(main())
