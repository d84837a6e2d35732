"""``python -m bench.training``: what training costs beside the bare loop, and whether kills change its end.

Makes scenes and a dataset version of them, and trains the sample checkpoints by ``detseg train``, two lengths
of each, so that what does not depend on the length goes out. The bare loop takes the same steps with the same
batches, made beforehand: forward, backward, optimizer (``bench.bare_training``). Both have one thread of a
CPU and are measured in its seconds, so that other work on the machine does not count. ``--kills N`` ends
trainings by SIGKILL at random moments, has the same command go on, and compares the weights with those of a
training that nobody disturbed; these write a checkpoint every other step. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.processes import environment
from bench.study.loop import Workspace
from detseg.formats.coco import encode_shape
from detseg.samples.scenes import SAMPLE_CLASSES, generate_scene
from detseg.types import Size

BASES = {"detector": "sample", "segmenter": "sample-segmenter"}
_SIZE = Size(320, 240)
_VERSION = "scenes"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__)
    parser.add_argument("--images", type=int, default=24, help="scenes to learn from")
    parser.add_argument(
        "--steps", type=int, default=30, help="of the shorter training; the longer has thrice as many"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--kills", type=int, default=0, help="trainings to kill, instead of timing any")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="detseg-bench-training-") as folder:
        place = Workspace(Path(folder), 1)
        _make_version(place, options.images, evaluations=options.steps // 2 if options.kills else 1)
        found = _kill_all(place, options) if options.kills else _time_all(place, options)
    print(json.dumps(found, indent=1))
    return 0


def _make_version(place: Workspace, n_images: int, *, evaluations: int) -> None:
    """Write scenes with their truth, import them, and make a version of them."""
    images = place.folder / "images"
    images.mkdir()
    entries: list[dict[str, Any]] = []
    listed = []
    numbers = {one.name: number for number, one in enumerate(SAMPLE_CLASSES, 1)}
    for number in range(1, n_images + 1):
        scene = generate_scene(number, _SIZE)
        name = f"{number:04}.png"
        Image.fromarray(scene.image).save(images / name)
        listed.append({"id": number, "file_name": name, "width": _SIZE.width, "height": _SIZE.height})
        for one in scene.instances:
            facts = {"id": len(entries) + 1, "image_id": number, "category_id": numbers[one.label]}
            entries.append(
                {**facts, "iscrowd": 0, "area": one.mask.area if one.mask else 0, **encode_shape(one)}
            )
    categories = [
        {"id": numbers[one.name], "name": one.name, "isthing": int(one.kind == "thing")}
        for one in SAMPLE_CLASSES
    ]
    truth = {"images": listed, "categories": categories, "annotations": entries}
    (place.folder / "truth.json").write_text(json.dumps(truth))
    classes = "".join(f'\n[[classes]]\nname = "{one.name}"\nkind = "{one.kind}"\n' for one in SAMPLE_CLASSES)
    (place.folder / "detseg.toml").write_text(
        f'[source]\nlocation = "images"\n\n[engine]\ndevice = "cpu"\nprecision = "float32"\n\n'
        f"[training]\npatience = 0\nevaluations = {evaluations}\nbatch_size = 4\n{classes}"
    )
    words = ["--format", "coco", "--as", "labels", "--images", str(images), "--name", "truth"]
    place.detseg("import", "truth.json", *words)
    place.detseg("dataset", "create", _VERSION, "--split", "train=0.8,val=0.2", "--allow-leaks")


def _time_all(place: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a step by the command and by the bare loop, and how much faster that is; medians of runs."""
    answer: dict[str, Any] = {}
    for role, base in BASES.items():
        rows = []
        for run in range(options.runs):
            short, long = (
                _train(place, base, steps, f"{role}-{run}-{steps}")["cpu_seconds"]
                for steps in (options.steps, 3 * options.steps)
            )
            said = subprocess.run(
                [sys.executable, "-m", "bench.bare_training", _VERSION, base, str(3 * options.steps)],
                cwd=place.folder,
                env=environment(place.folder, place.threads),
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout
            rows.append({"trainer": (long - short) / (2 * options.steps), **json.loads(said)})
        ratios = [row["bare"] / row["trainer"] for row in rows]
        answer[role] = {
            "seconds_a_step": {name: statistics.median(row[name] for row in rows) for name in rows[0]},
            "ratio": statistics.median(ratios),
            "ratios": [round(ratio, 3) for ratio in sorted(ratios)],
        }
    return answer


def _train(place: Workspace, base: str, steps: int, out: str) -> dict[str, Any]:
    words = ["train", _VERSION, "--base", base, "--out", out, "--steps", str(steps), "--json"]
    trained: dict[str, Any] = json.loads(place.detseg(*words))
    return trained


def _kill_all(place: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Kill trainings of the detector at random moments; how many learned what an undisturbed one learned."""
    rng = np.random.default_rng(options.seed)
    begun = time.perf_counter()
    _train(place, BASES["detector"], options.steps, "whole")
    seconds, wanted = time.perf_counter() - begun, _digest(place.folder / "whole")
    moments: list[float] = []
    equal = 0
    while len(moments) < options.kills:
        out = f"killed-{len(moments)}"
        moment = float(rng.uniform(0.05, 1.0)) * seconds
        if not _kill(place, BASES["detector"], options.steps, out, after=moment):
            shutil.rmtree(place.folder / out)  # it had ended
            continue
        _train(place, BASES["detector"], options.steps, out)
        moments.append(round(moment / seconds, 2))
        equal += _digest(place.folder / out) == wanted
    return {"kills": options.kills, "equal": equal, "steps": options.steps, "moments": sorted(moments)}


def _kill(place: Workspace, base: str, steps: int, out: str, *, after: float) -> bool:
    """Start a training and kill it after so many seconds; False if it ended before."""
    words = ["train", _VERSION, "--base", base, "--out", out, "--steps", str(steps)]
    process = subprocess.Popen(
        [sys.executable, "-m", "detseg", *words],
        cwd=place.folder,
        env=environment(place.folder, place.threads),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def _digest(checkpoint: Path) -> str:
    return hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
