"""``python -m bench.round_trips``: whether every format gives back what it was given, over many made images.

The images have holes, many pieces, touching borders, overlaps, stuff, empty ones, odd names and, in COCO,
crowds, which are left out when they are read. Prints one JSON object with what each format lost, which is
what it announced; an AssertionError names the first image that differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from detseg.formats import ImageLabels
from detseg.formats.coco_dataset import COCO
from detseg.pipeline.formats import find_format
from tests.formats.made import make_images
from tests.formats.trips import CHECKS, check_trip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.round_trips", description=__doc__)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--format", choices=tuple(CHECKS), action="append", help="only this one; all by default"
    )
    options = parser.parse_args(arguments)
    images = make_images(options.images, options.seed)
    found: dict[str, object] = {}
    for name in options.format or CHECKS:
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="detseg-bench-trips-") as folder:
            lost = check_trip(find_format(name), images, Path(folder))
            if name == COCO.name:
                lost_crowds = _check_crowds(images, Path(folder))
                found["coco, crowds left out"] = lost_crowds
        found[name] = {"lost": dict(lost), "seconds": round(time.perf_counter() - begun, 1)}
    n_regions = sum(len(image.instances) for image in images)
    print(
        json.dumps(
            {"images": len(images), "regions": n_regions, "formats": found}, indent=1, ensure_ascii=False
        )
    )
    return 0


def _check_crowds(images: Sequence[ImageLabels], folder: Path) -> int:
    """Makes every third annotation a crowd; they are left out, counted, and the others stay."""
    n_crowds = 0
    for path in (folder / "annotations").iterdir():
        content = json.loads(path.read_text())
        for entry in content["annotations"][::3]:
            entry["iscrowd"] = 1
            n_crowds += 1
        path.write_text(json.dumps(content))
    assert COCO.read is not None
    opened = COCO.read(folder)
    n_read = sum(len(image.instances) for image in opened.images())
    assert dict(opened.left_out) == {"crowds": n_crowds}
    assert n_read + n_crowds == sum(len(image.instances) for image in images)
    return n_crowds


if __name__ == "__main__":
    sys.exit(main())
